"""Mails, stores and waiting for them: what the tests of the store have in common."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.fakes import FakeClock

from gatepost.adapters.sqlite_store import SqliteStore, open_store
from gatepost.config.schema import size
from gatepost.config.settings import Queue
from gatepost.model.address import Address
from gatepost.model.content import Content, SpooledBody
from gatepost.model.envelope import Recipient
from gatepost.model.queued import (
    Accept,
    Change,
    MailState,
    QueuedMail,
    QueuedRecipient,
    Settle,
    Settlement,
)
from gatepost.ports.store import Store
from gatepost.ports.world import Clock
from gatepost.queue.states import settled

NOW = 1_800_000_000.0
SMALL_DISK = Queue.model_validate({"disk-low": size(0), "reserve": size(65536), "resume-margin": size(0)})
"""For directories of tests: a reserve that costs nothing, no demand on free space."""


MEMORY: Final = Path("/dev/shm")


def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where that exists: what these tests show needs no platter, and real syncs cost time."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as place:
        yield Path(place)


class NotedLog:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def write(self, level: str, event: str, /, **fields: object) -> None:
        self.lines.append((level, event, fields))

    def events(self) -> list[str]:
        return [event for _, event, _ in self.lines]


def mail_id(number: int) -> int:
    """The id of the number-th mail of these tests, at NOW."""
    return (int(NOW * 1000) << 20) + number


def recipient(number: int = 0, address: Address | None = None, **fields: Any) -> QueuedRecipient:
    """One recipient, ready at NOW."""
    who = Recipient(address=address or Address(f"user{number}", "example.com"))
    fields = {"recipient": who, "next_hop": "smtp:example.com", "due_at": NOW, **fields}
    return QueuedRecipient(number=number, **fields)


def mail(number: int, *recipients: QueuedRecipient, **fields: Any) -> QueuedMail:
    """One mail; with one ready recipient unless others are given."""
    fields = {
        "session_id": "00" * 8,
        "received_at": NOW,
        "expires_at": NOW + 432000,
        "sender": Address("sender", "example.org"),
        "source": "SMTP:internet",
        "client_ip": "192.0.2.1",
        **fields,
    }
    return QueuedMail(mail_id=mail_id(number), recipients=recipients or (recipient(),), **fields)


def content(number: int, body: bytes | SpooledBody = b"Hello\r\n") -> Content:
    """Its bytes."""
    return Content(head=b"Subject: number %d\r\n\r\n" % number, body=body)


def accept(number: int, *recipients: QueuedRecipient, **fields: Any) -> Accept:
    """The change that takes it in."""
    return Accept(mail=mail(number, *recipients, **fields), content=content(number))


def settle(number: int, state: MailState, *numbers: int, **fields: Any) -> Settle:
    """The change that settles recipients of it (the first unless others are given)."""
    wishes = tuple(Settlement(number=n, state=state, **fields) for n in numbers or (0,))
    return Settle(mail_id=mail_id(number), settlements=wishes)


async def committed(store: Store, *changes: Change) -> None:
    """Commit and wait. Raises what the store says."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[BaseException | None] = loop.create_future()
    store.commit(changes, heard.set_result)
    error = await asyncio.wait_for(heard, 20)
    if error is not None:
        raise error


async def every(store: Store, batches: Sequence[Sequence[Change]]) -> list[BaseException | None]:
    """Commit all at once and wait for every answer."""
    loop = asyncio.get_running_loop()
    waits: list[asyncio.Future[BaseException | None]] = []
    for changes in batches:
        heard: asyncio.Future[BaseException | None] = loop.create_future()
        store.commit(changes, heard.set_result)
        waits.append(heard)
    return list(await asyncio.wait_for(asyncio.gather(*waits), 60))


def opened(
    directory: Path, *, log: NotedLog | None = None, queue: Queue = SMALL_DISK, clock: Clock | None = None
) -> SqliteStore:
    """A real store; inside a running event loop."""
    return open_store(
        directory,
        queue,
        clock or FakeClock(),
        log or NotedLog(),
        loop=asyncio.get_running_loop(),
        settled=settled,
        allow_volatile=True,
    )
