"""The lab's mailbox server: takes mail by SMTP or LMTP, keeps all of it, and misbehaves on request."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_BUFFER_LIMIT_BYTES: Final = 128 << 20
"""A message without a dot at the end of a line is read in one piece."""
_MAILS_LIMIT: Final = 1_000_000
_PATH: Final = re.compile(rb"<([^>]*)>")
_FINAL_DOT: Final = b"\r\n.\r\n"
EXTENSIONS: Final = ("PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkMail:
    """One mail as the sink got it: envelope, parameters and octets."""

    sender: str
    mail_parameters: str
    recipients: tuple[str, ...]
    rcpt_parameters: tuple[str, ...]
    content: bytes
    helo: str
    tls: bool
    by_bdat: bool = False

    def header(self, name: str) -> str:
        """The first field of that name, unfolded; "" when there is none."""
        head = self.content.partition(b"\r\n\r\n")[0]
        found = re.search(rb"(?im)^" + re.escape(name.encode()) + rb":([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", head)
        return re.sub(r"\r\n(?=[ \t])", "", found[1].decode("utf-8", "replace")).strip() if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the sink answers. A reply is a whole line, "550 5.1.1 Nobody"; 421 and 221 close.

    replies:    verb -> reply instead of the usual one; "connect" is the greeting, "." the end of data.
    recipients: address -> reply to its RCPT.
    after_data: address -> its reply after the data (LMTP only).
    recipients_limit, too_many: what further recipients of one transaction hear; 0: any number is taken.
    hangs_at:   verb at which it falls silent.
    cut_after_bytes: closes after that many octets from the client.
    """

    lmtp: bool = False
    hostname: str = "mailbox.lab.example"
    extensions: tuple[str, ...] = EXTENSIONS
    replies: Mapping[str, str] = field(default_factory=dict)
    recipients: Mapping[str, str] = field(default_factory=dict)
    after_data: Mapping[str, str] = field(default_factory=dict)
    recipients_limit: int = 0
    too_many: str = "452 4.5.3 Too many recipients"
    hangs_at: str = ""
    cut_after_bytes: int | None = None
    tls: ssl.SSLContext | None = None


class Sink:
    """Listens on one loopback port. `mails` is what came; `behaviour` may be changed while it runs."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.mails: list[SinkMail] = []
        self.connections = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `port` says where."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=_BUFFER_LIMIT_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server:
            self._server.close()
        await _turns()  # whoever was accepted in this moment begins, so that it can end in order
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await _turns()  # closed connections are let go

    async def wait_for(self, count: int, *, timeout_s: float = 10.0) -> list[SinkMail]:
        """The mails, as soon as there are that many. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while len(self.mails) < count:
                self._news.clear()
                await self._news.wait()
        return self.mails

    def keep(self, mail: SinkMail) -> None:
        """A mail has come."""
        if len(self.mails) < _MAILS_LIMIT:
            self.mails.append(mail)
        self._news.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self._talks.add(task)
            task.add_done_callback(self._talks.discard)
        try:
            await _Talk(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError, _Over):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # `stop` ends us; asyncio.streams would log it as an error
        finally:
            writer.close()


class _Over(Exception):
    """The conversation has ended."""


class _Talk:
    """One conversation."""

    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sink = sink
        self._reader = reader
        self._writer = writer
        self._taken_bytes = 0
        self._helo = ""
        self._tls = False
        self._forget()

    def _forget(self) -> None:
        self._sender: tuple[str, str] | None = None
        self._recipients: list[tuple[str, str]] = []
        self._chunks = bytearray()

    async def run(self) -> None:
        kind = "LMTP" if self._sink.behaviour.lmtp else "ESMTP"
        await self._say("connect", f"220 {self._sink.behaviour.hostname} {kind} lab sink")
        while True:
            line = (await self._take_until(b"\n")).rstrip(b"\r\n")
            words = line.split(None, 1)
            verb = words[0].upper().decode("ascii", "replace") if words else ""
            await self._obey(verb, line)

    async def _obey(self, verb: str, line: bytes) -> None:
        match verb:
            case "EHLO" | "LHLO" | "HELO":
                await self._hello(verb, line)
            case "MAIL":
                await self._mail(line)
            case "RCPT":
                await self._recipient(line)
            case "DATA":
                await self._data()
            case "BDAT":
                await self._bdat(line.split())
            case "RSET":
                self._forget()
                await self._say(verb, "250 2.0.0 OK")
            case "NOOP":
                await self._say(verb, "250 2.0.0 OK")
            case "STARTTLS":
                await self._start_tls()
            case "QUIT":
                await self._say(verb, "221 2.0.0 Bye")
            case _:
                await self._say(verb, "500 5.5.1 Unknown command")

    async def _hello(self, verb: str, line: bytes) -> None:
        behaviour = self._sink.behaviour
        self._helo = line[5:].decode("utf-8", "replace")
        self._forget()
        extensions = list(behaviour.extensions) if verb != "HELO" else []
        if behaviour.tls and not self._tls and extensions:
            extensions.append("STARTTLS")
        lines = [behaviour.hostname, *extensions]
        text = "".join(f"250-{one}\r\n" for one in lines[:-1]) + f"250 {lines[-1]}"
        await self._say(verb, text)

    async def _mail(self, line: bytes) -> None:
        if self._sender is not None:
            await self._say("", "503 5.5.1 A transaction is open")  # as Postfix does: RSET ends one
        elif await self._say("MAIL", "250 2.1.0 OK") < 400:
            self._sender = _path_of(line)

    async def _recipient(self, line: bytes) -> None:
        recipient = _path_of(line)
        reply = self._sink.behaviour.recipients.get(recipient[0], "250 2.1.5 OK")
        if 0 < self._sink.behaviour.recipients_limit <= len(self._recipients):
            reply = self._sink.behaviour.too_many
        if self._sender is None:
            reply = "503 5.5.1 MAIL first"
        if await self._say("RCPT", reply) < 400:
            self._recipients.append(recipient)

    async def _data(self) -> None:
        if not self._recipients:
            await self._say("", "554 5.5.1 No valid recipients")
            return
        if await self._say("DATA", "354 Go on") >= 400:
            return
        content = bytearray()
        while not (content.endswith(_FINAL_DOT) or content == b".\r\n"):
            content += await self._take_until(b".\r\n")
        del content[-3:]
        text = bytes(content).replace(b"\r\n..", b"\r\n.")
        await self._keep(text[1:] if text.startswith(b"..") else text)

    async def _bdat(self, words: list[bytes]) -> None:
        size = int(words[1])
        self._chunks += await self._take_exactly(size)
        if len(words) < 3:
            await self._say("BDAT", f"250 2.0.0 {size} octets")
        elif not self._recipients:
            await self._say("", "554 5.5.1 No valid recipients")
        else:
            await self._keep(bytes(self._chunks), by_bdat=True)

    async def _keep(self, content: bytes, *, by_bdat: bool = False) -> None:
        sender = self._sender or ("", "")
        mail = SinkMail(
            sender=sender[0],
            mail_parameters=sender[1],
            recipients=tuple(address for address, _ in self._recipients),
            rcpt_parameters=tuple(parameters for _, parameters in self._recipients),
            content=content,
            helo=self._helo,
            tls=self._tls,
            by_bdat=by_bdat,
        )
        behaviour = self._sink.behaviour
        self._forget()
        if not behaviour.lmtp:
            if behaviour.replies.get(".", "250").startswith("2"):
                self._sink.keep(mail)
            await self._say(".", "250 2.0.0 Kept")
            return
        replies = [behaviour.after_data.get(one, "250 2.0.0 Kept") for one in mail.recipients]
        if any(reply.startswith("2") for reply in replies):
            self._sink.keep(mail)
        for reply in replies:
            await self._say(".", reply)

    async def _start_tls(self) -> None:
        context = self._sink.behaviour.tls
        if context is None:
            await self._say("", "502 5.5.1 No TLS here")
            return
        if await self._say("STARTTLS", "220 2.0.0 Go on") < 400:
            await self._writer.start_tls(context)
            self._tls = True
            self._forget()

    async def _say(self, verb: str, usual: str) -> int:
        """Send the behaviour's reply or the usual one; its code. Raises _Over when that ends it."""
        behaviour = self._sink.behaviour
        if verb and verb == behaviour.hangs_at:
            await asyncio.Event().wait()
        reply = behaviour.replies.get(verb, usual)
        self._writer.write(reply.encode() + b"\r\n")
        await self._writer.drain()
        if reply.startswith(("221", "421")):
            raise _Over
        return int(reply[:3]) if reply[:3].isdigit() else 500

    async def _take_until(self, end: bytes) -> bytes:
        data = await self._reader.readuntil(end)
        self._count(len(data))
        return data

    async def _take_exactly(self, size: int) -> bytes:
        data = await self._reader.readexactly(size)
        self._count(len(data))
        return data

    def _count(self, size: int) -> None:
        self._taken_bytes += size
        limit = self._sink.behaviour.cut_after_bytes
        if limit is not None and self._taken_bytes >= limit:
            self._writer.transport.abort()
            raise _Over


def _path_of(line: bytes) -> tuple[str, str]:
    """The address between the brackets, and the parameters behind it."""
    found = _PATH.search(line)
    if not found:
        return "", ""
    return found[1].decode("utf-8", "replace"), line[found.end() :].strip().decode("utf-8", "replace")


async def _turns() -> None:
    """As many turns of the loop as accepting or closing a connection takes."""
    for _ in range(3):
        await asyncio.sleep(0)
