"""The simulated loop, network and judge do what the runs build on."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from sim.journal import Answer, Copy, Journal, Kept, Sent
from sim.judge import judge
from sim.loop import Process, SimLoop, Stuck
from sim.network import Network, Transport
from sim.plan import plan_of
from sim.stream import Stream
from tests.delivery.fakes import mail_to

from gatepost.model.queued import MailState

HOST = ("10.0.0.1", 25)


def played(story: Any) -> SimLoop:
    loop = SimLoop(Random(1))
    try:
        loop.run_until_complete(story(loop))
    finally:
        loop.close()
    return loop


def test_five_days_pass_at_once() -> None:
    async def story(loop: SimLoop) -> None:
        await asyncio.sleep(5 * 86400)

    assert played(story).time() == pytest.approx(5 * 86400)


def test_waiting_for_nothing_is_an_error() -> None:
    async def story(loop: SimLoop) -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        played(story)


def test_a_dead_process_does_nothing_more() -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
            said.append("worked")
        finally:
            said.append("cleaned up")

    async def story(loop: SimLoop) -> None:
        process = Process(0)
        process.context.run(loop.create_task, work())
        await asyncio.sleep(5)
        loop.kill(process)
        await asyncio.sleep(10)
        assert said == []
        with pytest.raises(RuntimeError):
            process.tasks[0].get_coro().throw(RuntimeError())  # let go of it

    played(story)


def with_network(story: Any) -> None:
    async def begin(loop: SimLoop) -> None:
        accepted: list[Stream] = []

        def accept(transport: Transport) -> None:
            stream = Stream()
            transport.set_protocol(stream)
            stream.connection_made(transport)
            accepted.append(stream)

        network = Network(loop, Random(2), lambda _: None)
        network.hosts[HOST] = accept
        await story(network, accepted)

    played(begin)


def test_what_is_written_arrives_in_order_and_then_the_end() -> None:
    async def story(network: Network, accepted: list[Stream]) -> None:
        _, client = await network.connect(Stream, *HOST)
        text = b"".join(b"line %d\r\n" % n for n in range(5000))
        client.write(text)
        client.close()
        assert await accepted[0].exactly(len(text)) == text
        assert await accepted[0].line() == b""

    with_network(story)


def test_a_cut_connection_ends_on_both_sides() -> None:
    async def story(network: Network, accepted: list[Stream]) -> None:
        _, client = await network.connect(Stream, *HOST)
        client.abort()
        assert await accepted[0].line() == b""
        assert client.at_end

    with_network(story)


def test_nobody_listens() -> None:
    async def story(network: Network, accepted: list[Stream]) -> None:
        with pytest.raises(ConnectionRefusedError):
            await network.connect(Stream, "10.9.9.9", 25)

    with_network(story)


def said_of_two_copies(*, settled_at: float | None, deaths: tuple[tuple[float, int], ...]) -> list[str]:
    """What the judge says when a mail was delivered at 10 and at 20, and both times the 2xx was heard."""
    network = Network(SimLoop(Random(1)), Random(1), lambda _: None)
    try:
        wire = Transport(network, HOST, HOST)
        wire.delivered = 100
        journal = Journal(lambda: 1000.0)
        mail = mail_to("ann@ours.example")
        journal.kept[1] = Kept(
            mail=mail,
            name="m1",
            digest="d",
            at=1.0,
            addresses=("ann@ours.example",),
            ends={0: [MailState.DELIVERED]},
        )
        journal.by_digest["d"] = 1
        journal.sent["m1"] = Sent("m1", "", taken={"ann@ours.example"}, answer=Answer.ACKNOWLEDGED)
        for token, at in (("t1t", 10.0), ("t2t", 20.0)):
            journal.copy(Copy("d", "ann@ours.example", token, at, wire=wire, end=50))
        journal.settled["t2t"] = 21.0
        if settled_at is not None:
            journal.settled["t1t"] = settled_at
        journal.deaths.extend(deaths)
        judge(journal, plan_of(1), [])
        return journal.findings
    finally:
        network.loop.close()


DUPLICATES: dict[str, tuple[float | None, tuple[tuple[float, int], ...], str]] = {
    "a death before the settlement excuses it": (None, ((15.0, 0),), ""),
    "nobody died": (None, (), "nobody died"),
    "a death after the second copy excuses nothing": (None, ((30.0, 0),), "nobody died"),
    "the death of another worker excuses nothing": (None, ((15.0, 1),), "nobody died"),
    "the first was settled, whoever died": (12.0, ((15.0, 0),), "was settled"),
}


@pytest.mark.parametrize("case", DUPLICATES)
def test_a_duplicate_needs_a_reason(case: str) -> None:
    settled_at, deaths, expected = DUPLICATES[case]
    findings = said_of_two_copies(settled_at=settled_at, deaths=deaths)
    assert [expected in finding for finding in findings] == ([True] if expected else [])


def test_what_nobody_kept_is_invented_and_what_was_promised_is_lost() -> None:
    journal = Journal(lambda: 1000.0)
    journal.copy(Copy("d", "ann@ours.example", "t1t", 10.0, wire=None, end=-1))
    journal.sent["m1"] = Sent("m1", "", taken={"ann@ours.example"}, answer=Answer.ACKNOWLEDGED)
    judge(journal, plan_of(1), [])
    assert ["never kept" in journal.findings[0], "was acknowledged" in journal.findings[1]] == [True, True]
