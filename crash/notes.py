"""Mail that asks for notices: writers whose failure, delay or delivery must be told them exactly once."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from crash.client import LOST, Closed, Wire
from crash.gateway import NAME
from crash.ledger import Answer, Sending
from crash.message import DOMAIN, MARK, digest_of
from gatepost.message.headers import HeaderIndex, split

WRITERS: Final = tuple(f"writer{n}@notes.test" for n in range(20))
NAMES_EACH: Final = 4000
"""Recipients of each kind that the gateway knows; more mails than this are not written in a run."""
_PAUSE_S: Final = 0.15
_RECIPIENT: Final = re.compile(r"(gone|slow|told)\d+@" + re.escape(DOMAIN))
_ORIGINAL: Final = re.compile(rb"^" + re.escape(MARK) + rb"(\S+)\r?$", re.MULTILINE)
_FINAL: Final = re.compile(rb"^Final-Recipient: rfc822; *(\S+)\r?$", re.MULTILINE)
_ACTION: Final = re.compile(rb"^Action: (\w+)\r?$", re.MULTILINE)


class About(Enum):
    """What a notice is about, and the recipients that call for one."""

    FAILURE = "gone"
    DELAY = "slow"
    SUCCESS = "told"

    @property
    def asks(self) -> str:
        """The parameters of RCPT."""
        return f"NOTIFY={self.name}"


_ACTIONS: Final = {
    b"failed": About.FAILURE,
    b"delayed": About.DELAY,
    b"delivered": About.SUCCESS,
    b"relayed": About.SUCCESS,
}


def recipients() -> Iterable[str]:
    """All of them, for the gateway's list."""
    return (f"{about.value}{n}@{DOMAIN}" for about in About for n in range(NAMES_EACH))


def about(recipient: str) -> About | None:
    """What a recipient calls for."""
    known = _RECIPIENT.fullmatch(recipient)
    return About(known[1]) if known else None


@dataclass(frozen=True, slots=True)
class Note:
    """A notice as the sink took it."""

    about: About | None
    original: str
    """The name of the mail it is about; "": it does not say."""
    recipient: str
    """Whom that mail was for."""
    message_id: str


def read_note(content: bytes) -> Note | None:
    """None for what is no notice."""
    head, body = split(content)
    index = HeaderIndex.parse(head)
    kind = index.first(b"content-type") or b""
    if not kind.lower().startswith(b"multipart/report"):
        return None
    action, original, final = _ACTION.search(body), _ORIGINAL.search(body), _FINAL.search(body)
    return Note(
        about=_ACTIONS.get(action[1]) if action else None,
        original=original[1].decode("ascii", "replace") if original else "",
        recipient=final[1].decode("ascii", "replace") if final else "",
        message_id=(index.first(b"message-id") or b"").decode("ascii", "replace"),
    )


@dataclass(slots=True)
class Correspondence:
    """Writes mails of each kind in turn until `stopping`; sendings: its ledger."""

    port: Callable[[], int]
    run: str
    chance: random.Random
    clock: Callable[[], float] = time.monotonic
    sendings: list[Sending] = field(default_factory=list)
    stopping: bool = False

    async def write(self) -> None:
        """One connection a mail: what a kill may cost is one answer."""
        kinds = tuple(About)
        number = 0
        while not self.stopping and number < NAMES_EACH * len(kinds):
            kind = kinds[number % len(kinds)]
            try:
                await self._one(kind, number // len(kinds), number)
            except (Closed, *LOST):
                if self.sendings and self.sendings[-1].message == self._name(number):
                    sending = self.sendings[-1]
                    if Answer.DATA_SENT in sending.answers.values():
                        sending.all_become(Answer.UNKNOWN, at=self.clock())
            number += 1
            await asyncio.sleep(_PAUSE_S * 2 * self.chance.random())

    def _name(self, number: int) -> str:
        return f"{self.run}.n{number}"

    async def _one(self, kind: About, place: int, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port())
        wire = Wire(reader, writer)
        try:
            await wire.begin(NAME)
            recipient = f"{kind.value}{place}@{DOMAIN}"
            name = self._name(number)
            content = _content(name, recipient)
            sending = Sending(name, digest_of(content), len(content), {recipient: Answer.STARTED})
            self.sendings.append(sending)
            for command in (
                f"MAIL FROM:<{self.chance.choice(WRITERS)}>",
                f"RCPT TO:<{recipient}> {kind.asks}",
                "DATA",
            ):
                code = await wire.ask(command)
                if code >= 400:
                    sending.all_become(Answer.REFUSED, code=code, at=self.clock())
                    raise Closed
            sending.all_become(Answer.DATA_SENT)
            wire.write(content + b".\r\n")
            code = await wire.reply()
            answer = Answer.ACKNOWLEDGED if code == 250 else Answer.REFUSED
            sending.all_become(answer, code=code, at=self.clock())
        finally:
            writer.close()


class NoteFinding(Enum):
    """What became of the notices about one mail."""

    ONE = "one notice"
    NONE_DUE = "no notice, none promised"
    MISSING = "a notice is missing"
    TWICE = "more than one notice"
    INVENTED = "a notice nobody called for"

    @property
    def is_failure(self) -> bool:
        """One of these and the run has failed."""
        return self not in (NoteFinding.ONE, NoteFinding.NONE_DUE)


def judge_notes(sendings: Sequence[Sending], notes: Sequence[Note]) -> list[tuple[NoteFinding, str]]:
    """Every mail that calls for a notice, once; every notice about anything else.

    Two copies of one notice have one Message-ID: the wire's duplicates (RFC 1047) are no second notice.
    """
    came: dict[str, dict[str, About | None]] = defaultdict(dict)
    for note in notes:
        came[note.original][note.message_id] = note.about
    found = []
    for sending in sendings:
        ((recipient, answer),) = sending.answers.items()
        mine = came.pop(sending.message, {})
        found.append((_finding(about(recipient), answer, list(mine.values())), sending.message))
    found += [(NoteFinding.INVENTED, original or "(no name)") for original in came]
    return found


def _finding(wanted: About | None, answer: Answer, came: list[About | None]) -> NoteFinding:
    if answer in (Answer.REFUSED, Answer.STARTED):
        return NoteFinding.INVENTED if came else NoteFinding.NONE_DUE
    if any(kind is not wanted for kind in came):
        return NoteFinding.INVENTED
    if len(came) > 1:
        return NoteFinding.TWICE
    if not came:
        return NoteFinding.MISSING if answer is Answer.ACKNOWLEDGED else NoteFinding.NONE_DUE
    return NoteFinding.ONE


def counted(found: Iterable[tuple[NoteFinding, str]]) -> Counter[NoteFinding]:
    """How often each was found."""
    return Counter(finding for finding, _ in found)


def _content(name: str, recipient: str) -> bytes:
    head = (
        f"{MARK.decode()}{name}\r\nMessage-ID: <{name}@{DOMAIN}>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
        f"From: writer@notes.test\r\nTo: {recipient}\r\nSubject: ledger {name}\r\n\r\n"
    )
    return head.encode() + b"Tell me what becomes of it.\r\n"
