"""The lab's sender: an SMTP client that sends exactly what it is told, right or wrong."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

PATIENCE_S: Final = 30.0
_LINES_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class Said:
    """One reply: its code, and its lines without code and mark. Code 0: the server has closed instead."""

    code: int
    lines: tuple[str, ...] = ()

    @property
    def is_positive(self) -> bool:
        """2xx or 3xx."""
        return 200 <= self.code < 400

    def __str__(self) -> str:
        return f"{self.code} {self.lines[-1]}" if self.code else "connection closed"


CLOSED: Final = Said(0)


class RawClient:
    """One connection to a server. Every wait ends after PATIENCE_S with TimeoutError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.greeting = CLOSED

    @classmethod
    async def connect(cls, host: str, port: int, *, source: str = "") -> RawClient:
        """source: the loopback address to come from ("127.0.0.2"). Reads the greeting."""
        local = (source, 0) if source else None
        reader, writer = await asyncio.open_connection(host, port, local_addr=local)
        client = cls(reader, writer)
        client.greeting = await client.read()
        return client

    async def read(self) -> Said:
        """The next reply; CLOSED when the server has closed."""
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(lines) < _LINES_LIMIT:
                try:
                    line = await self._reader.readline()
                except (ConnectionError, ssl.SSLError):
                    return CLOSED
                if not line.endswith(b"\n"):
                    return CLOSED
                text = line.rstrip(b"\r\n").decode("utf-8", "replace")
                lines.append(text[4:])
                if text[3:4] != "-":
                    return Said(int(text[:3]), tuple(lines))
        raise ValueError("a reply without end")

    def push(self, data: bytes) -> None:
        """Send, and do not wait."""
        self._writer.write(data)

    async def push_slowly(self, pieces: Iterable[bytes], *, pause_s: float) -> None:
        """Send piece by piece, each in a packet of its own."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(pause_s)

    async def say(self, line: str) -> Said:
        """One command, and its reply."""
        self.push(line.encode() + b"\r\n")
        return await self.read()

    async def hello(self, name: str = "client.lab.example") -> Said:
        """EHLO."""
        return await self.say(f"EHLO {name}")

    async def start_tls(self) -> Said:
        """STARTTLS, a handshake with any certificate, EHLO again; the reply to the last of them."""
        reply = await self.say("STARTTLS")
        if not reply.is_positive:
            return reply
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        async with asyncio.timeout(PATIENCE_S):
            await self._writer.start_tls(context)
        return await self.hello()

    async def envelope(self, sender: str, recipients: Sequence[str], *, parameters: str = "") -> list[Said]:
        """MAIL and every RCPT, one after the other; their replies."""
        replies = [await self.say(f"MAIL FROM:<{sender}>{' ' * bool(parameters)}{parameters}")]
        replies += [await self.say(f"RCPT TO:<{recipient}>") for recipient in recipients]
        return replies

    async def content(self, message: bytes) -> Said:
        """DATA, the message with its dots doubled, the final dot; the last reply."""
        reply = await self.say("DATA")
        if not reply.is_positive:
            return reply
        self.push(dotted(message))
        return await self.read()

    async def mail(
        self, sender: str, recipients: Sequence[str], message: bytes, *, parameters: str = ""
    ) -> list[Said]:
        """A whole transaction; every reply. Nothing is sent after a refusal of all recipients."""
        replies = await self.envelope(sender, recipients, parameters=parameters)
        if any(reply.is_positive for reply in replies[1:]):
            replies.append(await self.content(message))
        return replies

    async def quit(self) -> None:
        """QUIT and close; what the server thinks of it does not matter."""
        with contextlib.suppress(OSError):
            await self.say("QUIT")
        self.close()

    def close(self) -> None:
        """Close at once."""
        self._writer.close()


def dotted(message: bytes) -> bytes:
    """The message as DATA carries it: lines that begin with a dot get another, and the end (RFC 5321 §4.5.2)."""
    text = message if message.endswith(b"\r\n") else message + b"\r\n"
    text = text.replace(b"\r\n.", b"\r\n..")
    return (b"." + text if text.startswith(b".") else text) + b".\r\n"


def message(subject: str, *, sender: str, recipient: str, body: str = "Hello.\r\n") -> bytes:
    """A small, proper mail."""
    head = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {subject}\r\n"
        f"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{abs(hash(subject))}@lab.example>\r\n"
    )
    return f"{head}\r\n{body}".encode()
