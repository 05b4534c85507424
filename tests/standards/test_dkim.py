"""Checking signatures: what passes, what does not and why; two other programs agree with us."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import Any

import dkim  # type: ignore[import-untyped]
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.standards.dkim_corpus import results
from tests.standards.signing import MAIL, NOW, dns_of, ed25519_key, rsa_key, signed

from gatepost.message.headers import split
from gatepost.standards.dkim_canon import BodyHasher, BodyWish, SignedFields
from gatepost.standards.dkim_key import BadKey, read_key
from gatepost.standards.dkim_sign import (
    SigningKey,
    dkim_signature,
    load_key,
    names_to_sign,
    pem_of,
    txt_strings,
)
from gatepost.standards.dkim_signature import considered, fields_of, read_signature

YEAR_S = 365 * 86400
SIGNED_AT = 1_700_000_000


@dataclass(frozen=True)
class Case:
    name: str
    tags: dict[str, Any] = field(default_factory=dict)
    result: str = "permerror"
    reason: str = ""
    without: str = ""


CASES = [
    Case("everything in order", {}, "pass"),
    Case("names in any case", {"h": "FROM : To: subject"}, "pass"),
    Case("unknown tags are ignored", {"zz": "1"}, "pass"),
    Case("an identity below the domain", {"i": "ann@sub.sender.test"}, "pass"),
    Case("an identity elsewhere", {"i": "ann@other.test"}, reason="the domain of i= is not d= nor below it"),
    Case("an identity that only ends alike", {"i": "ann@notsender.test"}, reason="i="),
    Case("an identity without @", {"i": "ann"}, reason="i= is no address"),
    Case("another version", {"v": "2"}, reason="v= is not 1"),
    Case("no version", without="v", reason="v= is missing"),
    Case("no domain", without="d", reason="d= is missing"),
    Case("no selector", without="s", reason="s= is missing"),
    Case("no h=", without="h", reason="h= is missing"),
    Case("no body hash", without="bh", reason="bh= is missing"),
    Case("no algorithm", without="a", reason="a= is missing"),
    Case("SHA-1", {"a": "rsa-sha1"}, "policy", "rsa-sha1"),
    Case("an algorithm of the future", {"a": "ml-dsa-sha3"}, "neutral", "a= is an algorithm"),
    Case("a form of the future", {"c": "relaxed/nofws"}, "neutral", "c= is a canonical form"),
    Case("another way to the key", {"q": "http"}, "neutral", "q="),
    Case("two ways to the key", {"q": "http:dns/txt"}, "pass"),
    Case("From is not signed", {"h": "to:subject"}, reason="h= does not name From"),
    Case("an empty name in h=", {"h": "from::to"}, reason="h= is no list"),
    Case("too many names in h=", {"h": ":".join(["from"] * 501)}, reason="h= names more than 500"),
    Case("expired", {"x": NOW - 7200}, "fail", "it has expired"),
    Case("just expired, clocks differ", {"x": NOW - 60}, "pass"),
    Case("dated in a year", {"t": NOW + YEAR_S}, "policy", "it is dated in the future"),
    Case(
        "dated tomorrow: one of two clocks is a day off",
        {"t": NOW + 86400},
        "policy",
        "it is dated in the future",
    ),
    Case("ended a day ago: the same", {"x": NOW - 86400}, "fail", "it has expired"),
    Case("dated a minute ahead", {"t": NOW + 60}, "pass"),
    Case("expires before it was made", {"t": NOW, "x": NOW}, reason="x= is not later than t="),
    Case("a date that is no number", {"t": "soon"}, reason="t= is no number"),
    Case("l= larger than the body", {"l": 1000}, reason="l= is larger than the body"),
    Case("l= that is no number", {"l": "-1"}, reason="l= is no number"),
    Case("a blank in the domain", {"d": "sender.test a.test"}, reason="d= is no domain name"),
    Case("a quote in the domain", {"d": "sender.test'a.attack.test"}, reason="d= is no domain name"),
    Case("a parenthesis in the domain", {"d": "sender.test(.attack.test"}, reason="d= is no domain name"),
    Case("NUL in the selector", {"s": "sel._domainkey.attack.test.\0.any"}, reason="control characters"),
    Case("an empty label", {"d": "sender..test"}, reason="d= is no domain name"),
    Case("a key name that is too long", {"s": ".".join(["a" * 60] * 4)}, reason="the name of its key"),
    Case("no key", {"s": "nowhere"}, reason="its key is not published"),
]


@pytest.mark.threat("J12", "J14", "J16", "J17", "J18", "J23", "J41")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a_signature(case: Case) -> None:
    content = signed(without=case.without, **case.tags)
    (found,) = results(content, dns_of(rsa_key()), now=NOW)
    assert found.result == case.result
    assert case.reason in found.reason


CHANGES = [
    ("nothing", b"", b"", "pass"),
    ("blanks and folds", b"Subject:  hello\r\n\tyou", b"SUBJECT: hello   you", "pass"),
    ("empty lines at the end", b"Bye\r\n\r\n\r\n", b"Bye\r\n", "pass"),
    ("a field that is not signed", b"Date: Mon", b"Date: Tue", "pass"),
    ("a signed field", b"bob@gate", b"eve@gate", "fail"),
    ("the body", b"Bye", b"Buy", "fail"),
    ("a second Subject below", b"\tyou\r\n", b"\tyou\r\nSubject: hello you\r\n", "pass"),
    ("a second From", b"From: ", b"From: eve@bad.test\r\nFrom: ", "policy"),
]


@pytest.mark.threat("J18")
@pytest.mark.parametrize("key", [rsa_key, ed25519_key], ids=["rsa", "ed25519"])
@pytest.mark.parametrize(("old", "new", "result"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_change_on_the_way(key: Any, old: bytes, new: bytes, result: str) -> None:
    content = signed(key=key())
    (found,) = results(content.replace(old, new, 1) if old else content, dns_of(key()), now=NOW)
    assert found.result == result


@pytest.mark.threat("J19")
def test_a_field_that_is_signed_once_too_often_cannot_be_added() -> None:
    content = signed(h="from:from:to")
    (found,) = results(content, dns_of(rsa_key()), now=NOW)
    assert (found.result, found.oversigned) == ("pass", ("from",))
    (changed,) = results(
        content.replace(b"From:", b"From: eve@bad.test\r\nFrom:", 1), dns_of(rsa_key()), now=NOW
    )
    assert changed.result == "fail"


@pytest.mark.threat("J14")
@pytest.mark.threat("J19")
def test_a_signature_over_signatures_does_not_sign_itself() -> None:
    keys = dns_of(rsa_key(), ed25519_key())
    # Given signatures that no other may be put beside unnoticed: over those there were, and over one more
    alone = signed(h="from:dkim-signature")
    above = signed(signed(), ed25519_key(), h="from:dkim-signature:dkim-signature")
    assert [one.result for one in results(alone, keys, now=NOW)] == ["pass"]
    assert [one.result for one in results(above, keys, now=NOW)] == ["pass", "pass"]
    # When one is put beside them, below and then above
    below = alone.replace(b"From:", b"DKIM-Signature: v=1; a=x\r\nFrom:", 1)
    assert results(below, keys, now=NOW)[0].result == "fail"
    found = results(b"DKIM-Signature: v=1; a=x\r\n" + above, keys, now=NOW)
    assert [one.result for one in found] == ["neutral", "fail", "pass"]


@pytest.mark.parametrize("length", [0, 4, 15])
def test_a_signature_of_a_part_covers_a_part(length: int) -> None:
    content = signed(l=length)
    for mail in (content, content + b"<h1>More</h1>\r\n"):
        (found,) = results(mail, dns_of(rsa_key()), now=NOW)
        assert (found.result, found.covers_whole_body) == ("pass", False)


def record(**tags: str) -> bytes:
    p = rsa_key().record.rpartition("p=")[2]
    given = {"v": "DKIM1", "k": "rsa", "p": p, **tags}
    return "; ".join(f"{name}={value}" for name, value in given.items()).encode()


def rsa_record(bits: int) -> bytes:
    return SigningKey("a.test", "s", generate_private_key(65537, bits)).record.encode()


def odd_rsa(n: int, e: int) -> bytes:
    der = RSAPublicNumbers(e, n).public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return b"p=" + base64.b64encode(der)


KEYS = [
    ("as published", record(), ""),
    ("without a version", record().removeprefix(b"v=DKIM1; "), ""),
    ("another version", record(v="DKIM2"), "permerror"),
    ("the version not first", b"k=rsa; " + record(), "permerror"),
    ("revoked", record(p=""), "permerror"),
    ("for another hash", record(h="sha1"), "permerror"),
    ("for several hashes", record(h="sha1 : sha256"), ""),
    ("for another use", record(s="tlsrpt"), "permerror"),
    ("for mail", record(s="other:email"), ""),
    ("for another algorithm", record(k="ed25519"), "permerror"),
    ("with a granularity, which means nothing now", record(g="jl*"), ""),
    ("a p= that is no base64", record(p="!!!"), "permerror"),
    ("a p= that is no key", record(p="YWJj"), "permerror"),
    ("a p= of 60 KB", record(p="A" * 60_000), "permerror"),
    ("a p= of 6 KB", record(p="A" * 6_000), "policy"),
    ("1024 bits", rsa_record(1024), ""),
    ("4096 bits", odd_rsa((1 << 4095) | 12345, 65537), ""),
    ("exponent 3", odd_rsa((1 << 2047) | 12345, 3), ""),
    ("4098 bits", odd_rsa((1 << 4097) | 12345, 65537), "policy"),
    ("a long exponent", odd_rsa((1 << 2047) | 12345, (1 << 100) | 1), "policy"),
    ("no p=", b"v=DKIM1; k=rsa", "permerror"),
    ("nothing", b"", "permerror"),
]


@pytest.mark.threat("J15", "J22")
@pytest.mark.parametrize(("text", "result"), [k[1:] for k in KEYS], ids=[k[0] for k in KEYS])
def test_a_key_record(text: bytes, result: str) -> None:
    if not result:
        assert read_key(text, "rsa-sha256").bits >= 1024
        return
    with pytest.raises(BadKey) as caught:
        read_key(text, "rsa-sha256")
    assert caught.value.result == result


@pytest.mark.threat("J15")
def test_a_key_of_1023_bits_and_less_proves_nothing() -> None:
    n = (1 << 1022) | 12345
    with pytest.raises(BadKey, match="1023 bits is shorter than 1024") as caught:
        read_key(odd_rsa(n, 65537), "rsa-sha256")
    assert caught.value.result == "policy"


@pytest.mark.threat("J22")
def test_flags_of_a_key() -> None:
    testing = {rsa_key().name: record(t="y:s")}
    (found,) = results(signed(), testing, now=NOW)
    assert (found.result, found.testing) == ("pass", True)
    (below,) = results(signed(i="a@sub.sender.test"), testing, now=NOW)
    assert below.result == "permerror"


@pytest.mark.threat("J24")
def test_silence_of_the_dns_is_no_failure() -> None:
    (found,) = results(signed(), {rsa_key().name: b"~~timeout~~"}, now=NOW)
    assert found.result == "temperror"


@pytest.mark.threat("J13")
def test_of_many_signatures_those_of_the_author_come_first() -> None:
    strangers = b"".join(signed(b"", d=f"d{n}.test") for n in range(1000))
    begin = time.process_time()
    found, left_out = considered(
        fields_of(strangers[: 80 * 700] + signed(MAIL)), author_domains=["sender.test"], limit=10
    )
    assert time.process_time() - begin < 10
    assert len(found) == 10
    assert left_out > 10
    assert found[0].domain == "d0.test"  # the author's is beyond what is read at all


def test_an_author_s_signature_among_twenty_is_looked_at() -> None:
    strangers = b"".join(signed(b"", d=f"d{n}.test") for n in range(20))
    found, left_out = considered(
        fields_of(strangers + signed(MAIL)), author_domains=["mail.sender.test"], limit=10
    )
    assert (found[0].domain, left_out) == ("sender.test", 11)


@given(st.binary(max_size=300))
def test_any_octets_are_a_signature_or_none(value: bytes) -> None:
    read_signature(b"DKIM-Signature:" + value)


@given(
    st.dictionaries(st.sampled_from("vabhdsitxlqc"), st.text("abc01=:/@.-_ \t;é\0", max_size=12), max_size=12)
)
def test_any_tags_are_a_signature_or_none(tags: dict[str, str]) -> None:
    text = ";".join(f"{name}={value}" for name, value in tags.items())
    results(b"DKIM-Signature: " + text.encode() + b"\r\n" + MAIL, {}, now=NOW)


# What we sign


def with_signature(key: SigningKey, content: bytes = MAIL, **more: Any) -> bytes:
    head, body = split(content)
    fields = SignedFields(fields_of(head))
    hasher = BodyHasher([BodyWish(relaxed=True)])
    hasher.feed(body)
    names = names_to_sign(
        fields, [b"from", b"to", b"cc", b"subject", b"date", b"reply-to"], frozenset({b"from", b"reply-to"})
    )
    made = dkim_signature(key, fields, hasher.finish()[BodyWish(True)], names=names, at=SIGNED_AT, **more)
    assert max(map(len, made.split(b"\r\n"))) < 100
    return made + content


@pytest.mark.parametrize("key", [rsa_key, ed25519_key], ids=["rsa", "ed25519"])
def test_what_we_sign_passes_here_and_at_dkimpy(key: Any) -> None:
    content = with_signature(key(), identity="@sender.test", expires_at=4_000_000_000)
    (found,) = results(content, dns_of(key()), now=NOW)
    assert (found.result, found.oversigned, found.covers_whole_body) == ("pass", ("from", "reply-to"), True)

    def txt(name: bytes, timeout: int = 5) -> bytes:  # dkimpy's port
        return dns_of(key())[name.decode().rstrip(".")]

    assert dkim.verify(content, dnsfunc=txt)
    assert not dkim.verify(content.replace(b"Bye", b"Buy"), dnsfunc=txt)


@pytest.mark.parametrize("canon", [(a, b) for a in (b"simple", b"relaxed") for b in (b"simple", b"relaxed")])
def test_what_dkimpy_signs_passes_here(canon: tuple[bytes, bytes]) -> None:
    made = dkim.sign(
        MAIL,
        b"rsa",
        b"sender.test",
        pem_of(rsa_key().key),
        canonicalize=canon,
        include_headers=[b"from", b"to", b"subject", b"date"],
    )
    (found,) = results(made + MAIL, dns_of(rsa_key()), now=time.time())
    assert found.result == "pass"


@pytest.mark.parametrize("key", [rsa_key, ed25519_key], ids=["rsa", "ed25519"])
def test_a_key_is_read_back_from_its_file(key: Any) -> None:
    again = SigningKey("sender.test", "x", load_key(pem_of(key().key)))
    assert again.record == key().record
    strings = txt_strings(again.record)
    assert "".join(strings) == again.record
    assert all(len(string) <= 255 for string in strings)


@pytest.mark.parametrize("text", [b"", b"-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="is no PEM file"):
        load_key(text)
