"""Every stage of a delivery, cut in every way: the mail waits, is delivered later, and twice only where that is right.

Twice is right where the next hop had taken the mail and its reply was lost: nobody can tell that
from a reply that was never given (threats N05, RFC 1047).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from tests.delivery.fakes import Yard, mail_to, to_port, yard

from gatepost.lab.fault_proxy import NO_FAULTS, Direction, End, FaultProxy, Faults
from gatepost.lab.sink import Behaviour, Sink

COMMANDS: Final = ("EHLO", "MAIL", "RCPT", "DATA", "the content")
REPLIES: Final = ("the greeting", "EHLO", "MAIL", "RCPT", "DATA", "the end of data")
SHORT: Final[dict[str, Any]] = {"command-timeout": "1s", "data-timeout": "1s", "connect-timeout": "1s"}
SILENT: Final = (End.BLACKHOLE, End.GARBAGE)
"""Only our patience ends these, and a machine may be too busy to get further in that time."""
ONE_BY_ONE: Final = Behaviour(extensions=())
"""Without PIPELINING each reply comes alone, so that a stage is a place in the stream."""


@dataclass(frozen=True)
class Stage:
    """direction: of the octets that are cut. cut_at: how many of them pass. last: it is the last reply."""

    name: str
    direction: Direction
    cut_at: int
    last: bool = False


@dataclass
class Drill:
    """What became of one mail. state, reply: of its recipient after the fault; "" when it has left the store."""

    stage: Stage
    state: str
    reply: str
    taken: int = 0


@asynccontextmanager
async def next_hop(
    *, to_server: Faults = NO_FAULTS, to_client: Faults = NO_FAULTS, behaviour: Behaviour = ONE_BY_ONE
) -> AsyncIterator[tuple[Sink, FaultProxy]]:
    """A mailbox server behind a fault proxy."""
    sink = Sink(behaviour)
    await sink.start()
    proxy = FaultProxy(("127.0.0.1", sink.port), to_server=to_server, to_client=to_client)
    await proxy.start()
    try:
        yield sink, proxy
    finally:
        await proxy.stop()
        await sink.stop()


async def deliver(proxy: FaultProxy) -> None:
    """A mail that must leave the store at the first attempt."""
    made = yard(to_port(proxy.port))
    made.scheduler.start()
    made.put(mail_to("b@b.example"))
    await until(lambda: made.store.mail(1) is None)
    await made.scheduler.stop(1)


async def whole_talk() -> dict[Direction, list[bytes]]:
    """The octets of an undisturbed delivery, in the pieces they were sent in."""
    heard: dict[Direction, list[bytes]] = {direction: [] for direction in Direction}
    async with next_hop() as (_, proxy):
        proxy.watch = lambda _, direction, octets: heard[direction].append(octets)
        await deliver(proxy)
    return heard


async def until(is_so: Any) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.001)


def stages_of(talk: dict[Direction, list[bytes]]) -> list[Stage]:
    """Before each command and reply, and inside it."""
    stages = []
    for direction, names in ((Direction.TO_SERVER, COMMANDS), (Direction.TO_CLIENT, REPLIES)):
        whole = b"".join(talk[direction])
        begins = 0
        for name in names:
            end = whole.index(b".\r\n" if name == "the content" else b"\n", begins) + 1
            end += 2 if name == "the content" else 0
            last = name == REPLIES[-1]
            what = "the reply to " if direction is Direction.TO_CLIENT and name != "the greeting" else ""
            stages.append(Stage(f"before {what}{name}", direction, begins, last))
            stages.append(Stage(f"inside {what}{name}", direction, (begins + end) // 2, last))
            stages.append(Stage(f"at the last octet of {what}{name}", direction, end - 1, last))
            begins = end
    return stages


async def drill(stage: Stage, end: End) -> Drill:
    """Deliver a mail through the fault, then again without."""
    faults = Faults(cut_at=stage.cut_at, then=end)
    at_server = stage.direction is Direction.TO_SERVER
    async with next_hop(
        to_server=faults if at_server else NO_FAULTS, to_client=NO_FAULTS if at_server else faults
    ) as (sink, proxy):
        made = yard(to_port(proxy.port, **(SHORT if end in SILENT else {})))
        made.scheduler.start()
        made.put(mail_to("b@b.example"))
        await until(lambda: has_settled(made))
        await made.scheduler.stop(1)
        mail = made.store.mail(1)
        found = Drill(
            stage,
            mail.recipients[0].state.value if mail else "",
            mail.recipients[0].last_reply if mail else "",
        )
        proxy.heal()
        later = yard(to_port(proxy.port), store=made.store)
        later.clock.advance(5000)
        later.scheduler.start()
        await until(lambda: made.store.mail(1) is None)
        await later.scheduler.stop(1)
        found.taken = len(sink.mails)
    assert made.notices == later.notices == [], "nobody is told of a failure that was none"
    return found


def has_settled(made: Yard) -> bool:
    mail = made.store.mail(1)
    return mail is None or mail.recipients[0].attempts > 0


async def drills(end: End) -> list[Drill]:
    """Every stage, at once: the black holes wait together."""
    stages = [
        s
        for s in stages_of(await whole_talk())
        if end is not End.GARBAGE or s.direction is Direction.TO_CLIENT
    ]
    assert len(stages) == 3 * (len(REPLIES) + (len(COMMANDS) if end is not End.GARBAGE else 0))
    work: list[Coroutine[Any, Any, Drill]] = [drill(stage, end) for stage in stages]
    return await asyncio.gather(*work)


@pytest.mark.threat("N01", "N04", "N05", "N08")
@pytest.mark.parametrize("end", list(End), ids=lambda e: e.value)
def test_a_mail_that_is_cut_off_waits_and_arrives(end: End) -> None:
    for done in asyncio.run(drills(end)):
        name = f"{end.value} {done.stage.name}: {done}"
        if end is End.GARBAGE and done.stage.last and not done.state:
            assert done.taken == 1, name  # a 250 with odd words is a 250
            continue
        # The mail waits, and why is told
        assert done.state == "deferred", name
        assert done.reply, name
        # And then it arrives, as often as it must
        assert done.taken in times(done.stage, end), name


@pytest.mark.slow
@pytest.mark.threat("N05")
@pytest.mark.parametrize("end", [End.CLOSE, End.HALF_CLOSE, End.RESET], ids=lambda e: e.value)
def test_the_same_at_every_octet(end: End) -> None:
    async def run() -> list[Drill]:
        done: list[Drill] = []
        stages = every_octet(stages_of(await whole_talk()))
        for at in range(0, len(stages), 40):
            done += await asyncio.gather(*(drill(stage, end) for stage in stages[at : at + 40]))
        return done

    for done in asyncio.run(run()):
        assert done.state == "deferred", done
        assert done.taken in times(done.stage, end), done


def every_octet(stages: list[Stage]) -> list[Stage]:
    """Each octet from the beginning of a command or reply to its end, as three of the stages know it."""
    found = []
    for before, _, at_the_last in zip(stages[::3], stages[1::3], stages[2::3], strict=True):
        found.append(before)
        inside = range(before.cut_at + 1, at_the_last.cut_at + 1)
        found += [
            Stage(f"octet {n} {before.direction.value}", before.direction, n, before.last) for n in inside
        ]
    return found


def times(stage: Stage, end: End) -> tuple[int, ...]:
    """How often the next hop has the mail in the end: twice where it had all of it, and its answer was lost."""
    if stage.last:
        return (1, 2) if stage.name.startswith("before") or end in SILENT else (2,)
    with_odd_words = end is End.GARBAGE and "the reply to DATA" in stage.name  # a 354 all the same
    return (1, 2) if with_odd_words else (1,)


SLOW: Final = {
    "a reader that reads an octet at a time": (Faults(piece_bytes=1, every_s=0.0001), NO_FAULTS),
    "a writer that writes an octet at a time": (NO_FAULTS, Faults(piece_bytes=1, every_s=0.0001)),
    "everything late": (Faults(delay_s=0.002), Faults(delay_s=0.002)),
}


@pytest.mark.threat("N09")
@pytest.mark.parametrize("name", SLOW)
def test_a_next_hop_that_is_slow_gets_the_mail_once(name: str) -> None:
    async def run() -> None:
        to_server, to_client = SLOW[name]
        async with next_hop(to_server=to_server, to_client=to_client, behaviour=Behaviour()) as (sink, proxy):
            await deliver(proxy)
            assert len(sink.mails) == proxy.connections == 1

    asyncio.run(run())


def test_a_reply_that_came_whole_counts_whatever_happens_then() -> None:
    async def run() -> None:
        whole = b"".join((await whole_talk())[Direction.TO_CLIENT])
        taken = whole.index(b"Kept\r\n") + len(b"Kept\r\n")
        async with next_hop(to_client=Faults(cut_at=taken, then=End.HALF_CLOSE)) as (sink, proxy):
            made = yard(to_port(proxy.port))
            made.scheduler.start()
            made.put(mail_to("b@b.example"))
            await until(lambda: made.store.mail(1) is None)
            assert len(sink.mails) == 1
            # And the next mail does not suffer from the connection that was kept open
            proxy.heal()
            made.put(mail_to("b@b.example", mail_id=2))
            await until(lambda: made.store.mail(2) is None or has_been_put_off(made))
            assert made.store.mail(2) is None
            assert len(sink.mails) == 2
            await made.scheduler.stop(1)

    def has_been_put_off(made: Yard) -> bool:
        mail = made.store.mail(2)
        return mail is not None and mail.recipients[0].attempts > 0

    asyncio.run(run())
