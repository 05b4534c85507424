"""Small bounds of the intake: lines of a flood in the log, delayed replies, files of unfinished mail."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.fakes import FakeSpool
from tests.intake.house import Lines

from gatepost.intake.log_brake import LogBrake
from gatepost.intake.reception import FIELD_TOO_LARGE, HEADER_TOO_LARGE, Reception
from gatepost.intake.tarpit import Tarpit
from gatepost.intake.unfinished import TOO_MUCH, Unfinished
from gatepost.model.content import BodyForm
from gatepost.model.fault import Fault, WorldFault
from gatepost.model.reply import Reply


@pytest.mark.threat("G09", "S04")
def test_a_flood_is_some_lines_and_a_number() -> None:
    async def scenario() -> list[tuple[str, dict[str, object]]]:
        lines = Lines()
        brake = LogBrake(lines, lines=3)
        for _ in range(5000):
            brake.write("warning", "connection-refused", connector="in", limit="connections")
        brake.write("warning", "connection-refused", connector="in", limit="connection-rate")
        brake.tell()
        brake.write("warning", "connection-refused", connector="in", limit="connections")
        brake.tell()
        return lines.written

    written = asyncio.run(scenario())
    assert [event for event, _ in written] == [
        *["connection-refused"] * 4,
        "more-of-the-same",
        "connection-refused",
    ]
    assert written[4][1] == {
        "level": "warning",
        "of": "connection-refused",
        "connector": "in",
        "limit": "connections",
        "count": 4997,
    }


@pytest.mark.threat("G09")
def test_the_rest_of_a_flood_is_told_by_itself() -> None:
    async def scenario() -> list[str]:
        lines = Lines()
        brake = LogBrake(lines, lines=1, window_s=0.01)
        brake.write("warning", "x")
        brake.write("warning", "x")
        async with asyncio.timeout(10):
            while len(lines.written) < 2:
                await asyncio.sleep(0.01)
        return [event for event, _ in lines.written]

    assert asyncio.run(scenario()) == ["x", "more-of-the-same"]


@pytest.mark.threat("G13")
def test_who_holds_no_place_is_not_sent_away_for_those_who_hold_them_all() -> None:
    async def scenario() -> None:
        tarpit = Tarpit(2)
        held = [asyncio.ensure_future(tarpit.hold(60.0, "192.0.2.0/24")) for _ in range(2)]
        await asyncio.sleep(0)
        assert not await tarpit.hold(60.0, "192.0.2.0/24")
        assert await tarpit.hold(60.0, "198.51.100.0/24")  # at once
        for one in held:
            one.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        assert await tarpit.hold(0.0, "192.0.2.0/24")
        assert tarpit.held == 0

    asyncio.run(scenario())


@pytest.mark.threat("G13")
def test_a_tarpit_holds_so_many_and_no_more() -> None:
    async def scenario() -> None:
        tarpit = Tarpit(2)
        held = [asyncio.ensure_future(tarpit.hold(60.0)) for _ in range(2)]
        await asyncio.sleep(0)
        assert tarpit.held == 2
        assert not await tarpit.hold(60.0)
        held[0].cancel()
        await asyncio.gather(held[0], return_exceptions=True)
        assert not tarpit.is_full
        held[1].cancel()
        await asyncio.gather(held[1], return_exceptions=True)

    asyncio.run(scenario())


@pytest.mark.threat("G05")
def test_unfinished_mail_takes_so_much_of_the_disk_and_no_more() -> None:
    bodies: dict[str, bytes] = {}
    names = iter("abcdef")
    unfinished = Unfinished(lambda: FakeSpool(bodies, next(names)), 100)
    first, second = unfinished.open(), unfinished.open()
    first.write(b"x" * 60)
    second.write(b"x" * 40)
    with pytest.raises(WorldFault) as caught:
        second.write(b"x")
    assert caught.value.reply == TOO_MUCH
    assert (unfinished.hit.limit, unfinished.hit.value, unfinished.hit.actual) == (
        "intake.unfinished",
        100,
        100,
    )
    # What is finished, or given up, counts no more, and not twice
    first.keep()
    second.discard()
    second.discard()
    assert unfinished.held_bytes == 0
    unfinished.open().write(b"x" * 100)


class SlowFile(FakeSpool):
    """A file on a disk that takes its time. It must not be let go while a thread writes to it."""

    def __init__(self) -> None:
        super().__init__({}, "slow")
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.done: list[str] = []

    def write(self, data: bytes) -> None:
        self.begun.set()
        assert self.may_end.wait(10)
        super().write(data)
        self.done.append("written")

    def discard(self) -> None:
        self.done.append("discarded")


@pytest.mark.threat("G05", "O01")
def test_a_session_that_is_cut_off_lets_its_file_go_when_the_disk_has_written() -> None:
    async def scenario() -> None:
        file = SlowFile()
        unfinished = Unfinished(lambda: file, 1000)
        reception = Reception(unfinished.open, memory_body_bytes=10, header_bytes=1000)
        assert reception.add(b"A: b\r\n\r\n" + b"x" * 500)
        writing = asyncio.ensure_future(reception.write_out())
        await asyncio.to_thread(file.begun.wait, 10)
        reception.discard()
        assert file.done == []
        file.may_end.set()
        await writing
        assert file.done == ["written", "discarded"]
        assert unfinished.held_bytes == 0

    asyncio.run(scenario())


def received(content: bytes, *, pieces: int = 1 << 30, **limits: int) -> Reply | None:
    """What is said about a message's header section; None: it is taken."""

    async def run() -> Reply | None:
        bodies: dict[str, bytes] = {}
        reception = Reception(
            lambda: FakeSpool(bodies, "body"), **{"memory_body_bytes": 100, "header_bytes": 10_000, **limits}
        )
        for at in range(0, len(content), pieces):
            if reception.add(content[at : at + pieces]):
                await reception.write_out()
        form = BodyForm(size_bytes=len(content))
        try:
            _ = await reception.finish_spooled(form) if reception.is_spooled else reception.finish(form)
        except Fault as fault:
            return fault.reply
        return None

    return asyncio.run(run())


HEAD = b"Subject: x\r\nX-Long: " + b"y" * 490 + b"\r\n\r\n"  # the long field has 500 octets


@pytest.mark.parametrize("pieces", [1, 7, 1 << 30])
@pytest.mark.parametrize("body", [b"", b"text\r\n", b"text\r\n" * 100], ids=["no body", "small", "large"])
@pytest.mark.parametrize("memory_bytes", [100, 100_000], ids=["in a file", "in memory"])
def test_header_section_and_field_at_their_limits_and_one_past_them(
    pieces: int, body: bytes, memory_bytes: int
) -> None:
    def said(**limits: int) -> Reply | None:
        return received(HEAD + body, pieces=pieces, memory_body_bytes=memory_bytes, **limits)

    assert said(header_bytes=len(HEAD), field_bytes=500) is None
    assert said(header_bytes=len(HEAD) - 1) == HEADER_TOO_LARGE
    assert said(field_bytes=499) == FIELD_TOO_LARGE
