"""What a delivery depends on fails, in every way there is: the mail waits, arrives once when it is well again.

DNS by the lab's scripted server, the next hop by the lab's fault proxy, the clock by hand. Nobody is told
of a failure that was none, and nothing is tried in a storm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from tests.delivery.fakes import FakeDialer, FakeHost, Yard, mail_to, settings_of, yard

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.tls import client_pump
from gatepost.config.dns_settings import Dns
from gatepost.config.schema import frozen
from gatepost.lab.dns_lies import (
    cut_short,
    forged_first,
    garbage,
    looping,
    somebody_else,
    without_tcp,
    wrong_id,
    wrong_name,
)
from gatepost.lab.dns_server import Fault, LabDns, drop, honest, refuse, servfail
from gatepost.lab.fault_proxy import NO_FAULTS, Direction, End, FaultProxy, Faults
from gatepost.lab.sink import Behaviour, Sink
from gatepost.ports.wire import OutgoingWire

ZONE: Final = "b.example MX 10 mx.b.example.\nmx.b.example A 192.0.2.20\n"
SHORT: Final[dict[str, Any]] = {"command-timeout": "1s", "data-timeout": "1s", "connect-timeout": "1s"}
ONE_BY_ONE: Final = Behaviour(extensions=())
LONG_ENOUGH_S: Final = 5000.0
_END: Final = b"\r\n.\r\n"
HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0


# -- the name server -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """faults: of the name server.  waits: the mail does not arrive before they are over."""

    name: str
    faults: Mapping[str, Fault] = field(default_factory=dict)
    waits: bool = True
    is_down: bool = False


DNS: Final = (
    Row("nobody listens", is_down=True),
    Row("silence", {"": Fault(drop)}),
    Row("SERVFAIL", {"": Fault(servfail)}),
    Row("REFUSED", {"": Fault(refuse)}),
    Row("SERVFAIL for the host only", {"mx.b.example": Fault(servfail)}),
    Row("slower than our patience", {"": Fault(honest, delay_s=30.0)}),
    Row("slow", {"": Fault(honest, delay_s=0.1)}, waits=False),
    Row("another id", {"": Fault(wrong_id)}),
    Row("another name", {"": Fault(wrong_name)}),
    Row("a forger that is quicker", {"": Fault(forged_first)}, waits=False),
    Row("a name that leads to itself", {"": Fault(looping)}),
    Row("half an answer", {"": Fault(cut_short)}),
    Row("octets that are no DNS", {"": Fault(garbage)}),
    Row("cut off, and no TCP", {"": Fault(without_tcp)}),
)


class Address20:
    """A dialer for which 192.0.2.20 is a port of loopback; whatever else it is asked for is written down."""

    def __init__(self, port: int) -> None:
        self._real = LoopDialer(client_pump)
        self._port = port
        self.others: list[str] = []

    async def connect(
        self, address: str, port: int, *, source_address: str, timeout_s: float
    ) -> OutgoingWire:
        if (address, port) != ("192.0.2.20", 25):
            self.others.append(f"{address}:{port}")
        return await self._real.connect(
            "127.0.0.1", self._port, source_address=source_address, timeout_s=timeout_s
        )


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.002)


def has_settled(made: Yard) -> bool:
    mail = made.store.mail(1)
    return mail is None or mail.recipients[0].attempts > 0


def tries(made: Yard) -> tuple[str, str]:
    """State and reply of the one recipient; "" when the mail has left."""
    mail = made.store.mail(1)
    return (mail.recipients[0].state.value, mail.recipients[0].last_reply) if mail else ("", "")


@asynccontextmanager
async def resolver_at(names: LabDns, timeout: str = "10s") -> AsyncIterator[Any]:
    """The gateway's own."""
    made = DnsResolver(
        Dns.model_validate(frozen({"servers": [f"127.0.0.1:{names.port}"], "timeout": timeout}))
    )
    try:
        yield made
    finally:
        made.close()


async def first_attempt(row: Row, sink: Sink) -> None:
    """The mail waits while the name server fails, and arrives once when it does not any more."""
    names = LabDns(ZONE, row.faults)
    await names.start()
    if row.is_down:
        await names.stop()
    dialer = Address20(sink.port)
    async with resolver_at(names, "300ms" if row.waits else "10s") as resolver:
        made = yard(settings_of(), dialer=dialer, resolver=resolver)
        made.scheduler.start()
        made.put(mail_to("b@b.example", next_hop=""))
        await until(lambda: has_settled(made))
        await made.scheduler.stop(1)
    state, reply = tries(made)
    assert (state == "deferred") is row.waits, f"{row.name}: {state} {reply}"
    assert bool(reply) is row.waits, row.name
    names.faults.clear()
    if row.is_down:
        await names.start(port=names.port)
    async with resolver_at(names) as resolver:
        later = yard(settings_of(), store=made.store, dialer=dialer, resolver=resolver)
        later.clock.advance(LONG_ENOUGH_S)
        later.scheduler.start()
        await until(lambda: made.store.mail(1) is None)
        await later.scheduler.stop(1)
    await names.stop()
    assert made.notices == later.notices == [], f"{row.name}: somebody was told"
    assert dialer.others == [], f"{row.name}: connected to {dialer.others}"


@pytest.mark.threat("M01", "M02", "M06", "M13")
def test_a_name_server_that_fails_costs_time_and_no_mail() -> None:
    async def run() -> None:
        sink = Sink(ONE_BY_ONE)
        await sink.start()
        await asyncio.gather(*(first_attempt(row, sink) for row in DNS))
        assert len(sink.mails) == len(DNS)
        await sink.stop()

    asyncio.run(run())


@pytest.mark.threat("M13")
def test_an_address_of_somebody_else_is_never_connected_to() -> None:
    """It is no answer to our question: there is no address, which the server said itself."""

    async def run() -> None:
        names = LabDns(ZONE, {"mx.b.example": Fault(somebody_else)})
        await names.start()
        dialer = Address20(1)
        async with resolver_at(names) as resolver:
            made = yard(settings_of(), dialer=dialer, resolver=resolver)
            made.scheduler.start()
            made.put(mail_to("b@b.example", next_hop=""))
            await until(lambda: has_settled(made))
            await made.scheduler.stop(1)
        await names.stop()
        assert dialer.others == []

    asyncio.run(run())


# -- the next hop ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """Where a conversation is spoiled, and how."""

    direction: Direction
    at: int
    then: End

    def faults(self, direction: Direction) -> Faults:
        return Faults(cut_at=self.at, then=self.then) if direction is self.direction else NO_FAULTS


async def spoiled(cut: Cut) -> tuple[str, str, int]:
    """State and reply after the cut, and how often the next hop has the mail in the end."""
    sink = Sink(ONE_BY_ONE)
    await sink.start()
    proxy = FaultProxy(
        ("127.0.0.1", sink.port),
        to_server=cut.faults(Direction.TO_SERVER),
        to_client=cut.faults(Direction.TO_CLIENT),
    )
    await proxy.start()
    patience = SHORT if cut.then in (End.BLACKHOLE, End.GARBAGE) else {}
    made = yard(settings_of({"smart-hosts": [f"[127.0.0.1]:{proxy.port}"], **patience}))
    made.scheduler.start()
    made.put(mail_to("b@b.example"))
    await until(lambda: has_settled(made))
    await made.scheduler.stop(1)
    state, reply = tries(made)
    proxy.heal()
    later = yard(made.settings, store=made.store)
    later.clock.advance(LONG_ENOUGH_S)
    later.scheduler.start()
    await until(lambda: made.store.mail(1) is None)
    await later.scheduler.stop(1)
    await proxy.stop()
    await sink.stop()
    assert made.notices == later.notices == [], f"{cut}: somebody was told"
    return state, reply, len(sink.mails)


async def small_talk() -> dict[Direction, bytes]:
    """The octets of a delivery that nothing happens to."""
    heard = dict.fromkeys(Direction, b"")

    def hear(_number: int, direction: Direction, octets: bytes) -> None:
        heard[direction] += octets

    sink = Sink(ONE_BY_ONE)
    await sink.start()
    proxy = FaultProxy(("127.0.0.1", sink.port), watch=hear)
    await proxy.start()
    made = yard(settings_of({"smart-hosts": [f"[127.0.0.1]:{proxy.port}"]}))
    made.scheduler.start()
    made.put(mail_to("b@b.example"))
    await until(lambda: made.store.mail(1) is None)
    await made.scheduler.stop(1)
    await proxy.stop()
    await sink.stop()
    return heard


async def in_turns(work: Sequence[Coroutine[Any, Any, Any]], *, at_once: int = 40) -> list[Any]:
    gate = asyncio.Semaphore(at_once)

    async def one(coroutine: Coroutine[Any, Any, Any]) -> Any:
        async with gate:
            return await coroutine

    return await asyncio.gather(*map(one, work))


def judge(cut: Cut, found: tuple[str, str, int], final_reply: range) -> None:
    """final_reply: where in the server's octets the answer to the whole mail stands."""
    state, reply, copies = found
    in_doubt = cut.direction is Direction.TO_CLIENT and cut.at in final_reply
    if not state:  # the reply had come far enough, or what came instead was one
        assert in_doubt, f"{cut}: delivered"
        assert copies == 1, f"{cut}: {copies} copies"
        return
    assert state == "deferred", f"{cut}: {state}"
    assert reply, f"{cut}: nobody knows why"
    # Twice is right only where the next hop had all of it and its answer was lost (RFC 1047).
    assert copies == 1 or (in_doubt and copies == 2), f"{cut}: {copies} copies"


STAGES: Final = ("220", "EHLO", "MAIL", "RCPT", "DATA", "the end")


def begins_of_replies(said: bytes) -> list[int]:
    """Where each of the server's replies begins."""
    begins = [0]
    for line in said.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))
    return begins[: len(STAGES)]


@pytest.mark.threat("N05", "N09")
def test_a_next_hop_that_hangs_or_talks_nonsense_at_any_stage() -> None:
    async def run() -> None:
        said = (await small_talk())[Direction.TO_CLIENT]
        begins = begins_of_replies(said)
        last = range(begins[-1], len(said))
        cuts = [Cut(Direction.TO_CLIENT, at, then) for at in begins for then in (End.BLACKHOLE, End.GARBAGE)]
        cuts += [Cut(Direction.TO_SERVER, at, End.BLACKHOLE) for at in (0, 10, 60)]
        for cut, found in zip(cuts, await in_turns([spoiled(cut) for cut in cuts]), strict=True):
            judge(cut, found, last)

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.threat("N05")
def test_a_connection_cut_at_every_octet_of_a_small_conversation() -> None:
    async def run() -> None:
        talk = await small_talk()
        said = talk[Direction.TO_CLIENT]
        last = range(begins_of_replies(said)[-1], len(said))
        ends = {
            Direction.TO_CLIENT: last.stop,
            Direction.TO_SERVER: talk[Direction.TO_SERVER].index(_END) + len(_END),
        }
        cuts = [
            Cut(direction, at, (End.CLOSE, End.RESET)[at % 2])
            for direction in Direction
            for at in range(ends[direction])
        ]
        assert len(cuts) > 200
        for cut, found in zip(cuts, await in_turns([spoiled(cut) for cut in cuts]), strict=True):
            judge(cut, found, last)

    asyncio.run(run())


def test_a_next_hop_that_is_down_is_asked_again_and_gets_the_mail_once() -> None:
    async def run() -> None:
        sink = Sink(ONE_BY_ONE)
        await sink.start()
        await sink.stop()
        made = yard(settings_of({"smart-hosts": [f"[127.0.0.1]:{sink.port}"]}))
        made.scheduler.start()
        made.put(mail_to("b@b.example"))
        await until(lambda: has_settled(made))
        assert tries(made)[0] == "deferred"
        await sink.start(port=sink.port)
        await made.pass_time(LONG_ENOUGH_S)
        await until(lambda: made.store.mail(1) is None)
        await made.scheduler.stop(1)
        await sink.stop()
        assert (len(sink.mails), made.notices) == (1, [])

    asyncio.run(run())


# -- the clock ------------------------------------------------------------------------------------


def hours_with(jumps_s: Mapping[int, float]) -> tuple[list[float], Yard]:
    """Six hours, minute by minute, of a mail whose next hop is down; the wall clock jumps at some of them.

    The steady times of its attempts, and the yard at the end. The mail lives for twelve hours.
    """
    host, times = FakeHost("down"), []

    async def run() -> Yard:
        made = yard(settings_of({"smart-hosts": ["[192.0.2.10]"]}), dialer=FakeDialer({"192.0.2.10": host}))
        made.put(mail_to("b@b.example", expires_at=made.clock.wall + 12 * HOUR_S))
        await until(lambda: has_settled(made) and not made.scheduler._active.mail_ids)
        times.append(made.clock.steady)
        for minute in range(6 * 60):
            before = host.attempts
            made.clock.wall += jumps_s.get(minute, 0.0)
            made.clock.advance(60.0)
            made.scheduler._pull()
            await until(lambda: not made.scheduler._active.mail_ids)
            times.extend([made.clock.steady] * (host.attempts - before))
        await made.scheduler.stop(1)
        return made

    made = asyncio.run(run())
    return times, made


@pytest.mark.threat("O17")
@pytest.mark.parametrize(
    "jumps_s",
    [
        pytest.param({30: DAY_S}, id="a day forward"),
        pytest.param({30: -DAY_S}, id="a day back"),
        pytest.param({30: DAY_S, 90: -DAY_S}, id="a day forward, and right again"),
        pytest.param({30: -DAY_S, 90: DAY_S}, id="a day back, and right again"),
        pytest.param(
            {minute: (-1) ** minute * DAY_S for minute in range(10, 70)}, id="to and fro each minute"
        ),
    ],
)
def test_a_clock_that_jumps_neither_ends_a_mail_nor_hurries_it(jumps_s: Mapping[int, float]) -> None:
    steady, _ = hours_with({})
    assert 5 < len(steady) < 60
    times, made = hours_with(jumps_s)
    assert tries(made)[0] == "deferred"
    assert made.notices == []
    # Not one attempt more, and none at another time, than with a clock that is right
    assert times == steady
