"""The durable store of one worker: queue, quarantine and records in one place, changed by transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gatepost.model.content import Content, SpooledBody
from gatepost.model.queued import Change, MailState, QueuedMail, StoredRecord

SEARCH_LIMIT_CHARACTERS: Final = 1000
"""Of a text in a filter."""

Done = Callable[[BaseException | None], None]


class BodySpool(Protocol):
    """A body on its way in that is too large for memory: an unnamed file until it is kept.

    All methods may block on the disk and are called from a thread of the pool.
    """

    def write(self, data: bytes) -> None:
        """Append. Raises WorldFault (452 4.3.1) when the disk is full, (451) when it fails."""

    def keep(self) -> SpooledBody:
        """Sync the file, give it its name, sync the directory. To be called before the commit that names it."""

    def discard(self) -> None:
        """Forget it. Never raises; may be called twice, and after keep() when the commit failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopSummary:
    """One delivery queue: what waits for a next hop."""

    next_hop: str
    recipients: int
    mails: int
    oldest_at: float
    next_due_at: float
    states: Mapping[str, int]
    last_reply: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFilter:
    """Which mails: every given condition must hold. Texts match whole, or with * as wildcard; case is ignored."""

    mail_id: int | None = None
    next_hop: str = ""
    sender: str | None = None
    """"<>" or "" is the null sender; None is any."""
    recipient: str = ""
    state: MailState | None = None
    older_than_at: float | None = None
    source: str = ""
    client_ip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which records, newest first; texts as in MailFilter."""

    kind: str = "track"
    since_at: float | None = None
    until_at: float | None = None
    mail_id: int | None = None
    event: str = ""
    sender: str | None = None
    recipient: str = ""
    message_id: str = ""


class StoreReader(Protocol):
    """Looking, without changing: used by the worker itself, by the command line and by the console."""

    def mail(self, mail_id: int) -> QueuedMail | None:
        """With every recipient that is not final yet; None when it has left the store."""

    def content(self, mail_id: int) -> Content:
        """Its bytes. Raises WorldFault when they are damaged (checksum) or missing."""

    def body_path(self, body: SpooledBody) -> str:
        """The absolute path of a spooled body, for reading."""

    def find(self, wanted: MailFilter, *, limit: int, after: int = 0) -> list[QueuedMail]:
        """Mails in the order of their ids, above `after` (keyset paging)."""

    def held_bytes(self, state: MailState) -> int:
        """Octets of all mails with a recipient in one of the states that wait for a person or a configuration."""

    def summary(self) -> list[HopSummary]:
        """Every next hop that something waits for."""

    def records(self, wanted: RecordFilter, *, limit: int) -> list[StoredRecord]:
        """Newest first."""

    def dossier(self, mail_id: int) -> bytes | None:
        """What KeepDossier kept; None when there is none (any more)."""


class Store(StoreReader, Protocol):
    """The store of one worker, owned by one process (lock held while open)."""

    def commit(self, changes: Sequence[Change], done: Done | None = None) -> None:
        """Make all changes durable together, or none of them.

        `done` is called once, on the event loop, after the transaction is on stable
        storage (None) or has failed (the exception: WorldFault with 452 or 451). With
        done=None nobody waits: the changes ride with the next transaction, at the latest
        after a second. Changes are applied in the order of the calls. Never blocks.
        Settling a mail that has left is no error (the operator may have removed it).
        """

    def spool(self) -> BodySpool:
        """A new body file. Raises WorldFault when the disk is low."""

    def due(self, *, now: float, limit: int, excluding: frozenset[int] = frozenset()) -> list[QueuedMail]:
        """Mails with recipients in READY or DEFERRED whose due_at has come, oldest due first.

        Only those recipients are in the answer. `excluding`: mails already in memory.
        """

    def due_recipients(self, *, now: float, limit: int) -> int:
        """How many recipients are due, counted up to `limit`: what was not delivered yet and could be."""

    def next_due_at(self) -> float | None:
        """When the next recipient becomes due; None when nothing waits."""

    def why_not_accepting(self) -> str:
        """ "" while new mail is taken; else the reason (disk low, store failed), for log and readiness."""

    @property
    def last_mail_id(self) -> int:
        """The largest mail id ever stored."""

    def close(self) -> None:
        """Commit what was asked for, checkpoint, release the lock."""
