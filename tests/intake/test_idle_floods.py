"""Commands that bring no mail forward, without end: they cost patience like errors, and mail does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.intake.house import House, open_house, settings_with

STRICT: dict[str, Any] = {"junk-commands": 5, "errors-soft": 2, "errors-hard": 4, "error-delay": "0s"}
MAIL = b"MAIL FROM:<x@far.example>\r\n"
RCPT = b"RCPT TO:<ann@ours.example>\r\n"
HELLO = b"EHLO c.example\r\n"
FLOODS: list[tuple[str, list[bytes], bytes]] = [
    ("NOOP", [HELLO], b"NOOP\r\n"),
    ("RSET", [HELLO], b"RSET\r\n"),
    ("VRFY", [HELLO], b"VRFY ann\r\n"),
    ("HELP", [HELLO], b"HELP\r\n"),
    ("EHLO again", [HELLO], HELLO),
    ("HELO with another name", [b"HELO c.example\r\n"], b"HELO d.example\r\n"),
    ("RSET in a transaction", [HELLO, MAIL], b"RSET\r\n"),
    ("chunks without an octet", [HELLO, MAIL, RCPT], b"BDAT 0\r\n"),
    ("chunks of one octet", [HELLO, MAIL, RCPT], b"BDAT 1\r\nx"),
]


class Session:
    """One client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, octets: bytes) -> str:
        """The last line of the reply."""
        self.writer.write(octets)
        while (line := await asyncio.wait_for(self.reader.readline(), 10))[3:4] == b"-":
            pass
        return line.decode()


async def flood(house: House, first: list[bytes], again: bytes, times: int) -> list[str]:
    session = Session(*await asyncio.open_connection("127.0.0.1", house.port))
    for command in [b"", *first]:
        assert (await session.ask(command))[0] == "2"
    replies = [await session.ask(again) for _ in range(times)]
    session.writer.close()
    return replies


def in_house(test: Any, limits: dict[str, Any]) -> None:
    async def run() -> None:
        async with open_house(settings_with({"limits": limits})) as house:
            await test(house)

    asyncio.run(run())


@pytest.mark.threat("B29", "G17")
@pytest.mark.parametrize(("first", "again"), [c[1:] for c in FLOODS], ids=[c[0] for c in FLOODS])
def test_a_flood_that_brings_no_mail_ends(first: list[bytes], again: bytes) -> None:
    async def scenario(house: House) -> None:
        replies = await flood(house, first, again, 10)
        assert [reply[0] for reply in replies] == ["2"] * 9 + ["4"]
        assert replies[-1].startswith("421 4.7.0")
        closed = [fields["limit"] for event, fields in house.lines.written if event == "session-closed"]
        assert closed == ["errors-hard"]

    in_house(scenario, STRICT)


@pytest.mark.threat("B29")
def test_replies_to_idle_commands_come_late_like_those_to_errors() -> None:
    async def scenario(house: House) -> None:
        before = asyncio.get_running_loop().time()
        replies = await flood(house, [HELLO], b"NOOP\r\n", 7)
        assert [reply[0] for reply in replies] == ["2"] * 7
        assert asyncio.get_running_loop().time() - before >= 0.05

    in_house(scenario, {**STRICT, "errors-soft": 1, "error-delay": "50ms"})


@pytest.mark.threat("B29")
def test_what_stands_between_mails_is_no_flood() -> None:
    async def scenario(house: House) -> None:
        session = Session(*await asyncio.open_connection("127.0.0.1", house.port))
        mail = (b"NOOP\r\n", b"RSET\r\n", MAIL, RCPT, b"BDAT 3\r\nA: ", b"BDAT 8 LAST\r\nb\r\n\r\nc\r\n")
        for command in (b"", HELLO, *(mail * 30)):
            assert (await session.ask(command))[0] == "2", command
        session.writer.close()
        assert len(house.accepted) == 30

    in_house(scenario, STRICT)
