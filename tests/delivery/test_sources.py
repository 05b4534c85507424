"""Which of our addresses a connection comes from, on paper and on loopback (127.0.0.0/8 is all ours)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.delivery.fakes import FakeResolver, settings_of, to_port, yard

from gatepost.config.settings import SendConnector
from gatepost.delivery.sources import Sources
from gatepost.lab.sink import Behaviour, Sink
from gatepost.model.fault import WorldFault
from gatepost.ports.resolver import Mx

V4, V6 = ("192.0.2.1", "192.0.2.2", "192.0.2.3"), ("2001:DB8::1", "2001:db8::2")


def way(*addresses: str, **more: Any) -> SendConnector:
    return settings_of({"source-addresses": list(addresses), **more}).send_connectors["out"]


def order(settings: SendConnector, ip: str, destination: str = "out:smtp:a.example") -> tuple[str, ...]:
    return Sources().order("out", settings, ip, destination=destination)


CASES = [
    ("nothing set: the system chooses", (), "198.51.100.1", {""}),
    ("IPv4 from IPv4", (*V4, *V6), "198.51.100.1", set(V4)),
    ("IPv6 from IPv6, as the system writes it", (*V4, *V6), "2001:db8::9", {"2001:db8::1", "2001:db8::2"}),
    ("one family left to the system", ("192.0.2.1", "::"), "2001:db8::9", {""}),
    ("a Unix socket has no address", V4, "", {""}),
]


@pytest.mark.parametrize(("addresses", "ip", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_family_decides(addresses: tuple[str, ...], ip: str, expected: set[str]) -> None:
    assert set(order(way(*addresses), ip)) == expected


def test_a_family_without_an_address_is_not_tried() -> None:
    with pytest.raises(WorldFault, match="no IPv6 address"):
        order(way(*V4), "2001:db8::9")


@pytest.mark.threat("N10")
def test_a_destination_always_sees_the_same_address() -> None:
    # Given many destinations, and another worker or a later life of this one
    keys = [f"out:smtp:{n}.example" for n in range(100)]
    settings = way(*V4)
    first, later = Sources(), Sources()
    seen = [first.order("out", settings, "198.51.100.1", destination=key)[0] for key in keys]
    # Then the choice is the same, in any order, whatever host of it is tried
    again = {key: later.order("out", settings, "198.51.100.2", destination=key)[0] for key in reversed(keys)}
    assert [again[key] for key in keys] == seen
    # And all addresses are in use
    assert set(seen) == set(V4)


def test_each_in_its_turn() -> None:
    sources, settings = Sources(), way(*V4, **{"source-choice": "round-robin"})
    seen = [sources.order("out", settings, "198.51.100.1", destination="same")[0] for _ in range(6)]
    assert seen == [*V4, *V4]


@asynccontextmanager
async def a_sink() -> AsyncIterator[Sink]:
    sink = Sink(Behaviour())
    await sink.start()
    try:
        yield sink
    finally:
        await sink.stop()


@pytest.mark.threat("N10")
def test_the_host_sees_the_address_and_a_parked_connection_keeps_it() -> None:
    async def run() -> None:
        async with a_sink() as sink:
            made = yard(to_port(sink.port, **{"source-addresses": ["127.0.0.5"]}))
            line = await made.attempts.courier.line_to(made.router.by_key("out:smart"))
            assert line.connection.wire.local_ip == "127.0.0.5"
            # When another destination of the same host wants another address, it gets a connection of its own
            parked = made.attempts.courier.parked
            made.attempts.courier.park(line)
            assert parked.of_host("out", line.host, local_ip="127.0.0.6") is None
            assert parked.of_host("out", line.host, local_ip="127.0.0.5") is not None
            line.connection.close()

    asyncio.run(run())


def test_an_address_that_has_gone_from_the_machine_is_passed_over() -> None:
    async def run() -> None:
        async with a_sink() as sink:
            addresses = ["192.0.2.77", "127.0.0.5"]
            made = yard(to_port(sink.port, **{"source-addresses": addresses, "source-choice": "round-robin"}))
            line = await made.attempts.courier.line_to(made.router.by_key("out:smart"))
            assert line.connection.wire.local_ip == "127.0.0.5"
            assert made.log.events() == ["source-address-unusable"]
            line.connection.close()

    asyncio.run(run())


def test_no_address_left_is_said() -> None:
    async def run() -> None:
        async with a_sink() as sink:
            made = yard(to_port(sink.port, **{"source-addresses": ["192.0.2.77"]}))
            with pytest.raises(WorldFault, match=r"from 192.0.2.77: it is not an address of this machine"):
                await made.attempts.courier.line_to(made.router.by_key("out:smart"))

    asyncio.run(run())


@pytest.mark.threat("N10")
def test_two_destinations_on_one_host_share_no_connection_with_different_addresses() -> None:
    async def run() -> None:
        async with a_sink() as sink:
            # Given two domains behind one host, whose addresses of ours differ
            resolver = FakeResolver()
            addresses = ["127.0.0.5", "127.0.0.6"]
            made = yard(
                settings_of({"source-addresses": addresses, "port": sink.port, "allow-loopback": True}),
                resolver=resolver,
            )
            keys: dict[str, str] = {}
            for number in range(20):
                domain = f"d{number}.example"
                resolver.addresses_of[domain] = ("127.0.0.1",)
                resolver.exchangers_of[domain] = (Mx(10, "mx.example"),)
                key = f"out:smtp:{domain}"
                settings = made.settings.send_connectors["out"]
                keys.setdefault(Sources().order("out", settings, "127.0.0.1", destination=key)[0], key)
            resolver.addresses_of["mx.example"] = ("127.0.0.1",)
            # When one's connection is parked, and the other needs one
            courier = made.attempts.courier
            first = await courier.line_to(made.router.by_key(keys["127.0.0.5"]))
            courier.park(first)
            second = await courier.line_to(made.router.by_key(keys["127.0.0.6"]))
            # Then it gets its own, from its own address
            assert second.connection is not first.connection
            assert second.connection.wire.local_ip == "127.0.0.6"
            second.connection.close()
            courier.parked.close_all()

    asyncio.run(run())
