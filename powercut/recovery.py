"""Opens a disk after a power cut with the gateway's own recovery, and reads what is there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from crash.message import digest_of, marked_part

from gatepost.adapters.blame import MappedBlame
from gatepost.adapters.bodies import read_pieces
from gatepost.adapters.sqlite_store import SqliteStore, open_store
from gatepost.adapters.world import SystemClock
from gatepost.config.schema import size
from gatepost.config.settings import Queue
from gatepost.model.content import SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import MailState
from gatepost.ports.store import MailFilter
from gatepost.queue.states import settled

_MANY: Final = 1_000_000
_QUEUE: Final = Queue.model_validate({"disk-low": size(0), "reserve": size(0), "resume-margin": size(0)})


class _Silent:
    """The log of a store that nobody reads."""

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A mail that was found. name "": its content cannot be read."""

    name: str
    digest: str
    recipients: dict[str, MailState]


@dataclass(slots=True)
class Found:
    """What the recovery has found on one disk."""

    mails: dict[str, Kept] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What a person would have to mend, or was put aside: none must be."""


def recover(state: Path, workers: int, loop: asyncio.AbstractEventLoop) -> Found:
    """Each worker's start, without its listeners and its deliveries."""
    found = Found()
    for number in range(workers):
        directory = state / f"worker-{number}"
        try:
            store = open_store(
                directory,
                _QUEUE,
                SystemClock(),
                _Silent(),
                loop=loop,
                settled=settled,
                allow_volatile=True,
            )
            MappedBlame(directory / "plug-in")  # whatever name it says, nobody minds
        except WorldFault as fault:
            found.problems.append(f"worker {number} cannot open its store: {fault.reason}")
            continue
        except Exception as bug:  # noqa: BLE001 - whatever it is, the worker would not have started
            found.problems.append(f"worker {number} dies at its start: {bug!r}")
            continue
        try:
            _read(store, found)
        finally:
            store.close()
    return found


def _read(store: SqliteStore, found: Found) -> None:
    for mail_id in (*store.recovered.isolated, *store.recovered.poisoned):
        found.problems.append(f"{mail_id_text(mail_id)} was put aside as damaged")
    for mail in store.find(MailFilter(), limit=_MANY):
        text = mail_id_text(mail.mail_id)
        states = {str(r.recipient.address): r.state for r in mail.recipients}
        try:
            content = store.content(mail.mail_id)
            body = content.body
            if isinstance(body, SpooledBody):
                body = b"".join(read_pieces(Path(store.body_path(body)), body))
        except WorldFault as fault:
            found.problems.append(f"{text} cannot be read: {fault.reason}")
            found.mails[text] = Kept("", "", states)
            continue
        name, part = marked_part(content.head + body) or ("", b"")
        found.mails[text] = Kept(name, digest_of(part), states)
