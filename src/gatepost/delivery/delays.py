"""Which senders are told that their mail still waits: once a mail (threats L15), and never many at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gatepost.model.content import Content
from gatepost.model.queued import Accept, KeepRecords, MailState, QueuedMail, QueuedRecipient, StoredRecord
from gatepost.ports.store import RecordFilter, StoreReader
from gatepost.records import tracking

A_SECOND_LIMIT: Final = 50
"""Mails looked at in a second: when a whole next hop goes to rest, the loop is not held up (threats I1)."""
REMEMBERED_LIMIT: Final = 10_000
_WAITING: Final = (MailState.READY, MailState.DEFERRED)

WriteDelay = Callable[[QueuedMail, Sequence[QueuedRecipient], Content], Accept | None]
"""The notice that these recipients (their last_reply says why) still wait, or None when silence is right."""


@dataclass(slots=True, kw_only=True)
class Delays:
    """The notices of delay of one worker. after_s: age of the mail; 0: none are sent.

    That a sender was told is known from the mail's own DSN record in the tracking log, so it
    holds over a restart; the mails asked for last are remembered besides.
    """

    after_s: float
    store: StoreReader
    write: WriteDelay
    hostname: str
    _told: OrderedDict[int, None] = field(default_factory=OrderedDict)
    _second: int = 0
    _looked_at: int = 0

    def notice(
        self, mail: QueuedMail, waiting: Sequence[QueuedRecipient], content: Callable[[], Content], now: float
    ) -> tuple[tuple[Accept | KeepRecords, ...], Accept | None]:
        """What is to be committed with the deferral of these recipients; nothing when it is not the time.

        waiting: those of one attempt; the notice names the mail's other waiting recipients, too.
        """
        if not self._is_time(mail, now) or self._was_told(mail.mail_id):
            return (), None
        self._remember(mail.mail_id)
        notice = self.write(mail, self._everybody(mail, waiting), content())
        if notice is None:
            return (), None
        told = notice.mail
        records: tuple[StoredRecord, ...] = (
            tracking.dsn(told, mail, at=now, hostname=self.hostname),
            tracking.told_of_delay(mail, waiting, at=now, notice=told),
        )
        return (notice, KeepRecords(records=records)), notice

    def _is_time(self, mail: QueuedMail, now: float) -> bool:
        if not self.after_s or mail.is_notice or mail.sender.is_null or now - mail.received_at < self.after_s:
            return False
        if mail.mail_id in self._told:
            return False
        if int(now) != self._second:
            self._second, self._looked_at = int(now), 0
        self._looked_at += 1
        return self._looked_at <= A_SECOND_LIMIT  # the others are told at their next attempt

    def _was_told(self, mail_id: int) -> bool:
        wanted = RecordFilter(kind="track", mail_id=mail_id, event=tracking.Event.DSN.value)
        if self.store.records(wanted, limit=1):
            self._remember(mail_id)
            return True
        return False

    def _remember(self, mail_id: int) -> None:
        self._told[mail_id] = None
        if len(self._told) > REMEMBERED_LIMIT:
            self._told.popitem(last=False)

    def _everybody(self, mail: QueuedMail, waiting: Sequence[QueuedRecipient]) -> list[QueuedRecipient]:
        here = {r.number for r in waiting}
        stored = self.store.mail(mail.mail_id)
        others = [
            r
            for r in (stored.recipients if stored else ())
            if r.number not in here and r.state in _WAITING and r.last_reply
        ]
        return [replace(r, state=MailState.DEFERRED) for r in sorted([*waiting, *others], key=_number)]


def _number(recipient: QueuedRecipient) -> int:
    return recipient.number
