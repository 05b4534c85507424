"""Dead letters that nobody looked after for long enough, or that are too many, are removed, on record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from gatepost.model.queued import (
    Change,
    KeepRecords,
    MailState,
    QueuedMail,
    Settle,
    Settlement,
    StoredRecord,
)
from gatepost.ports.store import MailFilter, StoreReader
from gatepost.records import tracking

AT_ONCE_LIMIT: Final = 200
SURPLUS_LIMIT: Final = 2000
"""Of mails that go because there are too many: they come as quickly as somebody can send."""
BY: Final = "notices.dead-letter-age"
BY_SIZE: Final = "notices.dead-letter-size"


def old_graves(store: StoreReader, *, now: float, age_s: float, size_bytes: int = 0) -> tuple[Change, ...]:
    """What removes dead letters, some at a time; empty when none is to go.

    Those of mail received longer ago than age_s go, else the oldest while all of them have more than size_bytes
    (threats O05: who sends what our own mail server refuses must not fill the disk). 0: no such limit.
    now: queue time. A mail whose other recipients still wait keeps them.
    """
    if age_s:
        wanted = MailFilter(state=MailState.DEAD, older_than_at=now - age_s)
        if old := store.find(wanted, limit=AT_ONCE_LIMIT):
            return _removing(old, now, BY)
    return _removing(_surplus(store, size_bytes), now, BY_SIZE) if size_bytes else ()


def _surplus(store: StoreReader, size_bytes: int) -> Iterator[QueuedMail]:
    surplus_bytes = store.held_bytes(MailState.DEAD) - size_bytes
    if surplus_bytes <= 0:
        return
    for mail in store.find(MailFilter(state=MailState.DEAD), limit=SURPLUS_LIMIT):
        if surplus_bytes <= 0:
            return
        surplus_bytes -= mail.size_bytes
        yield mail


def _removing(mails: Iterable[QueuedMail], now: float, by: str) -> tuple[Change, ...]:
    changes: list[Change] = []
    records: list[StoredRecord] = []
    for mail in mails:
        dead = [r for r in mail.recipients if r.state is MailState.DEAD]
        settlements = tuple(
            Settlement(number=r.number, state=MailState.REMOVED, attempts=r.attempts, last_reply=r.last_reply)
            for r in dead
        )
        changes.append(Settle(mail_id=mail.mail_id, settlements=settlements))
        records.append(tracking.removed(mail, dead, at=now, by=by))
    return (*changes, KeepRecords(records=tuple(records))) if records else ()
