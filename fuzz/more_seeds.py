"""First inputs of the readers of what senders publish and sign, and of what peers and reporters send."""

from __future__ import annotations

import base64
import datetime
import gzip
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

_BEGIN, _END = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2026, 2036))
_SIGNATURE: Final = (
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=a.example; s=sel; i=ann@b.a.example;\r\n"
    b"\th=From : To:Subject; t=1; x=99; l=7; q=dns/txt;\r\n bh=AAAA; b=QUJD\r\n REVG\r\n"
)
_SET: Final = (
    b"ARC-Seal: i=%d; a=rsa-sha256; cv=%s; d=a.example; s=s; b=AAAA\r\n"
    b"ARC-Message-Signature: i=%d; a=rsa-sha256; c=relaxed; d=a.example; s=s; h=From; bh=AAAA; b=AAAA\r\n"
    b"ARC-Authentication-Results: i=%d; a.example; spf=pass\r\n"
)
_REPORT: Final = (
    b"<?xml version='1.0'?><feedback><report_metadata><org_name>o</org_name><date_range><begin>1</begin>"
    b"<end>2</end></date_range></report_metadata><policy_published><domain>a.example</domain><p>none</p>"
    b"</policy_published><record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated>"
    b"<dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>a.example</header_from>"
    b"</identifiers><auth_results><dkim><domain>a.example</domain><result>pass</result></dkim></auth_results>"
    b"</record></feedback>"
)


def _keys() -> tuple[bytes, ...]:
    """Published keys; made anew when the seeds are written."""
    small, large = (rsa.generate_private_key(65537, bits).public_key() for bits in (1024, 2048))
    form = serialization.PublicFormat
    ders = [small.public_bytes(serialization.Encoding.DER, form.SubjectPublicKeyInfo)]
    ders.append(large.public_bytes(serialization.Encoding.DER, form.PKCS1))
    young = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    return (
        *(b"v=DKIM1; k=rsa; t=y:s; p=" + base64.b64encode(der) for der in ders),
        b"v=DKIM1; k=ed25519; h=sha256; s=email; p=" + base64.b64encode(young),
        b"p=",
    )


def _chain() -> bytes:
    """A record of usage 3 and the certificate it names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(_BEGIN).not_valid_after(_END)
    der = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return b"\3\0\0" + der + b"\x1e" + b"\2\1\1" + bytes(32) + b"\x1e" + der


def seeds() -> dict[str, tuple[bytes, ...]]:
    """By target."""
    return {
        "spf-records": (
            b"v=spf1 a mx/24//64 ip4:192.0.2.0/24 ip6:2001:db8::/32 include:b.example -all",
            b"v=spf1 exists:%{ir}.%{l1r-}.%{D2}._spf.%{d2} ptr redirect=%{d} exp=e.%{o}",
            b"spf2.0/mfrom,pra +all\x1ev=spf1 ?all",
            b"%{S} was %{h5R-+}%%%_%- refused at %{t} by %{r}",
        ),
        "dkim-signatures": (
            _SIGNATURE,
            _SIGNATURE.replace(b"rsa", b"ed25519").replace(b"\r\n ", b" ").replace(b"; l=7", b""),
            b"DKIM-Signature: a=rsa-sha1; d=a.example\r\n",
        ),
        "dkim-keys": _keys(),
        "canonical-forms": (
            b"Subject :  hi\t there \r\n  more\r\nFrom: a\r\n\r\nline \t one \r\n\r\ntwo\r\n\r\n\r\n",
            b"A: X\r\n\r\n \r\n\r\nC \r\nD \t E\r\n\r\n\r\n",
            b"x: y\r\n\r\nno end of line ",
            b"\r\n",
        ),
        "arc-sets": (
            _SET % (1, b"none", 1, 1),
            _SET % (2, b"pass", 2, 2) + _SET % (1, b"none", 1, 1) + b"From: a\r\n",
            _SET % (1, b"fail", 1, 1),
        ),
        "dmarc-records": (
            b"mail.a.example\x1ev=DMARC1; p=reject; sp=none; rua=mailto:r@a.example!10m,mailto:b@c; pct=5",
            b"a.b.c.d.e.f.g.h.i.example\x1e\x1ev=DMARC1; p=none; psd=y\x1ev=DMARC1;p=quarantine;psd=n;t=y",
        ),
        "results-fields": (
            b"Authentication-Results: ours.example; spf=pass\r\nFrom: a\r\n\r\n",
            b"Authentication-Results: (x) other.example; dkim=pass header.d=ours.example\r\n\r\n",
            b'ann@a.example\x1e"a b"@x.example\x1ea reason; dkim=pass',
        ),
        "received": (
            b"from mail.a.example (mail.a.example [198.51.100.1]) by gate.example with ESMTP id 1; date",
            b"from [198.51.100.1] (helo=a.example) by b with esmtp\x1efrom x ([IPv6:2001:db8::1]) by c",
            b"(qmail 1 invoked by uid 0)\x1efrom unknown (HELO a.example) (a@198.51.100.1) by d",
        ),
        "lists": (
            b"# text\n192.0.2.1\n192.0.2.0/25 words\n2001:db8::1-2001:db8::9\n198.51.100.0-198.51.100.7\n",
            b":127.0.0.3:see $\n$1 more\n192.0.2\n!192.0.2.9\n192.0.2.1-9 :4:$1\n",
            b"*.a.example\n.b.example :5:x\n!c.b.example\n||d.example^\n0.0.0.0 e.example\n",
        ),
        "logins": (
            b"\0ann\0secret",
            b"ann\x1esecret",
            b"n,,n=ann,r=abc\x1ec=biws,r=abcours,p=" + base64.b64encode(bytes(32)),
            b"n,a=ann,\x01host=x\x01auth=Bearer abc\x01\x01",
            b"r=abc,s=c2FsdA==,i=4096",
            b'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}',
            b"NTLMSSP\0\3\0\0\0" + bytes(60),
        ),
        "xclient": (
            b"ADDR=192.0.2.1 NAME=a.example PORT=1000 PROTO=ESMTP HELO=x LOGIN=ann DESTADDR=192.0.2.2 DESTPORT=25",
            b"ADDR=IPV6:2001:db8::1 NAME=[TEMPUNAVAIL] HELO=[UNAVAILABLE]",
        ),
        "reports": (
            _REPORT,
            gzip.compress(_REPORT[:300], mtime=0),
            b'{"organization-name":"o","policies":[{"policy":{"policy-type":"sts"},"summary":{}}]}',
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
            b"--x\r\nContent-Type: application/xml\r\n\r\n<feedback/>\r\n--x--\r\n",
            b"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nSource-IP: 192.0.2.1\r\n"
            b"Arrival-Date: Thu, 14 Jan 2027 10:00:00 +0000\r\nReported-Domain: a.example\r\nIncidents: 2\r\n",
        ),
        "sts-policies": (
            b"version: STSv1\r\nmode: enforce\r\nmx: mx.a.example\r\nmx: *.b.example\r\nmax_age: 604800\r\n",
            b"version: STSv1\nmode: none\nmax_age: 1\n",
            b"v=STSv1; id=20261127;\x1ev=spf1",
        ),
        "tlsa": (_chain(), b"\3\1\1" + bytes(32) + b"\x1e\2\0\2" + bytes(64)),
        "mime-walk": (
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\npreamble\r\n"
            b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
            b"--x\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--x--\r\n",
            b'Content-Type: multipart/a; boundary="o o"\n\n--o o\n'
            b"Content-Type: multipart/b; boundary=i\n\n--i\n\n1\n--i--\n"
            b"--o o\nContent-Type: message/rfc822\n\nSubject: in\n"
            b"Content-Transfer-Encoding: quoted-printable\n\n=41\n",
            b"Subject: plain\r\n\r\ntext\r\n",
        ),
        "mail-structure": (
            b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\nbefore\r\n--x\r\n\r\nhi\r\n--x\r\n"
            b"Content-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\n\r\n1\r\n--y--\r\nafter\r\n--x--\r\nbehind",
            b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=x; boundary=y\r\n"
            b"\r\n--y\r\n\r\n1\r\n--y--",
            b"Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: a\r\n\r\n1\r\n--x--",
            b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.b64encode(
                b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQTogYg0KDQpj"
            ),
            b'Content-Type: image/png; name*0=a; name*2=c; name="=?utf-8?q?a?="\r\n'
            b"Content-Disposition: attachment; filename=..\\a.exe.\r\n\r\n",
        ),
        "transfer-encodings": (b"QUI=QUJD\r\nQ!Q=\r\n=", b"a=3D=\r\nb=  \r\n=zz \r\n", b"\xe4-_"),
        "mime-parameters": (
            b'text/plain; charset="utf-8" (comment (in it)); name=a b (1).pdf',
            b"a/b; n*0*=utf-8'de'%C3%A4; n*1=x; n=y; N=z",
            b'inline; filename="=?utf-8?B?w6Q=?="; x="\\"',
        ),
        "charsets": (
            b"utf-8\x1e\xc3\xa4",
            b"utf-16\x1e\xff\xfea\0",
            b"iso-2022-jp\x1e\x1b$B\x46\x7c\x1b(B",
            b"utf-7\x1e+ADw-",
            b"\x05\x1e\x81\x30\x84\x36",
        ),
        "mailboxes": (
            b'Ann Archer <ann@a.example>, "Bob, the" <bob@b.example> (a comment)',
            b"undisclosed: ;, team: c@c.example, =?utf-8?Q?D=C3=B6?= <d@[192.0.2.1]>;",
            b"ann@a.example <ann@b.example>",
            b"<@x.example,@y.example:e@z.example>",
        ),
        "http-answers": (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=x\r\nETag: 1\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"HTTP/1.0 404 Not Found\r\n\r\ngone",
        ),
        "dns-datagrams": (
            b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0\1a\7example\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1",
            b"\x12\x34\x81\x80\0\1\0\2\0\0\0\0\1a\7example\0\0\x10\0\1"
            b"\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\6\2hi\2ho\1A\7EXAMPLE\0\0\x10\0\1\0\0\0\x3c\0\3\2hi",
            b"\x12\x34\x83\x80\0\1\0\0\0\0\0\0\1a\7example\0\0\1\0\1",
            b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0\1a\7example\0\0\1\0\1\xc0\x1b\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1",
            b"\x43\x21\x81\x80\0\1\0\1\0\0\0\0\1b\7example\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1",
        ),
    }
