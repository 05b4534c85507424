"""Readers of what peers, publishers and reporters send: Received, lists, logins, XCLIENT, reports, policies, DNS."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import chain
from typing import Any, Final

import dns.exception
import dns.message
import dns.rdatatype

from fuzz.oracles import holds
from fuzz.sender_targets import SEPARATOR
from gatepost.adapters import dns_wire
from gatepost.adapters.dns_wire import Kind, Malformed, ServerRefusal, Truncated
from gatepost.intake import sasl
from gatepost.intake.auth_exchange import Credentials, KeysWanted, Proven, TokenShown, Vouched
from gatepost.message.origin import HELO_LIMIT_CHARS, origin_behind, read_hop
from gatepost.model.account import ScramKeys
from gatepost.model.fault import PeerFault
from gatepost.model.ip_ranges import IpRanges, plain_ip
from gatepost.model.kept_report import Proof
from gatepost.model.link_tls import Association
from gatepost.protocol import ntlm, scram
from gatepost.protocol.events import Offer
from gatepost.protocol.list_formats import (
    ADDRESS_FORMATS,
    FORMATS,
    LINE_LIMIT_CHARACTERS,
    REPORTED_LINES,
    parse_list,
    range_of,
)
from gatepost.protocol.xclient import ATTRIBUTES, read_xclient
from gatepost.records.report_mails import find_reports
from gatepost.records.report_reading import TEXT_LIMIT_CHARS as KEPT_TEXT_LIMIT_CHARS
from gatepost.records.report_reading import Arrived
from gatepost.standards import dane, jwt, mta_sts
from gatepost.standards.dmarc_report import COUNT_LIMIT, TEXT_LIMIT_CHARS, read_aggregate
from gatepost.standards.report_files import DOCUMENTS_LIMIT, UnreadableReport, documents
from gatepost.standards.tls_report_reading import read_tls_report

_ARRIVED: Final = Arrived(received_at=1_800_000_000.0, proof=Proof(), is_ours=lambda domain: len(domain) > 3)
_RELAYS: Final = IpRanges(("192.0.2.0/24", "2001:db8::/32"))
_OFFER: Final = Offer(hostname="ours.example", size_bytes=1000, xclient=ATTRIBUTES)
_NEUTERED: Final = frozenset(' <>()\\";@\t\r\n')
"""What no MTA leaves in the HELO it writes into Received (Postfix: NEUTER_CHARACTERS)."""


def received(data: bytes) -> None:
    """An address or "" in the one form; what a client calls itself is never taken for where it came from."""
    lines = data.split(SEPARATOR)
    for line in lines:
        hop = read_hop(line)
        if hop is not None:
            holds(len(hop.helo) <= HELO_LIMIT_CHARS, "a name that is too long")
            holds(not hop.address or plain_ip(hop.address) == hop.address, "an address not in its one form")
    origin = origin_behind(lines, _RELAYS)
    if origin is not None:
        holds(origin.address not in _RELAYS, "a relay of ours taken for a stranger")
        holds(not ip_address(origin.address).is_loopback, "loopback taken for a stranger")
    helo = "".join(
        c for c in lines[0].decode("utf-8", "replace")[:200] if c.isprintable() and c not in _NEUTERED
    )
    if helo:
        for written in (
            f"from {helo} (unknown [203.0.113.9]) by us",
            f"from [203.0.113.9] (helo={helo}) by us",
        ):
            hop = read_hop(written.encode())
            holds(hop is not None and hop.address == "203.0.113.9", f"the address of {written!r} is {hop}")


def lists(data: bytes) -> None:
    """Every format: within its limit or ValueError; a list of addresses holds what its lines say, no more."""
    lines = data.decode("utf-8", "replace").splitlines()
    for kind in FORMATS:
        try:
            parsed = parse_list(lines, kind, entries_limit=40)
        except ValueError:
            continue
        holds(parsed.entries <= 40 and len(parsed.bad_lines) <= REPORTED_LINES, "more than its limit")
        holds((parsed.addresses is not None) == (kind in ADDRESS_FORMATS), "a table of the other kind")
        holds(parsed.bad_count + parsed.entries <= len(lines), "more entries than lines")
        for listing in parsed.listings:
            holds(
                (listing.text.isascii() and listing.text.isprintable()) or not listing.text,
                "text not to be shown",
            )
            ip_address(listing.code)
    _judge_plain(lines)


def _judge_plain(lines: list[str]) -> None:
    ranges = []
    for line in lines:
        if len(line.strip()) > LINE_LIMIT_CHARACTERS:
            continue
        text = line.strip().split("#")[0].split(";")[0].replace("\t", " ").split(" ")[0]
        try:
            ranges.append(range_of(text))
        except ValueError:
            continue
    lone = [line for line in lines if line.strip()[:1] not in ("#", ";", "")]
    table = parse_list(lone, "text", entries_limit=1 << 20).addresses
    assert table is not None
    for version, low, high in ranges[:20]:
        for number in (low, high, low - 1, high + 1):
            listed = any(v == version and a <= number <= b for v, a, b in ranges)
            if 0 <= number < 1 << (32 if version == 4 else 128):
                holds((table.find(version, number) >= 0) == listed, f"{number:x}: listed is {not listed}")


_KEYS: Final = ScramKeys(salt=b"salt", iterations=4096, stored_key=bytes(32), server_key=bytes(32))
_DEMANDS: Final = jwt.Demands(
    issuer="", audience="", algorithms=("RS256", "ES256", "EdDSA"), now=1e9, leeway_s=60.0
)


def logins(data: bytes) -> None:
    """Any responses to any mechanism: a step or 5xx; nobody is proven who has proven nothing."""
    responses = data.split(SEPARATOR)
    exchanges: tuple[Any, ...] = (
        sasl.PlainExchange(),
        sasl.LoginExchange(),
        sasl.ScramExchange(nonce="ours", bound_to=b"", plus_offered=False),
        sasl.ScramExchange(nonce="ours", bound_to=b"bound", plus_offered=True),
        sasl.BearerExchange(is_google=False),
        sasl.BearerExchange(is_google=True),
        sasl.ExternalExchange("ann@ours.example"),
    )
    for exchange in exchanges:
        try:
            _answer(exchange, [*([None] if len(data) % 2 else []), *responses[:4]])
        except PeerFault as fault:
            holds(500 <= fault.reply.code < 600, "a login that is put off")
    _messages(data)


def _answer(exchange: Any, responses: Sequence[bytes | None]) -> None:
    for response in responses:
        step = exchange.respond(response)
        holds(not isinstance(step, Proven), "proven by chance")
        if isinstance(step, Credentials):
            holds(bool(step.user and step.password), "an empty name or password")
            return
        if isinstance(step, TokenShown):
            exchange.refuse()
        elif isinstance(step, KeysWanted):
            exchange.know(_KEYS)
        elif isinstance(step, Vouched):
            return


def _messages(data: bytes) -> None:
    """The messages alone, each read again as itself."""
    try:
        first = scram.read_client_first(data)
        holds(f"{first.gs2}{first.bare}".encode() == data, "another message than was sent")
        holds(scram.read_name(scram.write_name(first.user)) == first.user, "another name when written again")
    except ValueError:
        pass
    try:
        server = scram.read_server_first(data)
        keys = ScramKeys(salt=server.salt, iterations=server.iterations, stored_key=b"", server_key=b"")
        again = scram.read_server_first(scram.server_first(nonce=server.nonce, keys=keys).encode())
        holds(
            (again.salt, again.iterations) == (server.salt, server.iterations),
            "another salt when written again",
        )
    except ValueError:
        pass
    for read in (scram.read_client_final, ntlm.check_negotiate, ntlm.read_authenticate, jwt.parse_keys):
        try:
            read(data)
        except ValueError:
            continue
    try:
        jwt.verified_claims(data.decode("latin-1"), (), _DEMANDS)
    except jwt.TokenRefused:
        return
    holds(False, "a token that nobody signed")


def xclient(data: bytes) -> None:
    """Attributes or 501; an address of one host in its one form, and read again as itself."""
    argument = data.decode("utf-8", "replace")
    try:
        said = read_xclient(argument, _OFFER)
    except PeerFault as fault:
        holds(fault.reply.code == 501, "another refusal than 501")
        return
    if said.ip is not None:
        holds(plain_ip(said.ip) == said.ip, "an address not in its one form")
        prefix = "IPV6:" if ":" in said.ip else ""
        holds(
            read_xclient(f"ADDR={prefix}{said.ip}", _OFFER).ip == said.ip, "another address when read again"
        )
    for text in (said.helo, said.login, said.name):
        holds(text is None or len(text) <= 255, "a value that is too long")


def reports(data: bytes) -> None:
    """Documents, reports, or UnreadableReport; texts and numbers within their limits."""
    found: tuple[bytes, ...] = (data,)
    with suppress(UnreadableReport):
        found += documents(data)
    holds(len(found) <= DOCUMENTS_LIMIT + 1, "more documents than the limit")
    for document in found:
        with suppress(UnreadableReport):
            report = read_aggregate(document)
            holds(all(0 <= row.count <= COUNT_LIMIT for row in report.rows), "a count out of bounds")
            holds(0 <= report.failed <= report.mails, "more failures than mails")
            texts = (report.organization, report.domain, *(row.header_from for row in report.rows))
            holds(max(map(len, texts)) <= TEXT_LIMIT_CHARS, "a text that is too long")
        with suppress(UnreadableReport):
            read_tls_report(document)
    with suppress(UnreadableReport):
        for kept in find_reports(data, _ARRIVED).reports:
            holds(0 <= kept.failed <= kept.total, "more failures than mails are kept")
            rows: list[tuple[str, ...]] = [
                (row.ip, row.author, row.sender, row.why, row.signers) for row in kept.sources
            ]
            rows += [(row.what, row.host, row.ip, row.reason) for row in kept.failures]
            for text in (kept.organization, kept.email, kept.report_id, kept.domain, *chain(*rows)):
                holds(
                    text.isprintable() and len(text) <= KEPT_TEXT_LIMIT_CHARS,
                    "a text that may do harm is kept",
                )


def sts_policies(data: bytes) -> None:
    """A policy that is written again as itself, or ValueError; a star is one label."""
    texts = data.split(SEPARATOR)
    identity = mta_sts.policy_id(texts)
    holds(identity is None or (identity.isalnum() and len(identity) <= 32), "an id that is none")
    try:
        policy = mta_sts.parse_policy(texts[0])
    except ValueError:
        return
    lines = ["version: STSv1", f"mode: {policy.mode.value}", f"max_age: {policy.max_age_s}"]
    written = "\r\n".join([*lines, *(f"mx: {pattern}" for pattern in policy.mx)])
    holds(mta_sts.parse_policy(written.encode()) == policy, "another policy when written again")
    for pattern in policy.mx:
        host = pattern.replace("*", "one")
        holds(policy.fits(host), f"{host} does not fit {pattern}")
        if pattern.startswith("*."):
            holds(not mta_sts.matches(pattern, f"two.{host}"), "a star that is two labels")
            holds(not mta_sts.matches(pattern, pattern[2:]), "a star that is none")


_NOW: Final = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)


def tlsa(data: bytes) -> None:
    """Records of any octets and chains of any octets: proven by what is the same, or DaneFault."""
    parts = data.split(SEPARATOR)
    records = [
        Association(part[0] % 5, part[1] % 3, part[2] % 4, part[3:]) for part in parts if len(part) > 2
    ]
    usable = dane.usable(records)
    holds(len(usable) <= dane.RECORDS_LIMIT and set(usable) <= set(records), "records that nobody published")
    holds(all(one.usage in (2, 3) for one in usable), "a usage that proves no mail server")
    chain = parts[-3:]
    for associations in (usable, tuple(records)):
        try:
            proof = dane.verify(chain, associations, ("mx.example",), now=_NOW)
        except dane.DaneFault:
            continue
        holds(proof in associations, "proven by a record that is not there")
        holds(
            proof.matching != 0 or proof.selector != 0 or proof.data in chain, "proven by what was not shown"
        )


_QUERY_ID: Final = 0x1234
_COMPARED: Final = (Kind.A, Kind.AAAA, Kind.TXT)


def dns_datagrams(data: bytes) -> None:
    """Only our own question is answered; what is found in the answer, another reader of DNS messages finds, too."""
    for kind in _COMPARED:
        asked = dns_wire.question("a.example", kind)
        query = dns_wire.query(_QUERY_ID, asked)
        holds(not dns_wire.is_reply_to(query, asked), "our own question taken for its answer")
        if not dns_wire.is_reply_to(data, asked):
            continue
        holds(data[12 : 12 + len(asked)] == asked, "an answer to another question")
        try:
            answer = dns_wire.read_reply(data, asked, kind)
        except (Malformed, ServerRefusal, Truncated):
            continue
        theirs = _read_by_dnspython(data, kind)
        if theirs is not None and not answer.links:
            holds(theirs == set(answer.records), f"{answer.records}, not {theirs}")


def _read_by_dnspython(data: bytes, kind: Kind) -> set[object] | None:
    """What is at the name that was asked; None when it does not like the message, or the name is an alias."""
    try:
        message = dns.message.from_wire(data, ignore_trailing=True, one_rr_per_rrset=True)
        found = [r for rrset in message.answer for r in rrset if str(rrset.name).lower() == "a.example."]
    except (dns.exception.DNSException, ValueError, struct.error, IndexError):
        return None
    if any(one.rdtype == dns.rdatatype.CNAME for one in found):
        return None
    mine = [one for one in found if one.rdtype == kind and one.rdclass == 1]
    return {b"".join(one.strings) if kind is Kind.TXT else one.address for one in mine}


TARGETS: Final[tuple[tuple[str, Callable[[bytes], None], tuple[bytes, ...]], ...]] = (
    (
        "received",
        received,
        (
            b"from ",
            b" by us",
            b"(",
            b")",
            b"[192.0.2.1]",
            b"[IPv6:2001:db8::1]",
            b"helo=",
            b"HELO ",
            b"(unknown [198.51.100.1])",
            b"localhost",
            SEPARATOR,
            b"198.51.100.1:25",
            b"%eth0]",
        ),
    ),
    (
        "lists",
        lists,
        (
            b"\n",
            b"192.0.2.0/24",
            b"192.0.2.1-9",
            b"2001:db8::/32",
            b"!",
            b":127.0.0.3:text $",
            b"$1 words",
            b"$DATASET x",
            b"*.a.example",
            b".a.example",
            b"||a.example^",
            b" # ",
            b"0.0.0.0 a.example",
            b"::ffff:192.0.2.1",
        ),
    ),
    (
        "logins",
        logins,
        (
            SEPARATOR,
            b"\0",
            b"n,,n=ann,r=",
            b"y,a=x,",
            b"p=tls-server-end-point,,",
            b"c=biws,r=",
            b",p=",
            b"=2C",
            b"user=",
            b"\x01auth=Bearer ",
            b"\x01\x01",
            b"NTLMSSP\0\3\0\0\0",
            b"r=abc,s=c2FsdA==,i=4096",
            b'{"keys":[',
            b"e30.e30.",
        ),
    ),
    (
        "xclient",
        xclient,
        (
            b"ADDR=",
            b"NAME=",
            b" ",
            b"[UNAVAILABLE]",
            b"[TEMPUNAVAIL]",
            b"IPV6:2001:db8::1",
            b"+3D",
            b"PORT=",
            b"PROTO=",
        ),
    ),
    (
        "reports",
        reports,
        (
            b"<feedback>",
            b"</feedback>",
            b"<record><row>",
            b"<count>1</count>",
            b"<!DOCTYPE x [",
            b"<!ENTITY a '",
            b"&a;",
            b"<a:record>",
            b'{"policies":[',
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
            b"PK\x03\x04",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
            b"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        ),
    ),
    (
        "sts-policies",
        sts_policies,
        (
            b"version: STSv1\n",
            b"mode: enforce\n",
            b"mx: *.a.example\n",
            b"max_age: 1\n",
            b"v=STSv1; id=",
            b";",
            SEPARATOR,
        ),
    ),
    (
        "tlsa",
        tlsa,
        (SEPARATOR, b"\x03\x01\x01", b"\x02\x00\x00", b"\x30\x82\x01", b"\x06\x03\x55\x1d\x11", b"\x00" * 32),
    ),
    (
        "dns-datagrams",
        dns_datagrams,
        (
            b"\xc0\x0c",
            b"\xc0\x1c",
            b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0",
            b"\1a\7example\0",
            b"\0\1\0\1\0\0\0\x3c\0\4",
            b"\0\x10\0\1\0\0\0\x3c\0\3\2hi",
            b"\0\x1c\0\1\0\0\0\x3c\0\x10",
            b"\xff",
        ),
    ),
)
