"""What a domain publishes, what is wrong with it, and how it changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.delivery.published import Zone

from gatepost.control.dns_history import CHANGES_LIMIT, DnsHistory, restored, stored
from gatepost.control.dns_survey import Survey, Surveyor
from gatepost.model.fault import WorldFault
from gatepost.ports.resolver import LookedUp, Mx, RecordType, Tlsa

D = "b.example"
OURS = "192.0.2.9"


class Published(Zone):
    """b.example as it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.exchangers_of[D] = (Mx(10, "mx.b.example"),)
        self.addresses_of |= {"mx.b.example": ("192.0.2.1",), "out.b.example": (OURS,), D: ("192.0.2.80",)}
        self.names_of: dict[str, tuple[str, ...]] = {OURS: ("out.b.example",)}
        self.texts_of |= {
            D: (b"v=spf1 ip4:192.0.2.0/24 mx -all", b"verification=1"),
            f"_dmarc.{D}": (b"v=DMARC1; p=reject; rua=mailto:d@b.example",),
            f"k1._domainkey.{D}": (b"v=DKIM1; p=AAAA",),
            f"_mta-sts.{D}": (b"v=STSv1; id=1",),
            f"_smtp._tls.{D}": (b"v=TLSRPTv1; rua=mailto:t@b.example",),
        }
        self.secure |= {D}

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        return self.names_of.get(address, ())

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        if kind is RecordType.SOA and name == D:
            return LookedUp(records=("soa",), is_secure=D in self.secure)
        return await super().look_up(name, kind, timeout_s=timeout_s)


async def policy(domain: str) -> bytes:
    return b"version: STSv1\nmode: enforce\nmx: *.b.example\nmax_age: 1\n"


def looked(zone: Zone, fetch: Any = policy) -> Survey:
    surveyor = Surveyor(
        resolver=zone, lookup=zone, timeout_s=1.0, fetch=fetch, ours=(OURS,), selectors=("k1",)
    )
    return asyncio.run(surveyor.survey(D))


def test_a_domain_as_it_should_be() -> None:
    found = looked(Published())
    assert found.problems == []
    assert found.unknown == []
    assert (found.zone, found.is_secure, found.spf_lookups) == (D, True, 1)
    lines = found.as_lines()
    assert lines["MX"] == ["10 mx.b.example"]
    assert lines["DKIM"] == ["k1: v=DKIM1; p=AAAA"]
    assert lines["MTA-STS policy"] == ["enforce *.b.example max_age 1"]
    assert lines["PTR"] == [f"{OURS} out.b.example"]


def spf(text: str) -> Callable[[Published], None]:
    return lambda zone: zone.texts_of.update({D: (text.encode(),)})


def texts(name: str, *values: bytes) -> Callable[[Published], None]:
    return lambda zone: zone.texts_of.update({f"{name}.{D}".removeprefix("."): values})


def doubled(zone: Published) -> None:
    zone.texts_of |= {
        D: (b"v=spf1 include:p.example include:p.example -all",),
        "p.example": (b"v=spf1 -all",),
    }


def deep(zone: Published) -> None:
    for number in range(60):
        zone.texts_of[f"p{number}.example"] = (f"v=spf1 include:p{number + 1}.example -all".encode(),)
    zone.texts_of[D] = (b"v=spf1 include:p0.example -all",)


def unproven(zone: Published) -> None:
    zone.tlsa_of["_25._tcp.mx.b.example"] = (Tlsa(usage=3, selector=1, matching=1, data=b"x" * 32),)


WRONG: list[tuple[str, Callable[[Published], Any], str]] = [
    ("no SPF", texts("", b"verification=1"), "there is no SPF record"),
    ("two SPF records", texts("", b"v=spf1 -all", b"v=spf1 mx -all"), "there are 2 SPF records"),
    ("everybody may send", spf("v=spf1 +all"), "+all lets everybody"),
    ("no end", spf("v=spf1 mx"), "no `all` at the end"),
    ("something behind the end", spf("v=spf1 -all mx"), "behind `all`"),
    ("ptr", spf("v=spf1 ptr -all"), "ptr is slow"),
    (
        "an include that is none",
        spf("v=spf1 include:nobody.example -all"),
        "include:nobody.example has no SPF record",
    ),
    ("the same include twice", doubled, "included more than once"),
    (
        "eleven look-ups",
        spf("v=spf1 " + " ".join(f"a:h{n}.example" for n in range(11)) + " -all"),
        "11 look-ups",
    ),
    ("endless includes", deep, "look-ups, and more than 10"),
    ("too long", spf("v=spf1 " + "ip4:192.0.2.200/30 " * 30 + "-all"), "may not fit into UDP"),
    ("our address left out", spf("v=spf1 ip4:203.0.113.0/24 -all"), f"our address {OURS} is not in"),
    ("no DMARC", texts("_dmarc"), "no DMARC record"),
    ("two DMARC records", texts("_dmarc", b"v=DMARC1; p=none", b"v=DMARC1; p=reject"), "2 DMARC records"),
    ("DMARC without a policy", texts("_dmarc", b"v=DMARC1"), "has no p="),
    ("no key", texts("k1._domainkey"), "no key at k1._domainkey"),
    (
        "an MTA-STS record nobody can read",
        texts("_mta-sts", b"v=STSv1; id=a-b"),
        "MTA-STS record cannot be read",
    ),
    ("TLS reports nowhere", texts("_smtp._tls", b"v=TLSRPTv1; rua=ftp://x"), "names no place"),
    ("no reverse name", lambda z: z.names_of.clear(), "no reverse name"),
    (
        "a reverse name that leads elsewhere",
        lambda z: z.names_of.update({OURS: ("mx.b.example",)}),
        "no name of it leads back",
    ),
    ("no MX", lambda z: z.exchangers_of.clear(), "no MX record: mail goes to its A record"),
    (
        "a null MX beside another",
        lambda z: z.exchangers_of.update({D: (Mx(0, ""), Mx(10, "mx.b.example"))}),
        "null MX (0 .) stands beside",
    ),
    (
        "an MX that is an address",
        lambda z: z.exchangers_of.update({D: (Mx(10, "192.0.2.1"),)}),
        "is an address",
    ),
    (
        "an MX without an address",
        lambda z: z.exchangers_of.update({D: (Mx(10, "gone.b.example"),)}),
        "has no address",
    ),
    ("an MX that is an alias", lambda z: z.alias_of.update({"mx.b.example": "x.example"}), "is an alias"),
    (
        "an MX that the policy has not",
        lambda z: z.exchangers_of.update({D: (Mx(10, "mx.c.example"),)}),
        "not in the MTA-STS policy",
    ),
    ("TLSA records without DNSSEC", unproven, "not proven by DNSSEC"),
]


@pytest.mark.parametrize(("spoil", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_said(spoil: Callable[[Published], Any], said: str) -> None:
    zone = Published()
    spoil(zone)
    assert any(said in problem for problem in looked(zone).problems)


def test_a_policy_that_cannot_be_had() -> None:
    async def none(domain: str) -> bytes:
        raise WorldFault("no connection")

    assert any("its policy cannot be had: no connection" in p for p in looked(Published(), none).problems)


def test_what_is_unknown_is_not_missing() -> None:
    zone = Published()
    zone.unknown |= {D, f"_dmarc.{D}", "mx.b.example"}
    found = looked(zone)
    assert any("_dmarc" in line for line in found.unknown)
    history = DnsHistory(domain=D)
    history.learn(looked(Published()), 1.0)
    assert history.learn(found, 2.0) == ([], [])
    assert history.at == 1.0


def test_changes_are_told_once_and_outlive_a_restart() -> None:
    history = DnsHistory(domain=D)
    assert history.learn(looked(Published()), 1.0) == ([], [])
    zone = Published()
    spf("v=spf1 mx")(zone)
    changes, worse = history.learn(looked(zone), 2.0)
    assert [(c.kind, c.gone, c.new) for c in changes] == [
        ("SPF", ("v=spf1 ip4:192.0.2.0/24 mx -all",), ("v=spf1 mx",))
    ]
    assert len(worse) == 1
    again = restored(stored(history))
    assert again.learn(looked(zone), 3.0) == ([], [])
    assert len(again.changes) == 1
    with pytest.raises(ValueError, match=r".+"):
        restored(b"[")


def test_the_history_is_bounded() -> None:
    history = DnsHistory(domain=D)
    for number in range(CHANGES_LIMIT + 20):
        found = Survey(domain=D, spf=(f"v=spf1 exists:{number}.example -all",))
        history.learn(found, float(number + 1))
    assert len(history.changes) == CHANGES_LIMIT
