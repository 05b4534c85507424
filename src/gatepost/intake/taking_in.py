"""The end of data: the mail is judged, split where answers differ, made durable, and only then answered.

One transaction holds message, envelope, facts, verdicts and records. The 250 is written by
the store's `done`; anything that goes wrong before is a 4xx and nothing is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import msgspec

from gatepost.config.own_names import own_hostnames
from gatepost.config.settings import Settings
from gatepost.facts.return_path_proof import Proofs
from gatepost.intake.behind_relays import SourceWatch, behind_relay
from gatepost.intake.dmarc_rows import DmarcReports
from gatepost.intake.door import Door
from gatepost.intake.new_mail import (
    Arrival,
    content_with_trace,
    group_records,
    is_authenticated,
    may_leave,
    message_id_of,
    opinion_records,
    queued_mail,
    refused_recipients,
)
from gatepost.intake.reply_to_come import ReplyToCome
from gatepost.intake.transaction import Transaction
from gatepost.intake.unfinished import Unfinished
from gatepost.message.firewall import firewalled
from gatepost.message.headers import HeaderIndex
from gatepost.model.content import Content
from gatepost.model.envelope import Notify, Recipient
from gatepost.model.fault import Fault, reply_for
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import MailView
from gatepost.model.mail_id import MailIds, mail_id_text
from gatepost.model.queued import (
    Accept,
    Change,
    KeepDossier,
    KeepRecords,
    MailState,
    QueuedMail,
    QueuedRecipient,
    StoredRecord,
)
from gatepost.model.reply import Reply
from gatepost.model.session import Rights, Session
from gatepost.model.verdict import Action, DelayReply, Disposition, HangUp, Stage
from gatepost.policy.folding import Decision, MailOutcome, outcome
from gatepost.policy.hearing import Hearing
from gatepost.ports.log import Counters, Log
from gatepost.ports.store import BodySpool, Store
from gatepost.ports.world import Clock
from gatepost.protocol.events import EndOfData
from gatepost.queue.schedule import Held
from gatepost.records import agent_log
from gatepost.routing.next_hop import Router
from gatepost.standards.return_paths import ReturnPaths

# Read for every mail: see policy.hearing.
_DATA: Final = Stage.DATA
_END_OF_DATA: Final = Stage.END_OF_DATA
_DISCARD: Final = Action.DISCARD
_ROUTING: Final = Rights.ROUTING_HEADERS
_NEVER: Final = Notify.NEVER
DELAY_LIMIT_S: Final = 60.0
_SET_ASIDE: Final = {Action.QUARANTINE: "mails_quarantined", Action.DISCARD: "mails_discarded"}
"""Counters of mail that was taken and is not delivered."""
_STATES: Final = {Action.QUARANTINE: MailState.QUARANTINED, Action.DISCARD: MailState.REMOVED}


class Deliveries(Protocol):
    """What we need of the scheduler."""

    def offer(self, mail: QueuedMail, content: Content) -> None:
        """A mail that was just committed."""

    def held(self, next_hop: str) -> Held | None:
        """Why mail for this next hop would only wait now; None when it may leave."""


NoticeOfRefusal = Callable[[QueuedMail, Sequence[QueuedRecipient], Content, int], "Accept | None"]
"""(mail, refused recipients with their last_reply, content, id for the notice) -> the notice."""


class TakingIn:
    """Turns what came in into what the store keeps. One for each worker and configuration."""

    def __init__(
        self,
        store: Store,
        router: Router,
        ids: MailIds,
        deliveries: Deliveries,
        settings: Settings,
        *,
        clock: Clock,
        counters: Counters,
        log: Log,
        notice: NoticeOfRefusal,
        return_paths: ReturnPaths | None = None,
        dmarc_reports: DmarcReports | None = None,
    ) -> None:
        self._store = store
        self._router = router
        self._ids = ids
        self._deliveries = deliveries
        self._settings = settings
        self._clock = clock
        self._counters = counters
        self._log = log
        self._notice = notice
        self._own_ids = frozenset(own_hostnames(settings))
        self._relays = IpRanges(settings.server.internal_relays)
        self._sources = SourceWatch(log, counters) if not self._relays else None
        self._return_paths = return_paths
        self._proofs = Proofs.of(settings.notices)
        self._dmarc_reports = dmarc_reports
        self.memory_body_bytes = settings.queue.memory_body_bytes
        self.unfinished = Unfinished(store.spool, settings.intake.unfinished_bytes)
        self.open_spool: Callable[[], BodySpool] = self.unfinished.open

    def why_not(self) -> str:
        """Why no mail is taken at the moment; "" when it is."""
        return self._store.why_not_accepting()

    def next_mail_id(self, now: float) -> int:
        """A name for the next mail."""
        return self._ids.next(now)

    def take_in(
        self, door: Door, session: Session, transaction: Transaction, event: EndOfData, hearing: Hearing
    ) -> Reply | Awaitable[Reply]:
        """The reply to the end of data. The transaction is over when it is there, whatever it says (I4)."""
        if event.refusal is not None:
            return self._refused_unseen(session, transaction, hearing, event.refusal)
        if transaction.reception.is_spooled:
            return self._take_in_spooled(door, session, transaction, event, hearing)
        try:
            content = transaction.reception.finish(event.form)
        except Fault as fault:
            return self._refused_unseen(session, transaction, hearing, fault.reply)
        return self._judge(door, session, transaction, content, hearing)

    def note_refusal(self, session: Session, disposition: Disposition, stage: Stage) -> None:
        """A refusal outside of a transaction (connection, greeting, sender's session) is recorded at once."""
        at = self._clock.now()
        records = agent_log.entries(session, stage, disposition, at=at)
        self._store.commit([KeepRecords(records=records)])

    def note_violation(
        self, session: Session, transaction: Transaction | None, reply: Reply, what: str, stage: Stage
    ) -> None:
        """The engine refused a command, or ended the session: every no leaves one record."""
        about = agent_log.NOTHING_YET
        if transaction is not None:
            about = agent_log.Subject(envelope=transaction.envelope, mail_id=transaction.mail_id)
        record = agent_log.refused_by_engine(session, stage, reply, what, at=self._clock.now(), about=about)
        self._store.commit([KeepRecords(records=(record,))])

    def note_refused_mail(self, session: Session, transaction: Transaction, hearing: Hearing) -> None:
        """A transaction that ended with refusals and without a mail: its dossier answers why."""
        view = self._view(_DATA, session, transaction)
        self._keep_only_records(transaction, hearing, hearing.dossier(view), view, ())

    async def _take_in_spooled(
        self, door: Door, session: Session, transaction: Transaction, event: EndOfData, hearing: Hearing
    ) -> Reply:
        try:
            content = await transaction.reception.finish_spooled(event.form)
        except Fault as fault:
            return self._refused_unseen(session, transaction, hearing, fault.reply)
        return await _whenever(self._judge(door, session, transaction, content, hearing))

    def _judge(
        self, door: Door, session: Session, transaction: Transaction, content: Content, hearing: Hearing
    ) -> Reply | Awaitable[Reply]:
        # Received fields go after the opinions: whoever may not bring any can loop all the same (L01).
        rights = session.rights if _ROUTING in session.rights else session.rights | _ROUTING
        received = content
        authserv_id = self._settings.server.authserv_id or door.hostname
        head = firewalled(content.head, rights, authserv_id=authserv_id, other_ids=self._own_ids)
        if head is not content.head:
            content = Content(head=head, body=content.body, form=content.form)
        index, judged = HeaderIndex.parse(head), session
        if self._sources is not None:
            self._sources.note(session)
        elif session.client_ip in self._relays:
            session, judged = behind_relay(session, index, self._relays)
        arrival = Arrival(
            hostname=door.hostname,
            authserv_id=authserv_id,
            session=session,
            transaction=transaction,
            hearing=hearing,
            view=self._view(_END_OF_DATA, judged, transaction, content, received),
            content=content,
            index=index,
            message_id=message_id_of(index),
            is_authenticated=is_authenticated(session),
        )
        decisions = hearing.decide(arrival.view)
        if isinstance(decisions, tuple):
            return self._act(arrival, decisions)
        return self._act_later(arrival, decisions)

    async def _act_later(self, arrival: Arrival, decisions: Awaitable[tuple[Decision, ...]]) -> Reply:
        try:
            decided = await decisions
        except BaseException:
            self._over(arrival.transaction, arrival.hearing, taken=False)
            raise
        return await _whenever(self._act(arrival, decided))

    def _view(
        self,
        stage: Stage,
        session: Session,
        transaction: Transaction,
        content: Content | None = None,
        received: Content | None = None,
    ) -> MailView:
        now, envelope = self._clock.now(), transaction.envelope
        if content is None:
            return MailView(stage=stage, session=session, now=now, envelope=envelope)
        return MailView(
            stage=stage,
            session=session,
            now=now,
            envelope=envelope,
            head=content.head,
            form=content.form,
            size_bytes=content.size_bytes,
            content=received,
        )

    def _act(self, arrival: Arrival, decisions: tuple[Decision, ...]) -> Reply | Awaitable[Reply]:
        if (watch := arrival.transaction.watch) is not None:
            watch.judged(arrival.view.session, decisions, arrival.hearing.fact)
        if not arrival.is_authenticated:
            proof = self._proofs.find(arrival.view, arrival.hearing.fact)
            arrival = msgspec.structs.replace(arrival, proof=proof)
        result, notice = self._outcome(arrival, decisions)
        if self._dmarc_reports is not None:
            self._dmarc_reports.note(arrival.view, arrival.hearing.facts, result)
        effects = result.effects
        delay_s = max([e.delay_s for e in effects if isinstance(e, DelayReply)], default=0) if effects else 0
        if effects and watch is not None and HangUp() in effects:
            watch.wants_to_hang_up = True
        if result.refusal is not None:
            answer: Reply | Awaitable[Reply] = self._refuse(arrival, decisions, result.refusal)
        else:
            answer = self._keep(arrival, decisions, result, notice)
        return _after_delay(answer, min(delay_s, DELAY_LIMIT_S)) if delay_s else answer

    def _outcome(
        self, arrival: Arrival, decisions: tuple[Decision, ...]
    ) -> tuple[MailOutcome, Accept | None]:
        """What is to be done, with the notice about those recipients that are refused alone.

        When there may be none after all (too many within the hour), their copy waits for a person.
        """
        result = outcome(decisions, may_be_told=self._may_be_told(arrival, decisions))
        if not result.to_tell:
            return result, None
        notice = self._notice_of(arrival, result.to_tell)
        if notice is None and any(_NEVER not in d.recipient.notify for d in result.to_tell):
            return outcome(decisions, may_be_told=False), None
        return result, notice

    def _may_be_told(self, arrival: Arrival, decisions: tuple[Decision, ...]) -> bool:
        """Whether recipients that are refused while others are not make a notice to the sender."""
        if arrival.is_authenticated:
            return True
        limit = self._settings.policy.tag_at
        return arrival.proof.holds and all(decision.disposition.scl < limit for decision in decisions)

    def _refuse(self, arrival: Arrival, decisions: tuple[Decision, ...], refusal: Disposition) -> Reply:
        assert refusal.reply is not None, "a refusal has a reply"
        dossier = arrival.hearing.dossier(arrival.view, decisions)
        self._keep_only_records(
            arrival.transaction, arrival.hearing, dossier, arrival.view, (), arrival.index
        )
        self._counters.add("mails_refused", connector=arrival.session.connector, agent=refusal.decided_by)
        self._over(arrival.transaction, arrival.hearing, taken=False)
        return refusal.reply

    def _refused_unseen(
        self, session: Session, transaction: Transaction, hearing: Hearing, reply: Reply
    ) -> Reply:
        """Size, line length, a full disk: nobody was asked."""
        view = self._view(_DATA, session, transaction)
        about = agent_log.Subject(envelope=transaction.envelope, mail_id=transaction.mail_id)
        record = agent_log.refused_by_engine(
            session, _END_OF_DATA, reply, reply.text, at=view.now, about=about
        )
        self._keep_only_records(transaction, hearing, hearing.dossier(view), view, (record,))
        self._counters.add("mails_refused", connector=session.connector, agent=agent_log.ENGINE)
        self._over(transaction, hearing, taken=False)
        return reply

    def _keep_only_records(
        self,
        transaction: Transaction,
        hearing: Hearing,
        dossier: bytes,
        view: MailView,
        records: tuple[StoredRecord, ...],
        index: HeaderIndex | None = None,
    ) -> None:
        opinions = opinion_records(view.session, transaction, hearing, at=view.now, index=index)
        self._store.commit(
            [
                KeepDossier(mail_id=transaction.mail_id, at=view.now, data=dossier),
                KeepRecords(records=(*records, *opinions)),
            ]
        )

    def _keep(
        self,
        arrival: Arrival,
        decisions: tuple[Decision, ...],
        result: MailOutcome,
        notice: Accept | None = None,
    ) -> Awaitable[Reply]:
        """Commit; the reply comes when the mail is on stable storage, or is not ours."""
        reply = Reply(250, "2.0.0", f"Queued as {mail_id_text(arrival.transaction.mail_id)}")
        try:
            changes, offered = self._changes(arrival, decisions, result, notice, reply)
        except BaseException:
            self._over(arrival.transaction, arrival.hearing, taken=False)
            raise
        answered = ReplyToCome()
        taken = Accept in map(type, changes)

        def done(error: BaseException | None) -> None:
            self._over(arrival.transaction, arrival.hearing, taken=taken and error is None)
            if error is None:
                self._counters.add("mails_accepted", connector=arrival.session.connector)
                for group in result.groups:
                    if group.action in _SET_ASIDE:
                        who = group.decisions[0].disposition.decided_by
                        self._counters.add(_SET_ASIDE[group.action], agent=who)
                for mail, content in offered:
                    self._deliveries.offer(mail, content)
            elif not isinstance(error, Fault):
                self._log.write("error", "bug", place="store", error=repr(error))
            answered.come(reply if error is None else reply_for(error))

        self._store.commit(changes, done)
        return answered

    def _changes(
        self,
        arrival: Arrival,
        decisions: tuple[Decision, ...],
        result: MailOutcome,
        notice: Accept | None,
        reply: Reply,
    ) -> tuple[list[Change], list[tuple[QueuedMail, Content]]]:
        """Everything one message becomes: a mail for each group, records, dossiers, a notice."""
        parent_id, hostname = arrival.transaction.mail_id, arrival.hostname
        besides = () if arrival.is_authenticated else (arrival.proof,)
        dossier = arrival.hearing.dossier(arrival.view, decisions, besides=besides)
        changes: list[Change] = []
        offered: list[tuple[QueuedMail, Content]] = []
        records: list[StoredRecord] = []
        for number, group in enumerate(result.groups):
            mail_id = self.next_mail_id(arrival.view.now) if number else parent_id
            state = _STATES.get(group.action)
            mail = queued_mail(
                arrival,
                self._led_back(group.decisions, arrival.view.now),
                mail_id,
                scl=group.scl,
                state=state,
                settings=self._settings,
                router=self._router,
                held=self._deliveries.held,
            )
            changes.append(KeepDossier(mail_id=mail_id, at=arrival.view.now, data=dossier))
            records += group_records(
                arrival, mail, group, hostname=hostname, parent_id=parent_id, reply=str(reply)
            )
            if group.action is _DISCARD:
                continue
            content = content_with_trace(arrival, group, mail_id)
            changes.append(Accept(mail=mail, content=content))
            if state is None and (leaving := may_leave(mail)) is not None:
                offered.append((leaving, content))
        if notice is not None:
            changes.append(notice)
            offered.append((notice.mail, notice.content))
        records += opinion_records(
            arrival.session, arrival.transaction, arrival.hearing, at=arrival.view.now, index=arrival.index
        )
        changes.append(KeepRecords(records=tuple(records)))
        return changes, offered

    def _led_back(self, decisions: tuple[Decision, ...], now: float) -> tuple[Decision, ...]:
        """Mail to a return path that SRS made goes to the one behind; the records of its way in name ours."""
        paths = self._return_paths
        if paths is None or not any(paths.claims(d.recipient.address) for d in decisions):
            return decisions
        return tuple(
            Decision(recipient=paths.led_back(d.recipient, now), disposition=d.disposition) for d in decisions
        )

    def arriving(self, recipient: Recipient) -> Recipient:
        """As every check sees it: without a good tag."""
        paths = self._return_paths
        return recipient if paths is None else paths.arriving(recipient, self._clock.now())

    def _notice_of(self, arrival: Arrival, refused: tuple[Decision, ...]) -> Accept | None:
        """A notice to a sender we know about recipients that were refused while others were taken."""
        about = queued_mail(
            arrival,
            refused,
            arrival.transaction.mail_id,
            scl=0,
            state=MailState.FAILED,
            settings=self._settings,
            router=self._router,
            held=self._deliveries.held,
        )
        who = refused_recipients(refused, self._router)
        return self._notice(about, who, arrival.content, self.next_mail_id(arrival.view.now))

    def _over(self, transaction: Transaction, hearing: Hearing, *, taken: bool) -> None:
        if taken:
            transaction.reception.keep()
        else:
            transaction.reception.discard()
        hearing.forget_mail()


async def _whenever(answer: Reply | Awaitable[Reply]) -> Reply:
    return answer if isinstance(answer, Reply) else await answer


async def _after_delay(answer: Reply | Awaitable[Reply], delay_s: float) -> Reply:
    reply = await _whenever(answer)
    await asyncio.sleep(delay_s)
    return reply
