"""Clients whose connection breaks at any stage, in any way: a mail is taken whole, once, or not at all (I3, I4)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

import pytest
from tests.intake.house import House, open_house, settings_with

from gatepost.lab.fault_proxy import NO_FAULTS, Direction, End, FaultProxy, Faults

REPLIES: Final = ("the greeting", "EHLO", "MAIL", "RCPT", "DATA", "the end of data", "QUIT")
CONTENT: Final = b"Subject: hello\r\n\r\nSome text.\r\n.\r\n"


def lines_of(number: int) -> list[bytes]:
    """What the client of one drill says, one piece a reply. The numbers have two digits: places are the same."""
    return [
        b"EHLO client.example\r\n",
        b"MAIL FROM:<drill-%02d@there.example>\r\n" % number,
        b"RCPT TO:<ann@ours.example>\r\n",
        b"DATA\r\n",
        CONTENT,
        b"QUIT\r\n",
    ]


@dataclass(frozen=True)
class Stage:
    """direction: of the octets that are cut. taken: whether the mail is ours by then."""

    name: str
    direction: Direction
    cut_at: int
    taken: bool


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    lines = [await reader.readuntil(b"\n")]
    while lines[-1][3:4] == b"-":
        lines.append(await reader.readuntil(b"\n"))
    return b"".join(lines)


async def converse(port: int, number: int) -> list[bytes]:
    """Say everything, each piece after the reply to the last; the replies, until the connection breaks."""
    replies: list[bytes] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        replies.append(await read_reply(reader))
        for piece in lines_of(number):
            writer.write(piece)
            replies.append(await read_reply(reader))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return replies


def stages_of(replies: list[bytes]) -> list[Stage]:
    """Inside each command and reply, and at their last octets."""
    stages: list[Stage] = []
    said = lines_of(0)
    begins = 0
    for name, piece in zip(("EHLO", "MAIL", "RCPT", "DATA", "the content", "QUIT"), said, strict=True):
        taken = name == "QUIT"
        for where, at in (("inside", len(piece) // 2), ("at the last octet of", len(piece) - 1)):
            stages.append(Stage(f"{where} {name}", Direction.TO_SERVER, begins + at, taken))
        begins += len(piece)
        if name == "the content":
            stages.append(Stage("right behind the content", Direction.TO_SERVER, begins, taken=True))
    begins = 0
    for name, reply in zip(REPLIES, replies, strict=True):
        taken = name in REPLIES[-2:]
        for where, at in (("inside", len(reply) // 2), ("at the last octet of", len(reply) - 1)):
            stages.append(Stage(f"{where} the reply to {name}", Direction.TO_CLIENT, begins + at, taken))
        begins += len(reply)
    return stages


async def drill(house: House, number: int, stage: Stage, end: End) -> None:
    faults = Faults(cut_at=stage.cut_at, then=end)
    at_server = stage.direction is Direction.TO_SERVER
    proxy = FaultProxy(
        ("127.0.0.1", house.port),
        to_server=faults if at_server else NO_FAULTS,
        to_client=NO_FAULTS if at_server else faults,
    )
    await proxy.start()
    await converse(proxy.port, number)
    await proxy.stop()


@pytest.mark.threat("A22", "A23")
@pytest.mark.parametrize("end", [End.CLOSE, End.HALF_CLOSE, End.RESET], ids=lambda e: e.value)
def test_a_connection_that_breaks_leaves_whole_mails_only(end: End) -> None:
    async def run() -> None:
        settings = settings_with({"limits": {"connections-per-source": 1000}})
        async with open_house(settings) as house, asyncio.timeout(60):
            replies = await converse(house.port, 99)
            stages = stages_of(replies)
            await asyncio.gather(*(drill(house, n, stage, end) for n, stage in enumerate(stages)))
            # Every session ends by itself
            while house.listener.session_count:
                await asyncio.sleep(0.001)
            senders = [accept.mail.sender.local for accept in house.accepted]
            for number, stage in enumerate(stages):
                count = senders.count(f"drill-{number:02}")
                overtaken = end is End.RESET and stage.name.startswith("right behind")  # by the RST, perhaps
                assert count == stage.taken or (overtaken and count == 0), f"{end.value} {stage.name}"
            # And the house takes the next mail
            assert (await converse(house.port, 98))[-2].startswith(b"250 2.0.0 Queued")
            for number in range(len(house.accepted)):
                assert house.message(number).endswith(CONTENT[: -len(b".\r\n")])

    asyncio.run(run())
