"""What an attempt changes in the queue: states, times, records, and the notice to the sender."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from gatepost.config.delivery_settings import Delivery
from gatepost.config.settings import Queue
from gatepost.delivery.delays import Delays
from gatepost.delivery.outcome import Attempt, Fate, Outcome
from gatepost.model.content import Content
from gatepost.model.envelope import Notify
from gatepost.model.queued import (
    Accept,
    Change,
    KeepRecords,
    MailState,
    QueuedMail,
    QueuedRecipient,
    Settle,
    Settlement,
    StoredRecord,
)
from gatepost.notices.compose import OUT_OF_TIME, OWN_CODES, wants_grave
from gatepost.notices.policy import Silence
from gatepost.ports.world import Randomness
from gatepost.protocol.replies import safe_text
from gatepost.queue.active import Parcel
from gatepost.queue.schedule import QueueClock, next_attempt_at, rest_delay_s, retry_delay_s
from gatepost.records import tracking
from gatepost.records.tracking import NOBODY, Peer

_UNHEARD: Final = ("451 4.4.1 ", "4.4.2 ", *OWN_CODES)
"""How the last reply of a recipient begins when no peer has said it: no host was reached, or the wire broke."""
_NO_NOTICE: Final = "no notice: nobody is to be told"

WriteNotice = Callable[[QueuedMail, Sequence[QueuedRecipient], Content], Accept | Silence | None]
"""The failure notice about these recipients (their last_reply says why), or why silence is right."""


WriteReport = Callable[[QueuedMail, Sequence[QueuedRecipient], Content, bool], Accept | None]
"""The report NOTIFY=SUCCESS asked for about these recipients; the last argument: only relayed, not delivered."""
_DEFERRED: Final = MailState.DEFERRED


class Settled(msgspec.Struct, frozen=True, gc=False):
    """changes: to commit now.  failed: recipients that are to be given up, with their last reply.

    peer:      where that happened.  waiting: recipients to be tried again.
    succeeded: recipients whose sender asked to be told, and is told by nobody else.
    relayed:   they were handed to another system, not laid into a mailbox.
    """

    changes: tuple[Change, ...]
    failed: tuple[QueuedRecipient, ...] = ()
    succeeded: tuple[QueuedRecipient, ...] = ()
    relayed: bool = False
    waiting: tuple[QueuedRecipient, ...] = ()
    peer: Peer = NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """Turns outcomes into changes. Pure but for the clock and the dice it is given."""

    queue: Queue
    delivery: Delivery
    hostname: str
    clock: QueueClock
    randomness: Randomness
    write_notice: WriteNotice
    write_report: WriteReport | None = None
    delays: Delays | None = None

    def after(
        self,
        parcel: Parcel,
        attempt: Attempt,
        connector: str,
        *,
        into_mailbox: bool,
        due_at: float | None = None,
    ) -> Settled:
        """One transaction's worth: who has the mail, who is tried again, and (apart) who is given up.

        due_at: when the next hop may be tried again; None: as the mail's own attempts say.
        """
        now = self.clock.now()
        expired = self.clock.has_expired(parcel.mail.expires_at, now)
        peer = Peer(connector=connector, host=attempt.host, ip=attempt.ip)
        sent = [_told(o) for o in attempt.outcomes if o.fate is Fate.DELIVERED]
        waiting = [_told(o) for o in attempt.outcomes if o.fate is Fate.DEFERRED]
        failed = [_told(o) for o in attempt.outcomes if o.fate is Fate.FAILED]
        if expired:
            failed += [_out_of_time(r) for r in waiting]
            waiting = []
        settlements = [_settlement(r, MailState.DELIVERED) for r in sent]
        records: list[StoredRecord] = []
        if sent:
            records.append(
                tracking.sent(
                    parcel.mail, sent, at=now, hostname=self.hostname, peer=peer,
                    reply=sent[0].last_reply, into_mailbox=into_mailbox,
                )
            )  # fmt: skip
        if waiting:
            wait_s = self._wait_s(attempt) if due_at is None else due_at - now
            due_at = next_attempt_at(
                now, wait_s, expires_at=max(self.clock.given_up_at(parcel.mail.expires_at), now)
            )
            settlements += [_settlement(r, MailState.DEFERRED, due_at=due_at) for r in waiting]
            records.append(
                tracking.deferred(
                    parcel.mail, waiting, at=now, hostname=self.hostname, peer=peer,
                    reply=waiting[0].last_reply, due_at=due_at,
                )
            )  # fmt: skip
        changes = _changes(parcel.mail, settlements, records)
        return Settled(
            changes,
            tuple(failed),
            _asked_for_report(attempt.outcomes),
            not into_mailbox,
            waiting=tuple(waiting),
            peer=peer,
        )

    def report(
        self,
        mail: QueuedMail,
        succeeded: Sequence[QueuedRecipient],
        content: Callable[[], Content],
        *,
        relayed: bool,
    ) -> tuple[tuple[Change, ...], Accept | None]:
        """The report of success, to be committed with the settlement it is about."""
        if not succeeded or self.write_report is None:
            return (), None
        notice = self.write_report(mail, succeeded, content(), relayed)
        if notice is None:
            return (), None
        record = tracking.dsn(notice.mail, mail, at=self.clock.now(), hostname=self.hostname)
        return (notice, KeepRecords(records=(record,))), notice

    def put_off(self, parcel: Parcel, why: str, *, due_at: float) -> Settled:
        """Not tried at all: attempts are not counted; a mail past its time is given up all the same."""
        recipients = [replace(r, last_reply=r.last_reply or safe_text(why)) for r in parcel.recipients]
        if self.clock.has_expired(parcel.mail.expires_at):
            return Settled((), tuple(_out_of_time(r) for r in recipients))
        due_at = max(self.clock.now(), min(due_at, self.clock.given_up_at(parcel.mail.expires_at)))
        settlements = [_settlement(r, MailState.DEFERRED, due_at=due_at) for r in recipients]
        return Settled(_changes(parcel.mail, settlements, ()), waiting=tuple(recipients))

    def delay(
        self, mail: QueuedMail, waiting: Sequence[QueuedRecipient], content: Callable[[], Content]
    ) -> tuple[tuple[Change, ...], Accept | None]:
        """The notice that a mail waits, to be committed with its deferral, when it is time for one."""
        if not waiting or self.delays is None:
            return (), None
        return self.delays.notice(mail, waiting, content, self.clock.now())

    def rerouted(self, parcel: Parcel, next_hops: Sequence[str | None]) -> Settled:
        """New keys, one a recipient, None for "no way": due at once, or waiting for a new configuration."""
        now = self.clock.now()
        settlements = tuple(
            msgspec.structs.replace(
                _settlement(r, MailState.UNREACHABLE), last_reply="451 4.4.4 No send connector carries it"
            )
            if key is None
            else msgspec.structs.replace(_settlement(r, MailState.READY, due_at=now), next_hop=key)
            for r, key in zip(parcel.recipients, next_hops, strict=True)
        )
        return Settled(_changes(parcel.mail, settlements, ()))

    def give_up(
        self,
        mail: QueuedMail,
        given_up: Sequence[tuple[QueuedRecipient, Peer]],
        content: Callable[[], Content],
    ) -> tuple[tuple[Change, ...], Accept | None]:
        """The end of these recipients: one notice to the sender, or a dead letter when there is nobody to tell.

        given_up: each with where it failed.  content: its bytes, as far as they can be read.
        """
        now = self.clock.now()
        failed = [recipient for recipient, _ in given_up]
        written = self.write_notice(mail, failed, content())
        why = f"no notice: {written.value}" if isinstance(written, Silence) else _NO_NOTICE
        notice = written if isinstance(written, Accept) else None
        buried = [r for r in failed if notice is None and wants_grave(mail, r)]
        told = [r for r in failed if r not in buried]
        settlements = [_settlement(r, MailState.DEAD) for r in buried]
        settlements += [_settlement(r, MailState.FAILED) for r in told]
        records: list[StoredRecord] = []
        for peer in dict.fromkeys(peer for _, peer in given_up):
            there = [r for r, at in given_up if at == peer and r not in buried]
            if there:
                reply = there[0].last_reply
                records.append(
                    tracking.failed(mail, there, at=now, hostname=self.hostname, peer=peer, reply=reply)
                )
        if buried:
            reply = buried[0].last_reply
            records.append(tracking.dead(mail, buried, at=now, reply=reply, reason=why))
        if notice is not None:
            records.append(tracking.dsn(notice.mail, mail, at=now, hostname=self.hostname))
        changes = _changes(mail, settlements, records)
        return (changes if notice is None else (notice, *changes)), notice

    def _wait_s(self, attempt: Attempt) -> float:
        """Before the next attempt for those this one put off.

        The first answer after a time when nobody answered counts as the first: a peer that
        greylists has only now seen the mail.
        """
        put_off = [o for o in attempt.outcomes if o.fate is Fate.DEFERRED]
        number = max(o.recipient.attempts for o in put_off) + 1
        jitter = self.randomness.uniform()
        if all(o.is_glitch for o in put_off):
            return rest_delay_s(number, self.queue, self.delivery, jitter=jitter)
        if all(o.recipient.last_reply.startswith(_UNHEARD) for o in put_off):
            number = 1
        return retry_delay_s(number, self.queue, jitter=jitter)


@dataclass(slots=True)
class FailuresTogether:
    """Collects the failed recipients of a mail with several next hops, for one notice (threats L11).

    Until the last of its parcels is decided the failures are in memory only: a crash means
    that those recipients are tried once more.
    """

    _open: dict[int, int] = field(default_factory=dict)
    _failed: dict[int, list[tuple[QueuedRecipient, Peer]]] = field(default_factory=dict)

    def expect(self, mail_id: int, parcels: int) -> None:
        """So many parcels of the mail are under way."""
        if parcels > 1:
            self._open[mail_id] = parcels

    def decided(
        self, mail_id: int, failed: Sequence[QueuedRecipient], peer: Peer = NOBODY
    ) -> tuple[tuple[QueuedRecipient, Peer], ...]:
        """One parcel is decided. Everybody who failed, and where, when it was the last; before that nobody."""
        there = tuple([(recipient, peer) for recipient in failed]) if failed else ()
        if mail_id not in self._open:
            return there
        self._failed.setdefault(mail_id, []).extend(there)
        self._open[mail_id] -= 1
        if self._open[mail_id]:
            return ()
        del self._open[mail_id]
        return tuple(self._failed.pop(mail_id))


def first_due_at(changes: Sequence[Change]) -> float:
    """When the first of the recipients that these changes put off is due; infinity when they put nobody off."""
    due_at = [
        settlement.due_at
        for change in changes
        if type(change) is Settle
        for settlement in change.settlements
        if settlement.state is _DEFERRED
    ]
    return min(due_at) if due_at else math.inf


def _asked_for_report(outcomes: Sequence[Outcome]) -> tuple[QueuedRecipient, ...]:
    return tuple(
        [
            _told(o)
            for o in outcomes
            if o.we_report and o.fate is Fate.DELIVERED and Notify.SUCCESS in o.recipient.recipient.notify
        ]
    )


def _told(outcome: Outcome) -> QueuedRecipient:
    told = outcome.recipient
    # Written out: dataclasses.replace costs fifteen microseconds a recipient.
    return QueuedRecipient(
        number=told.number,
        recipient=told.recipient,
        next_hop=told.next_hop,
        state=told.state,
        due_at=told.due_at,
        attempts=told.attempts + 1,
        last_reply=outcome.reply,
    )


def _out_of_time(recipient: QueuedRecipient) -> QueuedRecipient:
    why = f"{OUT_OF_TIME}{recipient.last_reply}"
    return replace(recipient, last_reply=safe_text(why))


def _settlement(recipient: QueuedRecipient, state: MailState, *, due_at: float = 0.0) -> Settlement:
    return Settlement(
        number=recipient.number,
        state=state,
        due_at=due_at,
        attempts=recipient.attempts,
        last_reply=recipient.last_reply,
    )


def _changes(
    mail: QueuedMail, settlements: Sequence[Settlement], records: Sequence[StoredRecord]
) -> tuple[Change, ...]:
    if not settlements:
        return ()
    settle = Settle(mail_id=mail.mail_id, settlements=tuple(settlements))
    return (settle, KeepRecords(records=tuple(records))) if records else (settle,)
