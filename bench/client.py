"""`python -m bench.client PORT WORK SESSIONS MESSAGES`: many sessions at once, for what smtp-source cannot do.

WORK is tls (STARTTLS, a message, QUIT), refused (an unknown recipient, QUIT), by-list, by-provider and by-new-provider
(a recipient, from an address that is listed, the last one from another address each time, QUIT), idle or idle-tls
(EHLO, and then nothing until standard input ends). A process of its own, so that its CPU time is not the server's.
"""

from __future__ import annotations

import asyncio
import os
import resource
import ssl
import sys
from typing import Final

import uvloop

from bench.load import message_text
from bench.measures import DOMAIN, LISTED, NETWORKS, RECIPIENT, SENDER, Work

_AT_ONCE: Final = 100
_PATIENCE_S: Final = 60.0
_NEW: Final = Work.BY_NEW_PROVIDER.value


class Session:
    """One connection, a command at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def expect(self, code: int) -> None:
        """The reply. Raises RuntimeError for another code."""
        while True:
            line = await self._reader.readline()
            if line[3:4] == b"-":
                continue
            if not line.startswith(b"%d" % code):
                raise RuntimeError(f"{line!r} instead of {code}")
            return

    async def ask(self, command: bytes, code: int) -> None:
        """A command and its reply."""
        self._writer.write(command)
        await self.expect(code)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """STARTTLS, the handshake, EHLO."""
        await self.ask(b"STARTTLS\r\n", 220)
        await self._writer.start_tls(context)
        await self.ask(b"EHLO load.sender.test\r\n", 250)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def connect(port: int, source: str = "127.0.0.1") -> Session:
    """Up to the reply to EHLO."""
    session = Session(*await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0)))
    await session.expect(220)
    await session.ask(b"EHLO load.sender.test\r\n", 250)
    return session


def _new_source() -> str:
    """One of half a million addresses."""
    network, third, last = os.urandom(3)
    return f"{NETWORKS[network % len(NETWORKS)]}.{third}.{max(1, last)}"


async def one(port: int, work: str, context: ssl.SSLContext, text: bytes) -> None:
    """One whole session of the work."""
    source = _new_source() if work == _NEW else LISTED.get(work, "127.0.0.1")
    session = await connect(port, source)
    if work == "tls":
        await session.start_tls(context)
    await session.ask(b"MAIL FROM:<%s>\r\n" % SENDER.encode(), 250)
    if work == "refused":
        await session.ask(b"RCPT TO:<nobody-of-ours@%s>\r\n" % DOMAIN.encode(), 550)
    elif work in LISTED or work == _NEW:
        await session.ask(b"RCPT TO:<%s>\r\n" % RECIPIENT.encode(), 550)
    else:
        await session.ask(b"RCPT TO:<%s>\r\n" % RECIPIENT.encode(), 250)
        await session.ask(b"DATA\r\n", 354)
        await session.ask(text, 250)
    await session.ask(b"QUIT\r\n", 221)
    session.close()


async def load(port: int, work: str, sessions: int, messages: int) -> None:
    """`messages` sessions, `sessions` of them at a time."""
    left = iter(range(messages))
    context, text = trusting(), message_text()

    async def worker() -> None:
        for _ in left:
            async with asyncio.timeout(_PATIENCE_S):
                await one(port, work, context, text)

    await asyncio.gather(*[worker() for _ in range(sessions)])


async def idle(port: int, sessions: int, *, tls: bool) -> None:
    """Open them all, say so on standard output, hold them until standard input ends."""
    context = trusting()
    held: list[Session] = []

    async def more(count: int) -> None:
        for _ in range(count):
            async with asyncio.timeout(_PATIENCE_S):
                session = await connect(port)
                if tls:
                    await session.start_tls(context)
            held.append(session)

    shares = [sessions // _AT_ONCE + (n < sessions % _AT_ONCE) for n in range(_AT_ONCE)]
    await asyncio.gather(*[more(share) for share in shares])
    print(len(held), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def trusting() -> ssl.SSLContext:
    """Any certificate will do."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> None:
    """As the module says."""
    port, work, sessions, messages = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if work.startswith("idle"):
        uvloop.run(idle(port, sessions, tls=work == "idle-tls"))
    else:
        uvloop.run(load(port, work, sessions, messages))


if __name__ == "__main__":
    main()
