"""Every type can be looked up, and an answer is secure only when a server we trust says so for all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from tests.services.validating import ValidatingDns

from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.dns_wire import Kind, query
from gatepost.config.dns_settings import Dns
from gatepost.lab.dns_server import Exchange, Fault, LabDns, truncated
from gatepost.model.fault import WorldFault
from gatepost.ports.resolver import LookedUp, Mx, RecordType, Tlsa

ZONE = """
ours.example NS ns.ours.example.
ours.example SOA ns.ours.example. hostmaster.ours.example. 7 3600 600 86400 60
ours.example MX 10 mail.ours.example.
ours.example TXT "v=spf1 " "-all"
mail.ours.example A 192.0.2.1
mail.ours.example AAAA 2001:db8::1
_25._tcp.mail.ours.example TLSA 3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
alias.example CNAME mail.ours.example.
1.2.0.192.in-addr.arpa PTR mail.ours.example.
"""
DIGEST = bytes.fromhex("00112233445566778899aabbccddeeff" * 2)


@dataclass(frozen=True)
class Case:
    name: str
    asked: str
    kind: RecordType
    records: tuple[object, ...]
    exists: bool = True


CASES = [
    Case("A", "mail.ours.example", RecordType.A, ("192.0.2.1",)),
    Case("AAAA", "mail.ours.example", RecordType.AAAA, ("2001:db8::1",)),
    Case("an alias is followed", "alias.example", RecordType.A, ("192.0.2.1",)),
    Case("the alias itself", "alias.example", RecordType.CNAME, ("mail.ours.example",)),
    Case("a name that is no alias", "mail.ours.example", RecordType.CNAME, ()),
    Case("MX", "ours.example", RecordType.MX, (Mx(10, "mail.ours.example"),)),
    Case("TXT, its strings joined", "ours.example", RecordType.TXT, (b"v=spf1 -all",)),
    Case("PTR", "1.2.0.192.in-addr.arpa", RecordType.PTR, ("mail.ours.example",)),
    Case("NS", "ours.example", RecordType.NS, ("ns.ours.example",)),
    Case(
        "SOA as in a zone file",
        "ours.example",
        RecordType.SOA,
        ("ns.ours.example hostmaster.ours.example 7 3600 600 86400 60",),
    ),
    Case(
        "TLSA",
        "_25._tcp.mail.ours.example",
        RecordType.TLSA,
        (Tlsa(usage=3, selector=1, matching=1, data=DIGEST),),
    ),
    Case("no such record", "mail.ours.example", RecordType.TLSA, ()),
    Case("no such name", "_25._tcp.gone.example", RecordType.TLSA, (), exists=False),
]


@pytest.mark.threat("M03")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_type_can_be_looked_up(case: Case) -> None:
    async def scene() -> tuple[LookedUp, LookedUp]:
        server = LabDns(ZONE)
        await server.start()
        resolver = resolver_of(server.port)
        try:
            first = await resolver.look_up(case.asked, case.kind, timeout_s=5)
            return first, await resolver.look_up(case.asked, case.kind, timeout_s=5)
        finally:
            resolver.close()
            await server.stop()

    first, again = asyncio.run(scene())
    assert (first.records, first.exists, first.is_secure) == (case.records, case.exists, False)
    assert again == first


def test_all_types_are_tried_above() -> None:
    assert {case.kind for case in CASES} == set(RecordType)


def validated(exchange: Exchange) -> Sequence[bytes]:
    """As a validating server answers: with the AD bit when the asker set it."""
    if not exchange.query[3] & 0x20:
        return (exchange.answer,)
    return (exchange.answer[:3] + bytes([exchange.answer[3] | 0x20]) + exchange.answer[4:],)


def validated_by_tcp(exchange: Exchange) -> Sequence[bytes]:
    return validated(exchange) if exchange.by_tcp else (truncated(exchange),)


def first_link_only(exchange: Exchange) -> Sequence[bytes]:
    """The alias without what it leads to, validated."""
    (answer,) = validated(exchange)
    at = exchange.answer.index(b"\x00", 12) + 5 + 10
    size = int.from_bytes(answer[at : at + 2], "big")
    return (answer[:6] + b"\x00\x01\x00\x00\x00\x00" + answer[12 : at + 2 + size],)


@dataclass(frozen=True)
class AdCase:
    name: str
    faults: dict[str, Fault]
    secure: bool
    trust_ad: str = "loopback"
    asked: str = "mail.ours.example"


ALL: dict[str, Fault] = {"": Fault(validated)}
AD_CASES = [
    AdCase("the server has validated", ALL, secure=True),
    AdCase("the server has validated, by TCP", {"": Fault(validated_by_tcp)}, secure=True),
    AdCase("the server has not validated", {}, secure=False),
    AdCase("no server is trusted", ALL, secure=False, trust_ad="no"),
    AdCase("all servers are trusted", ALL, secure=True, trust_ad="yes"),
    AdCase("an alias in one answer", ALL, secure=True, asked="alias.example"),
    AdCase(
        "an alias left to us, all of it validated",
        {"alias.example": Fault(first_link_only), **ALL},
        secure=True,
        asked="alias.example",
    ),
    AdCase(
        "an alias left to us that leads out of what is signed",
        {"alias.example": Fault(first_link_only)},
        secure=False,
        asked="alias.example",
    ),
    AdCase("that a name does not exist is proven, too", ALL, secure=True, asked="gone.example"),
]


@pytest.mark.threat("M11")
@pytest.mark.parametrize("case", AD_CASES, ids=lambda c: c.name)
def test_secure_is_what_a_trusted_server_says_of_every_answer(case: AdCase) -> None:
    async def scene() -> list[bool]:
        server = LabDns(ZONE, case.faults)
        await server.start()
        resolver = resolver_of(server.port, trust_ad=case.trust_ad)
        try:
            return [
                (await resolver.look_up(case.asked, RecordType.A, timeout_s=5)).is_secure for _ in range(2)
            ]
        finally:
            resolver.close()
            await server.stop()

    assert asyncio.run(scene()) == [case.secure] * 2


@pytest.mark.threat("M11")
@pytest.mark.parametrize(
    ("server", "trust_ad", "then"),
    [
        ("127.0.0.1", "loopback", True),
        ("127.0.0.53:53", "loopback", True),
        ("::1", "loopback", True),
        ("192.0.2.53", "loopback", False),
        ("10.0.0.53", "loopback", False),
        ("fe80::1%lo", "loopback", False),
        ("192.0.2.53", "yes", True),
        ("127.0.0.1", "no", False),
    ],
)
def test_whose_word_on_validation_counts(server: str, trust_ad: str, then: bool) -> None:  # a table
    resolver = DnsResolver(Dns.model_validate({"servers": (server,), "trust-ad": trust_ad}))
    assert [one.trust_ad for one in resolver.servers] == [then]


def test_every_query_asks_whether_it_is_validated() -> None:
    assert query(1, b"")[2:4] == b"\x01\x20"


SIGNED = f"""\
mail A 192.0.2.1
_25._tcp.mail TLSA 3 1 1 {DIGEST.hex()}
inside CNAME mail
outside CNAME mail.plain.example.
"""


@pytest.mark.slow
@pytest.mark.service("unbound", "knotd")
@pytest.mark.threat("M10", "M11")
def test_a_signed_zone_is_secure_a_plain_one_is_not_and_a_bogus_one_is_unknown() -> None:
    # Given a signed zone, a plain one, and one whose signatures do not fit the key that is known
    zones = {
        "signed.example": SIGNED,
        "plain.example": "mail A 192.0.2.2\n",
        "bogus.example": "mail A 192.0.2.3\n",
    }
    server = ValidatingDns(zones, signed=("signed.example",), spoiled=("bogus.example",))

    async def scene() -> dict[str, LookedUp | str]:
        resolver = resolver_of(server.port)
        found: dict[str, LookedUp | str] = {}
        for name, kind in (
            ("mail.signed.example", Kind.A),
            ("_25._tcp.mail.signed.example", Kind.TLSA),
            ("signed.example", Kind.SOA),
            ("gone.signed.example", Kind.A),
            ("inside.signed.example", Kind.A),
            ("outside.signed.example", Kind.A),
            ("outside.signed.example", Kind.CNAME),
            ("mail.plain.example", Kind.A),
            ("mail.bogus.example", Kind.A),
        ):
            try:
                found[f"{name} {kind.name}"] = await resolver.look_up(name, kind, timeout_s=10)
            except WorldFault as fault:
                found[f"{name} {kind.name}"] = fault.reason
        resolver.close()
        return found

    # When
    try:
        server.start()
        found = asyncio.run(scene())
    finally:
        server.stop()
    # Then
    secure = {name: said.is_secure for name, said in found.items() if isinstance(said, LookedUp)}
    assert secure == {
        "mail.signed.example A": True,
        "_25._tcp.mail.signed.example TLSA": True,
        "signed.example SOA": True,
        "gone.signed.example A": True,
        "inside.signed.example A": True,
        "outside.signed.example A": False,
        "outside.signed.example CNAME": True,
        "mail.plain.example A": False,
    }
    assert "SERVFAIL" in str(found["mail.bogus.example A"])


def resolver_of(port: int, trust_ad: str = "loopback") -> DnsResolver:
    servers = (f"127.0.0.1:{port}",)
    return DnsResolver(Dns.model_validate({"servers": servers, "timeout": "5s", "trust-ad": trust_ad}))
