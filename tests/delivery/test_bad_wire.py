"""A wire that breaks at every octet: no mail is lost, torn or invented, and none is doubled for nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Self

import pytest
from tests.delivery.fakes import CONTENT, mail_to, parcel_of, to_port, yard

from gatepost.delivery.courier import NoHost
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.lab.fault_proxy import NO_FAULTS, Direction, End, FaultProxy, Faults
from gatepost.lab.sink import Behaviour, Sink

TO = ("bob@b.example", "carl@b.example")
PLAIN = Behaviour(extensions=("SIZE 1000000", "8BITMIME"))
PIPELINED = Behaviour()
LMTP = Behaviour(lmtp=True)


class Wire:
    """A sink behind a proxy, and a courier before it."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.passed = {Direction.TO_SERVER: 0, Direction.TO_CLIENT: 0}
        self.sink = Sink(behaviour)
        self.lmtp = behaviour.lmtp

    async def __aenter__(self) -> Self:
        await self.sink.start()
        self.proxy = FaultProxy(("127.0.0.1", self.sink.port), watch=self.count)
        await self.proxy.start()
        way = {"delivery": "lmtp"} if self.lmtp else {}
        patience = {"command-timeout": "1s", "data-timeout": "1s"}
        self.made = yard(to_port(self.proxy.port, **way, **patience), monotonic=time.monotonic)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.proxy.stop()
        await self.sink.stop()

    def count(self, _number: int, direction: Direction, octets: bytes) -> None:
        self.passed[direction] += len(octets)

    async def attempt(self, to_server: Faults = NO_FAULTS, to_client: Faults = NO_FAULTS) -> Attempt | None:
        """One attempt on a connection of its own; None when no host was reached at all."""
        self.proxy.to_server, self.proxy.to_client = to_server, to_client
        hop = self.made.router.by_key("out:smart")
        try:
            attempt, line = await self.made.attempts.make(parcel_of(mail_to(*TO)), hop, None)
        except NoHost:
            return None
        if line is not None:
            line.connection.close()
        return attempt

    def taken(self) -> list[tuple[str, ...]]:
        """The recipients of each mail the sink has; each must be whole."""
        assert all(mail.content == CONTENT.head + b"text\r\n" for mail in self.sink.mails)
        return [mail.recipients for mail in self.sink.mails]


def cuts(passed: dict[Direction, int], *, every: int) -> Iterator[tuple[Faults, Faults]]:
    """A break after each n-th octet of either side, by turns a close and a reset: faults to server and to client."""
    for number, at in enumerate(range(0, passed[Direction.TO_SERVER] + 1, every)):
        yield Faults(cut_at=at, then=(End.CLOSE, End.RESET)[number % 2]), NO_FAULTS
    for number, at in enumerate(range(0, passed[Direction.TO_CLIENT] + 1, every)):
        yield NO_FAULTS, Faults(cut_at=at, then=(End.RESET, End.CLOSE)[number % 2])


async def break_everywhere(behaviour: Behaviour, *, every: int) -> None:
    async with Wire(behaviour) as wire:
        # Given a conversation that goes well, so that its octets are known
        whole = await wire.attempt()
        assert whole is not None
        assert [o.fate for o in whole.outcomes] == [Fate.DELIVERED, Fate.DELIVERED]
        for harm in cuts(dict(wire.passed), every=every):
            wire.sink.mails.clear()
            # When it breaks somewhere
            attempt = await wire.attempt(*harm)
            fates = {str(o.recipient.recipient.address): o.fate for o in attempt.outcomes} if attempt else {}
            # Then nobody has failed, and who counts as delivered has the mail
            assert Fate.FAILED not in fates.values(), harm
            delivered = {who for who, fate in fates.items() if fate is Fate.DELIVERED}
            took = {who for recipients in wire.taken() for who in recipients}
            assert delivered <= took, harm
            # And a mail that may have arrived is no glitch that is repeated in haste
            if took and attempt is not None:
                assert not any(o.is_glitch for o in attempt.outcomes), harm
            # And the next attempt brings it to everybody
            again = await wire.attempt()
            assert again is not None
            assert {o.fate for o in again.outcomes} == {Fate.DELIVERED}, harm
            assert len(wire.taken()) <= 2, harm


@pytest.mark.threat("N05", "N06")
@pytest.mark.parametrize("behaviour", [PLAIN, PIPELINED, LMTP], ids=["plain", "pipelined", "LMTP"])
def test_a_wire_that_breaks_here_and_there(behaviour: Behaviour) -> None:
    asyncio.run(break_everywhere(behaviour, every=7))


@pytest.mark.slow
@pytest.mark.threat("N05", "N06")
@pytest.mark.parametrize("behaviour", [PLAIN, PIPELINED, LMTP], ids=["plain", "pipelined", "LMTP"])
def test_a_wire_that_breaks_at_every_octet(behaviour: Behaviour) -> None:
    asyncio.run(break_everywhere(behaviour, every=1))


SILENT = [
    (Faults(cut_at=40, then=End.BLACKHOLE), NO_FAULTS),
    (NO_FAULTS, Faults(cut_at=60, then=End.BLACKHOLE)),
]


@pytest.mark.threat("N09")
@pytest.mark.parametrize("harm", SILENT, ids=["of ours", "of the peer"])
def test_a_wire_that_falls_silent_costs_its_patience_and_no_mail(harm: tuple[Faults, Faults]) -> None:
    async def run() -> None:
        async with Wire(PIPELINED) as wire:
            attempt = await wire.attempt(*harm)
            assert attempt is None or {o.fate for o in attempt.outcomes} == {Fate.DEFERRED}
            assert wire.taken() == []

    asyncio.run(run())


def test_a_wire_that_drips_is_only_slow() -> None:
    async def run() -> None:
        async with Wire(PIPELINED) as wire:
            drip = Faults(piece_bytes=1, every_s=0.0001)
            attempt = await wire.attempt(drip, drip)
            assert attempt is not None
            assert {o.fate for o in attempt.outcomes} == {Fate.DELIVERED}
            assert wire.taken() == [TO]

    asyncio.run(run())
