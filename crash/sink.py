"""The mailbox server behind the gateway: accounts for every copy, and misbehaves until told to be calm."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from crash.ledger import Copy
from crash.message import digest_of, marked_part
from crash.notes import About, Note, about, read_note
from gatepost.model.mail_id import mail_id_number, worker_of

_LIMIT_BYTES: Final = 4 << 20
_RECEIVED_ID: Final = re.compile(rb"\bid ([0-9a-z]{13})\b")
_PATH: Final = re.compile(rb"<([^>]*)>")


@dataclass(slots=True)
class Moods:
    """How often the sink does what next hops do: as chances from 0 to 1."""

    refuse_recipient: float = 0.02
    refuse_message: float = 0.02
    hang_up_before_end: float = 0.01
    hang_up_unanswered: float = 0.01
    """It takes the message and closes the connection without a reply."""

    def calm(self) -> None:
        """No more faults."""
        self.refuse_recipient = self.refuse_message = 0.0
        self.hang_up_before_end = self.hang_up_unanswered = 0.0


class HungUp(Exception):
    """The sink closes this connection."""


@dataclass(slots=True)
class Transaction:
    """What one connection said since MAIL."""

    recipients: list[str]


class Sink:
    """Listens on loopback. copies: the account; others: mail that is not of the ledger."""

    def __init__(
        self,
        run: str,
        chance: random.Random,
        clock: Callable[[], float] = time.monotonic,
        kept: Callable[[Sequence[Copy], str], None] = lambda _copies, _mail_id: None,
    ) -> None:
        """kept: hears of each message that is about to be answered 250, with the gateway's id of it."""
        self.moods = Moods()
        self.copies: list[Copy] = []
        self.notes: list[Note] = []
        """Notices of the gateway's own; a copy each."""
        self.others = 0
        self.port = 0
        self._run = run
        self._chance = chance
        self._clock = clock
        self._kept = kept
        self._tokens = 0
        self._server: asyncio.Server | None = None
        self._arrived: set[tuple[str, str]] = set()
        self._told_of_delay: set[str] = set()
        """Recipients that are put off no more."""

    async def start(self) -> None:
        """Binds a free port."""
        self._server = await asyncio.start_server(self._converse, "127.0.0.1", 0, limit=_LIMIT_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """No more connections."""
        if self._server is not None:
            self._server.close()

    def has(self, message: str, recipient: str) -> bool:
        """Whether a copy has come."""
        return (message, recipient) in self._arrived

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, HungUp):
            _say(writer, b"220 sink.crash.test ESMTP\r\n")
            transaction = Transaction([])
            while True:
                line = await reader.readuntil(b"\r\n")
                verb = line[:4].upper()
                if verb == b"DATA" and transaction.recipients:
                    _say(writer, b"354 go on\r\n")
                    await self._take(reader, writer, transaction)
                elif verb == b"QUIT":
                    _say(writer, b"221 2.0.0 bye\r\n")
                    break
                else:
                    _say(writer, self._answer(verb, line, transaction))
        writer.close()

    def _answer(self, verb: bytes, line: bytes, transaction: Transaction) -> bytes:
        if verb in (b"EHLO", b"LHLO"):
            return b"250-sink.crash.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        if verb in (b"HELO", b"NOOP"):
            return b"250 2.0.0 ok\r\n"
        if verb in (b"MAIL", b"RSET"):
            transaction.recipients.clear()
            return b"250 2.1.0 ok\r\n"
        if verb == b"RCPT":
            return self._answer_recipient(line, transaction)
        return b"503 5.5.1 not now\r\n" if verb == b"DATA" else b"502 5.5.1 what\r\n"

    def _answer_recipient(self, line: bytes, transaction: Transaction) -> bytes:
        path = _PATH.search(line)
        recipient = path[1].decode("utf-8", "replace") if path else ""
        if self._happens(self.moods.refuse_recipient) or self._is_slow(recipient):
            return b"450 4.2.1 not this one, not now\r\n"
        if about(recipient) is About.FAILURE:
            return b"550 5.1.1 gone\r\n"
        transaction.recipients.append(recipient)
        return b"250 2.1.5 ok\r\n"

    def _is_slow(self, recipient: str) -> bool:
        """Whether it is one that is put off until its writer has been told so."""
        return about(recipient) is About.DELAY and recipient not in self._told_of_delay

    async def _take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transaction: Transaction
    ) -> None:
        """The text up to the dot, and its answer. Raises HungUp."""
        if self._happens(self.moods.hang_up_before_end):
            raise HungUp
        text = await reader.readuntil(b"\r\n.\r\n")
        received_at = self._clock()
        recipients, transaction.recipients = transaction.recipients, []
        if self._happens(self.moods.refuse_message):
            _say(writer, b"451 4.3.0 not now\r\n")
            return
        answers = not self._happens(self.moods.hang_up_unanswered) and not writer.is_closing()
        token = self._keep(text[:-3].replace(b"\r\n..", b"\r\n."), recipients, received_at, answers=answers)
        if not answers:
            raise HungUp
        _say(writer, b"250 2.0.0 kept as %s\r\n" % token.encode())

    def _keep(self, content: bytes, recipients: list[str], received_at: float, *, answers: bool) -> str:
        self._tokens += 1
        token = f"copy-{self._run}-{self._tokens}"
        note = read_note(content)
        if note is not None:
            self.notes.append(note)
            if note.about is About.DELAY:
                self._told_of_delay.add(note.recipient)
            return token
        marked = marked_part(content)
        if marked is None:
            self.others += 1
            return token
        name, part = marked
        received = _RECEIVED_ID.search(content[: len(content) - len(part)])
        mail_id = received[1].decode() if received else ""
        copies = [
            Copy(
                message=name,
                recipient=recipient,
                token=token,
                digest=digest_of(part),
                received_at=received_at,
                answered_at=self._clock() if answers else None,
                worker=_worker_in(mail_id),
            )
            for recipient in recipients
        ]
        self._arrived.update((name, recipient) for recipient in recipients)
        self.copies += copies
        if answers:
            self._kept(copies, mail_id)
        return token

    def _happens(self, chance: float) -> bool:
        return self._chance.random() < chance


def _say(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Raises HungUp when the other side is known to be gone, which uvloop would call a RuntimeError."""
    if writer.is_closing():
        raise HungUp
    writer.write(data)


def _worker_in(mail_id: str) -> int | None:
    """The worker that made the id of the topmost Received field."""
    try:
        return worker_of(mail_id_number(mail_id)) if mail_id else None
    except ValueError:
        return None
