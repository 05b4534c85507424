"""Which hosts are tried for a next hop, and what it means when there is none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from tests.routing.fakes import Reversing, SmallDns

from gatepost.config.settings import SendConnector
from gatepost.routing.addresses import is_own, may_be_dialled
from gatepost.routing.hosts import HOSTS_LIMIT, Candidates, Failure, Host, Hosts, hosts_of
from gatepost.routing.next_hop import HopKind, NextHop

OWN_NAMES = frozenset({"mx.ours.example"})
OWN_ADDRESSES = frozenset({("198.51.100.25", 25), ("0.0.0.0", 25)})


def by_dns(domain: str = "there.example", *, port: int = 25, inside: bool = False) -> NextHop:
    connector = SendConnector.model_validate(
        {"address-spaces": ("*",), "port": port, "allow-loopback": inside}
    )
    return NextHop(
        key=f"out:smtp:{domain}", connector="out", kind=HopKind.DNS, domain=domain, send_connector=connector
    )


def by_smart_hosts(*smart_hosts: str) -> NextHop:
    connector = SendConnector.model_validate({"address-spaces": ("*",), "smart-hosts": smart_hosts})
    return NextHop(key="out:smart", connector="out", kind=HopKind.SMART_HOST, send_connector=connector)


def found(next_hop: NextHop, dns: SmallDns) -> Hosts:
    return asyncio.run(
        hosts_of(
            next_hop,
            dns,
            randomness=Reversing(),
            timeout_s=1.0,
            own_names=OWN_NAMES,
            own_addresses=OWN_ADDRESSES,
        )
    )


def told(hosts: Hosts) -> str:
    """Short: "name/ip:port ..." or the reply."""
    if isinstance(hosts, Failure):
        return str(hosts.reply)[:10].strip()
    return " ".join(f"{h.name}/{h.ip}:{h.port}" for h in hosts.hosts)


@dataclass(frozen=True)
class Case:
    name: str
    next_hop: NextHop
    dns: SmallDns
    then: str


def mx(*exchangers: tuple[int, str], **a: str) -> SmallDns:
    """MX of there.example, and the addresses of one-letter hosts below it."""
    hosts = {f"{letter}.there.example": ip.split() for letter, ip in a.items()}
    return SmallDns(mx={"there.example": exchangers}, a=hosts)


A, B, C = "a.there.example", "b.there.example", "c.there.example"
DOMAINS = [
    Case("one MX", by_dns(), mx((10, A), a="192.0.2.1"), f"{A}/192.0.2.1:25"),
    Case(
        "all its addresses",
        by_dns(),
        mx((10, A), a="192.0.2.1 2001:db8::1"),
        f"{A}/192.0.2.1:25 {A}/2001:db8::1:25",
    ),
    Case(
        "by preference",
        by_dns(),
        mx((20, B), (10, A), a="192.0.2.1", b="192.0.2.2"),
        f"{A}/192.0.2.1:25 {B}/192.0.2.2:25",
    ),
    Case(
        "equal ones in any order",
        by_dns(),
        mx((10, A), (10, B), a="192.0.2.1", b="192.0.2.2"),
        f"{B}/192.0.2.2:25 {A}/192.0.2.1:25",
    ),
    Case("the connector's port", by_dns(port=2525), mx((10, A), a="192.0.2.1"), f"{A}/192.0.2.1:2525"),
    Case(
        "no MX: its address",
        by_dns(),
        SmallDns(a={"there.example": ["192.0.2.9"]}),
        "there.example/192.0.2.9:25",
    ),
    Case("null MX", by_dns(), mx((0, "")), "556 5.1.10"),
    Case("null MX among others", by_dns(), mx((0, ""), (10, A), a="192.0.2.1"), f"{A}/192.0.2.1:25"),
    Case("no such domain", by_dns(), SmallDns(), "550 5.1.2"),
    Case("a domain without mail", by_dns(), SmallDns(others=["there.example"]), "550 5.4.4"),
    Case("MX without address", by_dns(), mx((10, A)), "550 5.4.4"),
    Case("MX is an address", by_dns(), mx((10, "192.0.2.1")), "550 5.4.4"),
    Case("one MX is an address", by_dns(), mx((5, "192.0.2.1"), (10, A), a="192.0.2.2"), f"{A}/192.0.2.2:25"),
    Case("DNS is silent", by_dns(), SmallDns(silent=["there.example"]), "451 4.4.3"),
    Case(
        "the MX's DNS is silent", by_dns(), SmallDns(mx={"there.example": [(1, A)]}, silent=[A]), "451 4.4.3"
    ),
    Case(
        "one MX's DNS is silent",
        by_dns(),
        SmallDns(mx={"there.example": [(1, A), (2, B)]}, a={B: ["192.0.2.2"]}, silent=[A]),
        f"{B}/192.0.2.2:25",
    ),
    Case("a name that cannot be asked for", by_dns(), SmallDns(odd=["there.example"]), "550 5.1.2"),
    Case(
        "an MX that cannot be asked for",
        by_dns(),
        SmallDns(mx={"there.example": [(1, A)]}, odd=[A]),
        "550 5.4.4",
    ),
    Case("an address literal", by_dns("[192.0.2.7]"), SmallDns(), "[192.0.2.7]/192.0.2.7:25"),
    Case("an IPv6 literal", by_dns("[IPv6:2001:db8::7]"), SmallDns(), "[IPv6:2001:db8::7]/2001:db8::7:25"),
    Case("a literal of nothing", by_dns("[rubbish]"), SmallDns(), "550 5.1.2"),
]
OURSELVES = [
    Case(
        "our name is the best MX", by_dns(), mx((10, "mx.ours.example"), (20, A), a="192.0.2.1"), "554 5.4.6"
    ),
    Case(
        "our name is the second: worse ones go",
        by_dns(),
        mx((10, A), (20, "mx.ours.example"), (30, B), a="192.0.2.1", b="192.0.2.2"),
        f"{A}/192.0.2.1:25",
    ),
    Case("equals of ours go too", by_dns(), mx((10, "mx.ours.example"), (10, A), a="192.0.2.1"), "554 5.4.6"),
    Case(
        "our address under another name",
        by_dns(),
        mx((10, A), (20, B), a="198.51.100.25", b="192.0.2.2"),
        "554 5.4.6",
    ),
    Case(
        "our address on another port is somebody else",
        by_dns(port=2525),
        mx((10, A), a="198.51.100.25"),
        f"{A}/198.51.100.25:2525",
    ),
    Case("our address as A record", by_dns(), SmallDns(a={"there.example": ["198.51.100.25"]}), "554 5.4.6"),
    Case("our address as literal", by_dns("[198.51.100.25]"), SmallDns(), "554 5.4.6"),
    Case("loopback, where a wildcard listens", by_dns(inside=True), mx((10, A), a="127.0.0.1"), "554 5.4.6"),
    Case("a smart host that is us", by_smart_hosts("[198.51.100.25]"), SmallDns(), "554 5.4.6"),
    Case(
        "a smart host with our name",
        by_smart_hosts("[mx.ours.example]"),
        SmallDns(a={"mx.ours.example": ["192.0.2.1"]}),
        "554 5.4.6",
    ),
]
INSIDE = [
    Case(f"{ip} is not dialled", by_dns(port=2525), mx((10, A), a=ip), "550 5.4.4")
    for ip in (
        "127.0.0.2",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "224.0.0.1",
        "0.0.0.0",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:fe::10.0.0.1",
        "::ffff:0:127.0.0.1",
        "::127.0.0.1",
        "::10.0.0.1",
        "2002:7f00:1::",
    )
] + [
    Case("a public one beside it is", by_dns(), mx((10, A), a="10.0.0.1 192.0.2.1"), f"{A}/192.0.2.1:25"),
    Case("allowed by the setting", by_dns(inside=True), mx((10, A), a="10.0.0.1"), f"{A}/10.0.0.1:25"),
    Case("a literal recipient", by_dns("[10.0.0.1]"), SmallDns(), "550 5.4.4"),
]
SMART = [
    Case("an address", by_smart_hosts("[192.0.2.10]:2525"), SmallDns(), "192.0.2.10/192.0.2.10:2525"),
    Case("an address inside, as written", by_smart_hosts("[10.0.0.1]"), SmallDns(), "10.0.0.1/10.0.0.1:25"),
    Case(
        "in turn",
        by_smart_hosts("[192.0.2.2]", "[192.0.2.1]"),
        SmallDns(),
        "192.0.2.2/192.0.2.2:25 192.0.2.1/192.0.2.1:25",
    ),
    Case(
        "a name has its MX", by_smart_hosts("there.example"), mx((10, A), a="192.0.2.1"), f"{A}/192.0.2.1:25"
    ),
    Case(
        "a name without MX has its address",
        by_smart_hosts("a.there.example"),
        mx(a="192.0.2.1"),
        f"{A}/192.0.2.1:25",
    ),
    Case(
        "a bracketed name has its address only",
        by_smart_hosts("[there.example]:24"),
        SmallDns(mx={"there.example": [(1, A)]}, a={"there.example": ["192.0.2.3"]}),
        "there.example/192.0.2.3:24",
    ),
    Case("a name that DNS sends inside", by_smart_hosts("[a.there.example]"), mx(a="10.0.0.1"), "451 4.4.4"),
    Case("a name nobody knows waits", by_smart_hosts("there.example"), SmallDns(), "451 4.4.4"),
    Case("DNS is silent", by_smart_hosts("there.example"), SmallDns(silent=["there.example"]), "451 4.4.4"),
    Case(
        "DNS is silent for the first",
        by_smart_hosts("there.example", "[192.0.2.1]"),
        SmallDns(silent=["there.example"]),
        "192.0.2.1/192.0.2.1:25",
    ),
]


@pytest.mark.threat("M09")
@pytest.mark.parametrize("case", DOMAINS, ids=lambda c: c.name)
def test_hosts_of_a_domain(case: Case) -> None:
    assert told(found(case.next_hop, case.dns)) == case.then


@pytest.mark.threat("L02", "L03", "N13")
@pytest.mark.parametrize("case", OURSELVES, ids=lambda c: c.name)
def test_nothing_is_sent_to_ourselves(case: Case) -> None:
    assert told(found(case.next_hop, case.dns)) == case.then


@pytest.mark.threat("N14", "M09")
@pytest.mark.parametrize("case", INSIDE, ids=lambda c: c.name)
def test_dns_does_not_lead_inside(case: Case) -> None:
    assert told(found(case.next_hop, case.dns)) == case.then


@pytest.mark.parametrize("case", SMART, ids=lambda c: c.name)
def test_smart_hosts(case: Case) -> None:
    assert told(found(case.next_hop, case.dns)) == case.then


@pytest.mark.threat("M09")
def test_of_two_hundred_exchangers_twenty_are_asked_for_and_tried() -> None:
    # Given 200 MX with an address each
    names = [f"h{n}.there.example" for n in range(200)]
    dns = SmallDns(
        mx={"there.example": [(n, name) for n, name in enumerate(names)]},
        a={name: [f"192.0.2.{n + 1}"] for n, name in enumerate(names)},
    )
    # When hosts are looked for
    hosts = found(by_dns(), dns)
    # Then only the best of them cost anything
    assert isinstance(hosts, Candidates)
    assert [h.name for h in hosts.hosts] == names[:HOSTS_LIMIT]
    assert len(dns.asked) == 1 + HOSTS_LIMIT


@pytest.mark.threat("M09")
def test_of_a_host_with_two_hundred_addresses_twenty_are_tried() -> None:
    addresses = " ".join(f"192.0.2.{n}" for n in range(1, 201))
    hosts = found(by_dns(), mx((10, A), a=addresses))
    assert isinstance(hosts, Candidates)
    assert len(hosts.hosts) == HOSTS_LIMIT


@pytest.mark.threat("M09")
def test_an_exchanger_that_is_an_address_is_not_even_asked_for() -> None:
    dns = SmallDns(
        mx={"there.example": [(5, "192.0.2.1"), (10, A)]}, a={"192.0.2.1": ["192.0.2.1"], A: ["192.0.2.2"]}
    )
    assert told(found(by_dns(), dns)) == f"{A}/192.0.2.2:25"
    assert dns.asked == ["there.example", A]


def test_a_failure_tells_what_it_means() -> None:
    lasting, passing = found(by_dns(), mx((0, ""))), found(by_dns(), SmallDns(silent=["there.example"]))
    assert isinstance(lasting, Failure)
    assert isinstance(passing, Failure)
    assert (lasting.permanent, lasting.enhanced) == (True, "5.1.10")
    assert (passing.permanent, passing.enhanced) == (False, "4.4.3")
    assert lasting.text.startswith("556 5.1.10 ")


def test_a_maildir_has_no_hosts() -> None:
    connector = SendConnector.model_validate(
        {"address-spaces": ("*",), "delivery": "maildir", "maildir": "/m"}
    )
    hop = NextHop(key="box:maildir", connector="box", kind=HopKind.MAILDIR, send_connector=connector)
    with pytest.raises(ValueError, match="no hosts"):
        found(hop, SmallDns())


@pytest.mark.parametrize("ip", ["rubbish", "", "192.0.2.1:25", "fe80::1%eth0"])
def test_what_is_no_public_address_is_not_dialled(ip: str) -> None:
    assert not may_be_dialled(ip)


@pytest.mark.parametrize(
    ("ip", "port", "own"),
    [
        ("198.51.100.25", 25, True),
        ("::ffff:198.51.100.25", 25, True),
        ("198.51.100.25", 26, False),
        ("127.0.0.1", 25, True),
        ("127.9.9.9", 25, True),
        ("::1", 25, True),
        ("0.0.0.0", 25, True),
        ("127.0.0.1", 26, False),
        ("192.0.2.1", 25, False),
        ("rubbish", 25, False),
    ],
)
def test_is_own(ip: str, port: int, own: bool) -> None:
    assert is_own(ip, port, OWN_ADDRESSES) is own


def test_a_host_is_told_apart_by_all_it_has() -> None:
    assert Host("a", "192.0.2.1", 25) != Host("a", "192.0.2.1", 26)
