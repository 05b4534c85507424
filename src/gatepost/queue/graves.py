"""Dead letters that nobody looked after for long enough are removed, on record."""

from __future__ import annotations

from typing import Final

from gatepost.model.queued import Change, KeepRecords, MailState, Settle, Settlement, StoredRecord
from gatepost.ports.store import MailFilter, StoreReader
from gatepost.records import tracking

AT_ONCE_LIMIT: Final = 200
BY: Final = "notices.dead-letter-age"


def old_graves(store: StoreReader, *, now: float, age_s: float) -> tuple[Change, ...]:
    """What removes the dead letters of mail received longer ago than age_s, at most 200 mails; empty when none is.

    now: queue time. A mail whose other recipients still wait keeps them.
    """
    wanted = MailFilter(state=MailState.DEAD, older_than_at=now - age_s)
    changes: list[Change] = []
    records: list[StoredRecord] = []
    for mail in store.find(wanted, limit=AT_ONCE_LIMIT):
        dead = [r for r in mail.recipients if r.state is MailState.DEAD]
        settlements = tuple(
            Settlement(number=r.number, state=MailState.REMOVED, attempts=r.attempts, last_reply=r.last_reply)
            for r in dead
        )
        changes.append(Settle(mail_id=mail.mail_id, settlements=settlements))
        records.append(tracking.removed(mail, dead, at=now, by=BY))
    return (*changes, KeepRecords(records=tuple(records))) if records else ()
