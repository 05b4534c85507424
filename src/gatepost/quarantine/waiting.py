"""What a quarantined mail is, and how it leaves: released as it came, or deleted.

A quarantined mail is a queued mail like any other, with recipients in the state QUARANTINED;
their last reply is the reason. So it has the same durability, and a release is one change.
"""

from __future__ import annotations

from collections.abc import Sequence

from gatepost.config.settings import Queue
from gatepost.model.queued import (
    Change,
    KeepRecords,
    MailState,
    QueuedMail,
    QueuedRecipient,
    Settle,
    Settlement,
    StoredRecord,
)


def waiting_for_a_person(mail: QueuedMail) -> tuple[QueuedRecipient, ...]:
    """The recipients in quarantine; a mail may be delivered to others meanwhile."""
    return tuple(r for r in mail.recipients if r.state is MailState.QUARANTINED)


def release(
    mail: QueuedMail,
    *,
    now: float,
    queue: Queue,
    records: Sequence[StoredRecord] = (),
    numbers: frozenset[int] | None = None,
) -> list[Change]:
    """The changes that send it on: to be committed together.

    The envelope stays as it came, and nobody filters what comes from the queue, so a released
    mail is never judged again. Its life begins now, however long it lay here.
    numbers: only these recipients; None is all. records: who did it (records.tracking).
    Empty when nobody's copy waits.
    """
    freed = _settlements(mail, MailState.READY, numbers, due_at=now)
    if not freed:
        return []
    life_s = queue.notice_expiry_s if mail.is_notice else queue.expiry_s
    expires_at = max(mail.expires_at, now + life_s)
    return [
        Settle(mail_id=mail.mail_id, settlements=freed, expires_at=expires_at),
        KeepRecords(records=tuple(records)),
    ]


def delete(
    mail: QueuedMail,
    *,
    records: Sequence[StoredRecord] = (),
    numbers: frozenset[int] | None = None,
) -> list[Change]:
    """The changes that throw it away; nobody is told. Arguments as in `release`."""
    removed = _settlements(mail, MailState.REMOVED, numbers, due_at=0.0)
    if not removed:
        return []
    return [Settle(mail_id=mail.mail_id, settlements=removed), KeepRecords(records=tuple(records))]


def _settlements(
    mail: QueuedMail, state: MailState, numbers: frozenset[int] | None, *, due_at: float
) -> tuple[Settlement, ...]:
    return tuple(
        Settlement(number=r.number, state=state, due_at=due_at, attempts=r.attempts, last_reply=r.last_reply)
        for r in waiting_for_a_person(mail)
        if numbers is None or r.number in numbers
    )
