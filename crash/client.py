"""The sending side: connections that offer each message once and write down how far they came."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from crash.ledger import Answer, Sending
from crash.message import Mail, Mailer

_REPLY_TIMEOUT_S: Final = 30.0
_CONNECT_AGAIN_S: Final = 0.05
_MAILS_A_CONNECTION: Final = 8
_QUEUED_AS: Final = re.compile(rb"Queued as (\S+)")
LOST: Final = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError)


class Style(Enum):
    """How a client talks."""

    LOCKSTEP = auto()
    PIPELINED = auto()
    CHUNKED = auto()
    """BDAT in two chunks."""
    CUT = auto()
    """Hangs up in the middle of the text."""
    IMPATIENT = auto()
    """Hangs up behind the end of the text, without waiting for the answer."""


_STYLES: Final = {
    Style.LOCKSTEP: 30,
    Style.PIPELINED: 50,
    Style.CHUNKED: 14,
    Style.CUT: 3,
    Style.IMPATIENT: 3,
}


class Closed(Exception):
    """The client or the gateway ended this connection in good order."""


@dataclass(slots=True)
class Wire:
    """One connection to the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    chunking: bool = False
    last_line: bytes = b""
    """Of the last reply."""

    async def reply(self) -> int:
        """The code of the next reply. Raises one of LOST, and Closed on 421."""
        async with asyncio.timeout(_REPLY_TIMEOUT_S):
            while (line := await self.reader.readuntil(b"\r\n"))[3:4] == b"-":
                self.chunking |= line[4:].strip().upper() == b"CHUNKING"
        self.chunking |= line[4:].strip().upper() == b"CHUNKING"
        self.last_line = line
        return int(line[:3])

    async def begin(self, name: str) -> None:
        """Banner and EHLO. Raises Closed, also for a server of others (name: of ours; "" anybody's)."""
        if await self.reply() != 220 or name.encode() not in self.last_line:
            raise Closed
        if await self.ask("EHLO client.sender.test") != 250:
            raise Closed

    async def ask(self, text: str) -> int:
        """One command, one reply."""
        self.write(text.encode() + b"\r\n")
        return await self.reply()

    def write(self, data: bytes) -> None:
        """Raises ConnectionResetError when the connection is known to be gone."""
        if self.writer.is_closing():  # uvloop raises RuntimeError then, asyncio only logs
            raise ConnectionResetError
        self.writer.write(data)


@dataclass(slots=True)
class Swarm:
    """All clients of a run. sendings: the ledger."""

    port: Callable[[], int]
    mailer: Mailer
    chance: random.Random
    name: str = ""
    """What the server must call itself; "": anything."""
    pause_s: float = 0.06
    clock: Callable[[], float] = time.monotonic
    sendings: list[Sending] = field(default_factory=list)
    stopping: bool = False
    refused_connections: int = 0

    async def run(self, clients: int) -> None:
        """Until `stopping` is set; the message at hand is finished."""
        await asyncio.gather(*(self._one_client(number) for number in range(clients)))

    async def _one_client(self, client: int) -> None:
        number = 0
        while not self.stopping:
            try:
                number = await self._one_connection(client, number)
            except Closed:
                pass
            except LOST:
                self.refused_connections += 1
                await asyncio.sleep(_CONNECT_AGAIN_S * (0.5 + self.chance.random()))

    async def _one_connection(self, client: int, number: int) -> int:
        """Some messages on one connection; returns the last one's number."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port())
        wire = Wire(reader, writer)
        first = number
        try:
            await wire.begin(self.name)
            while not self.stopping and number < first + self.chance.randint(1, _MAILS_A_CONNECTION):
                number += 1
                await asyncio.sleep(self.pause_s * 2 * self.chance.random())
                await self._offer(wire, self.mailer.next(client, number))
            await wire.ask("QUIT")
        except (Closed, *LOST):
            pass  # the ledger has it; a message's name is used once, whatever became of it
        finally:
            writer.close()
        return number

    async def _offer(self, wire: Wire, mail: Mail) -> None:
        """One message. Raises Closed or one of LOST when the connection is over."""
        sending = Sending(
            message=mail.name,
            digest=mail.digest,
            size_bytes=len(mail.content),
            answers=dict.fromkeys(mail.recipients, Answer.STARTED),
        )
        self.sendings.append(sending)
        try:
            await self._speak(wire, mail, sending, self._style(wire))
        except (Closed, *LOST):
            if Answer.DATA_SENT in sending.answers.values():
                sending.all_become(Answer.UNKNOWN, at=self.clock())
            raise

    def _style(self, wire: Wire) -> Style:
        style = self.chance.choices(list(_STYLES), weights=list(_STYLES.values()))[0]
        return Style.LOCKSTEP if style is Style.CHUNKED and not wire.chunking else style

    async def _speak(self, wire: Wire, mail: Mail, sending: Sending, style: Style) -> None:
        commands = [f"MAIL FROM:<ledger@sender.test>{' BODY=8BITMIME' if mail.eight_bit else ''}"]
        commands += [f"RCPT TO:<{recipient}>" for recipient in mail.recipients]
        if style is Style.CHUNKED:
            await self._envelope(wire, commands, sending, together=True)
            if _is_alive(sending):
                await self._chunks(wire, mail, sending)
            else:
                await wire.ask("RSET")
            return
        pipelined = style is Style.PIPELINED
        if pipelined:
            await self._envelope(wire, [*commands, "DATA"], sending, together=True)
        else:
            await self._envelope(wire, commands, sending, together=False)
            wire.write(b"DATA\r\n")
        code = await wire.reply()
        if code == 354:
            await self._text(wire, mail, sending, style)
        else:
            sending.all_become(Answer.REFUSED, code=code, at=self.clock())
            await self._go_on(wire, code)

    async def _envelope(self, wire: Wire, commands: list[str], sending: Sending, *, together: bool) -> None:
        """MAIL and RCPTs with their replies; when `together`, all commands in one write."""
        if together:
            wire.write("".join(command + "\r\n" for command in commands).encode())
        for command in commands:
            if command == "DATA":
                break
            code = await wire.reply() if together else await wire.ask(command)
            if code < 400:
                continue
            if command.startswith("MAIL"):
                sending.all_become(Answer.REFUSED, code=code, at=self.clock())
            else:
                sending.answers[command[9:-1]] = Answer.REFUSED
            if code == 421:
                sending.all_become(Answer.REFUSED, code=code, at=self.clock())
                raise Closed

    async def _text(self, wire: Wire, mail: Mail, sending: Sending, style: Style) -> None:
        stuffed = mail.content.replace(b"\r\n.", b"\r\n..") + b".\r\n"
        if style is Style.CUT or not _is_alive(sending):
            wire.write(stuffed[: len(stuffed) // 2])
            await wire.writer.drain()
            raise Closed
        sending.all_become(Answer.DATA_SENT)
        wire.write(stuffed)
        if style is Style.IMPATIENT:
            await wire.writer.drain()
            raise Closed
        await self._settle(wire, sending)

    async def _chunks(self, wire: Wire, mail: Mail, sending: Sending) -> None:
        half = len(mail.content) // 2
        wire.write(b"BDAT %d\r\n" % half + mail.content[:half])
        code = await wire.reply()
        if code != 250:
            sending.all_become(Answer.REFUSED, code=code, at=self.clock())
            await self._go_on(wire, code)
            return
        sending.all_become(Answer.DATA_SENT)
        rest = mail.content[half:]
        wire.write(b"BDAT %d LAST\r\n" % len(rest) + rest)
        await self._settle(wire, sending)

    async def _settle(self, wire: Wire, sending: Sending) -> None:
        code = await wire.reply()
        answer = Answer.ACKNOWLEDGED if code == 250 else Answer.REFUSED
        sending.all_become(answer, code=code, at=self.clock())
        if code == 250 and (named := _QUEUED_AS.search(wire.last_line)):
            sending.queued_as = named[1].decode()
        await self._go_on(wire, code)

    async def _go_on(self, wire: Wire, code: int) -> None:
        if code in (421, 521):
            raise Closed
        if code >= 400:
            await wire.ask("RSET")


def _is_alive(sending: Sending) -> bool:
    """Whether a recipient is left that was not refused."""
    return any(answer is not Answer.REFUSED for answer in sending.answers.values())
