"""A next hop's hosts are asked for once while the answers last: MX, addresses, and that there are none."""

from __future__ import annotations

import asyncio

import pytest
from tests.delivery.fakes import Dice, settings_of

from gatepost.adapters.dns import DnsResolver
from gatepost.config.dns_settings import Dns
from gatepost.lab.dns_server import LabDns
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.routing.hosts import Candidates, Hosts, hosts_of
from gatepost.routing.next_hop import Router

ZONE = """
there.example MX 10 mx1.there.example.
there.example MX 20 mx2.there.example.
mx1.there.example A 192.0.2.1
mx2.there.example A 192.0.2.2
closed.example MX 0 .
"""
TTL_S = 300.0


class LoopThatMayJump(asyncio.SelectorEventLoop):
    """An event loop whose clock a test moves."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


async def asked_again(domain: str) -> tuple[list[int], list[Hosts]]:
    """Questions on the wire after the first look-up, one within the TTL, and one after it."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, LoopThatMayJump)
    dns = LabDns(ZONE)
    await dns.start()
    resolver = DnsResolver(Dns.model_validate({"servers": (f"127.0.0.1:{dns.port}",), "timeout": "5s"}))
    next_hop = Router(settings_of(), AcceptedDomains({})).next_hop_for(Address("bob", domain))
    counts: list[int] = []
    found: list[Hosts] = []
    try:
        for wait_s in (0.0, TTL_S - 10, 20.0):
            loop.ahead_s += wait_s
            hosts = await hosts_of(
                next_hop,
                resolver,
                randomness=Dice(),
                timeout_s=5.0,
                own_names=(),
                own_addresses=(),
            )
            found.append(hosts)
            counts.append(len(dns.asked))
    finally:
        resolver.close()
        await dns.stop()
    return counts, found


def looked_up(domain: str) -> tuple[list[int], list[Hosts]]:
    loop = LoopThatMayJump()
    try:
        return loop.run_until_complete(asked_again(domain))
    finally:
        loop.close()


def test_mx_and_addresses_are_asked_for_once_in_their_time() -> None:
    counts, found = looked_up("there.example")
    first, within, after = counts
    assert first == 5  # MX, and A and AAAA of both hosts
    # That a host has no AAAA holds for the negative TTL of its zone only (RFC 2308), 30 seconds here
    assert within == first + 2
    assert after == within + 3
    assert all(isinstance(hosts, Candidates) for hosts in found)
    assert found[0] == found[1] == found[2]


@pytest.mark.threat("M09")
def test_a_null_mx_is_remembered_too() -> None:
    (first, within, after), found = looked_up("closed.example")
    assert (first, within, after) == (1, 1, 2)
    assert not any(isinstance(hosts, Candidates) for hosts in found)
