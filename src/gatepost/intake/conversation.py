"""What we answer: each event of the engine gets its reply here, from the policy, the accounts, the store.

No socket and no timer: the connection feeds events in and writes replies out. An answer is a
Reply at once, or something to await when the world has to be asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

from msgspec.structs import replace

from gatepost.intake.counter import Counter
from gatepost.intake.door import Door, Grant
from gatepost.intake.limit_hit import CLOSING, LimitHit, limit_behind
from gatepost.intake.log_in import LogIn
from gatepost.intake.reception import Reception
from gatepost.intake.replies import (
    CHUNK_OK,
    JUNK,
    NOT_ACCEPTING,
    NOT_YOUR_CLIENT,
    READY_FOR_TLS,
    RECIPIENT_OK,
    SENDER_OK,
    SIMPLE,
    START_INPUT,
    announced,
)
from gatepost.intake.reply_to_come import Answer, ReplyToCome
from gatepost.intake.session_limits import SMALL_CHUNK_BYTES, SessionLimits
from gatepost.intake.session_notes import note_certificate, note_early_talker
from gatepost.intake.transaction import Transaction, measured
from gatepost.intake.unfinished import TOO_MUCH
from gatepost.intake.watching import SessionWatch
from gatepost.intake.xclient import Told, is_served
from gatepost.message.trace import address_literal
from gatepost.model.certificate import PeerCertificate
from gatepost.model.envelope import Recipient
from gatepost.model.fault import Fault
from gatepost.model.known import MailView
from gatepost.model.origin import origin_of
from gatepost.model.reply import POSITIVE_BELOW, Reply
from gatepost.model.session import Rights, Session, TlsInfo
from gatepost.model.verdict import PASSED, DelayReply, Disposition, HangUp, Stage
from gatepost.policy.hearing import Hearing
from gatepost.ports.tls import TlsServer
from gatepost.protocol.events import (
    Auth,
    AuthResponse,
    BdatChunk,
    Data,
    EndOfData,
    Event,
    Hello,
    Mail,
    Offer,
    Other,
    Rcpt,
    StartTls,
    Verb,
    Violation,
    XClient,
)

# Read for every mail: see policy.hearing.
_MAIL: Final = Stage.MAIL
_RCPT: Final = Stage.RCPT
_DATA: Final = Stage.DATA
FOLLOW_UP_DELAY_LIMIT_S: Final = 60.0
VIOLATIONS_LIMIT: Final = 20
"""Breaches of one session that get a record; each rule once (threats S04)."""

_UNKNOWN_RECIPIENT: Final = "5.1.1"

Opinion = Disposition | Awaitable[Disposition]


class Conversation:
    """One session's answers. `session` and `offer` change with STARTTLS and AUTH."""

    __slots__ = (
        "_counter",
        "_door",
        "_ended",
        "_grant",
        "_hearing",
        "_log_in",
        "_told",
        "_transaction",
        "_violations",
        "_watch",
        "announce",
        "limits",
        "session",
        "wants_to_hang_up",
    )

    def __init__(self, door: Door, session: Session, hearing: Hearing, counter: Counter) -> None:
        self._door = door
        self._grant: Grant = door.grant(session.client_ip)
        self.session = replace(session, kind=self._grant.kind, rights=self._grant.rights)
        self._told = Told(self.session) if door.takes_xclient_from(session.client_ip) else None
        """None: the peer may not use XCLIENT."""
        self._hearing = hearing
        self._counter = counter
        self._transaction: Transaction | None = None
        self._log_in: LogIn | None = None
        self.limits = SessionLimits(door.limits_for(self._grant))
        self._ended: tuple[Transaction, EndOfData] | None = None
        """The transaction whose end is being answered: what a limit found in it is told with its numbers."""
        self._violations: frozenset[str] = frozenset()
        self.wants_to_hang_up = False
        """An agent asked for the connection to be closed after the last reply."""
        self._watch = SessionWatch(counter.guard)
        self.announce: Callable[[str], Reply] = announced
        """Makes the reply to EHLO from our name: the engine's, which knows what it accepts."""

    @property
    def offer(self) -> Offer:
        """What the engine announces and accepts now."""
        return self._door.offer(self.session, self._grant, xclient=self._told is not None)

    @property
    def is_spared(self) -> bool:
        """What is meant for strangers does not hold for this client."""
        return self._grant.spared

    @property
    def tls_server(self) -> TlsServer | None:
        """What makes the pump after STARTTLS."""
        return self._door.tls

    def greet(self) -> Answer:
        """The first reply: 220, or a refusal that closes."""
        ready = Reply(220, "", f"{self._door.hostname} {self._door.settings.banner}".strip())
        return self._after(
            self._ask(Stage.CONNECT), lambda d: self._refusal(d, Stage.CONNECT, closes=True) or ready
        )

    def answer(self, event: Event) -> Answer:
        """The reply to any event but BodyChunk. Never raises a Fault."""
        try:
            reply = _ANSWERS[type(event)](self, event)
        except Fault as fault:
            reply = fault.reply
        if type(reply) is Reply:
            return self._weighed(reply) if self._ended or reply.code >= POSITIVE_BELOW else reply
        if type(reply) is ReplyToCome:
            return reply.weighed_by(self._weighed)
        return self._weighed_later(reply)

    def keep(self, data: bytes) -> Coroutine[Any, Any, None] | None:
        """Take a piece of content; something to await when the disk has to keep up."""
        transaction = self._transaction
        assert transaction is not None, "content without a transaction"
        self.limits.content(len(data))
        return transaction.reception.write_out() if transaction.reception.add(data) else None

    def tls_started(self, info: TlsInfo) -> None:
        """RFC 3207 §4.2: forget what came in the clear."""
        self._end_transaction()
        self._hearing.forget_connection()
        if self._told is not None:
            self._hearing.forget_client()
            self._told = Told(self._told.own)
            self._become(self._told.own)
        self.session = replace(self.session, tls=info, helo="", esmtp=False, user="")
        if info.client is not None:
            self._know(info.client)

    def authenticated(self, user: str) -> None:
        """From now on the session is somebody's."""
        self._hearing.forget_connection()
        self._become(replace(self.session, user=user))

    def note_breach(self, reply: Reply, what: str, stage: Stage = Stage.REJECT) -> None:
        """Keep a record of a refusal that no agent asked for; what: the rule, in words of ours."""
        if what not in self._violations and len(self._violations) < VIOLATIONS_LIMIT:
            self._violations |= {what}
            self._counter.taking_in.note_violation(self.session, self._transaction, reply, what, stage)

    def spoke_early(self, reply: Reply) -> None:
        """The client did not wait for the greeting (threats C01)."""
        note_early_talker(self._counter, self.session, self.limits.limits.greet_delay_s)
        self.note_breach(reply, "spoke before the greeting", Stage.CONNECT)

    def out_of_time(self, hit: LimitHit) -> None:
        """The connection closes the session for a deadline."""
        self._counter.limit_log.session_closed(hit, self.session)

    def over(self) -> None:
        """The connection is gone: nothing half received stays (threats A22)."""
        self._end_transaction()
        if not self._grant.spared:
            self._watch.over(self.session, self._hearing)

    def _know(self, shown: PeerCertificate) -> None:
        """A certificate the door's authorities vouch for: the client is an identity of ours, or a stranger."""
        identity = self._door.identity(shown)
        note_certificate(self._counter, self.session, shown, identity.name if identity is not None else "")
        self._grant_anew()

    def _grant_anew(self) -> None:
        """Somebody else, or known for somebody now: other rights, other limits."""
        session = self.session
        identity = self._door.identity(session.tls.client) if session.tls is not None else None
        self._grant = self._door.grant(session.client_ip, user=session.user, identity=identity)
        self.session = replace(session, kind=self._grant.kind, rights=self._grant.rights)
        self.limits.limits = self._door.limits_for(self._grant)
        if self._grant.spared:
            self.limits.minute = None

    def _data(self, _event: Data) -> Answer:
        return self._after(self._ask(_DATA), lambda d: self._refusal(d, _DATA) or START_INPUT)

    def _hello(self, event: Hello) -> Answer:
        before = self.session
        # Once more, without TLS or another client in between: it may cost us questions to the DNS.
        counts = before.helo and self.limits.junk() and Rights.BYPASS_FILTERS not in before.rights
        if counts and (hit := self.limits.too_many_errors):
            return self._over(hit, closes=True)
        self.session = replace(before, helo=event.name, esmtp=event.verb is Verb.EHLO)
        if self._told is not None:
            self.session = self._told.greeted(self.session)
        hello = Reply(250, "", self._door.hostname)

        def said(disposition: Disposition) -> Reply:
            refusal = self._refusal(disposition, Stage.HELO)
            if refusal is not None:
                self.session = before  # a refused EHLO leaves things as they were (threats B17)
                return refusal
            self._end_transaction()
            greeting = f"Hello {address_literal(self.session.client_ip)}"
            return self.announce(greeting) if event.verb is Verb.EHLO else hello

        return self._after(self._ask(Stage.HELO), said)

    def _xclient(self, event: XClient) -> Answer:
        """As if the client it names had just connected to this connector. Raises WorldFault."""
        assert self._told is not None, "XCLIENT of somebody who may not"
        told = self._told.and_now(event)
        session = told.session_from(self.session, event)
        is_disabled = bool(told.user) and self._counter.log_in.accounts.is_disabled(told.user)
        if is_disabled or not is_served(self._door, session, event):
            return NOT_YOUR_CLIENT
        self._end_transaction()
        self._hearing.forget_client()
        self._told = told
        self._become(session)
        return self.greet()

    def _become(self, session: Session) -> None:
        """From now on the session is this one, with the rights of its client."""
        self.session = session
        self._grant_anew()

    def _mail(self, event: Mail) -> Answer:
        pressure = self._counter.pressure
        if pressure.level:
            if pressure.refuses(spared=self._grant.spared):
                self._counter.counters.add("mails_not_accepted")
                return self._over(pressure.hit(NOT_ACCEPTING))
            if not self._grant.spared:
                return self._begin_slowly(event, pressure.delay_s)
        return self._begin_mail(event)

    async def _begin_slowly(self, event: Mail, delay_s: float) -> Reply:
        """Medium pressure that is patient yet: strangers wait (threats G10)."""
        if not await self._held(delay_s):
            return self._tarpit_full()
        answer = self._begin_mail(event)
        return answer if isinstance(answer, Reply) else await answer

    def _begin_mail(self, event: Mail) -> Answer:
        if hit := self.limits.at_mail(event.size_declared or 0, self._counter.clock.monotonic()):
            return self._over(hit, closes=True)
        self._watch.mail_begun()
        taking_in, now = self._counter.taking_in, self._counter.clock.now()
        if reason := taking_in.why_not():
            self._counter.counters.add("mails_not_accepted")
            self._counter.log.write(
                "warning", "not-accepting", reason=reason, session=self.session.session_id
            )
            return NOT_ACCEPTING
        self._transaction = Transaction(
            mail_id=taking_in.next_mail_id(now),
            mail=event,
            watch=self._watch,
            reception=Reception(
                taking_in.open_spool,
                memory_body_bytes=taking_in.memory_body_bytes,
                header_bytes=self._door.settings.limits.header_size_bytes,
                field_bytes=self._door.settings.limits.header_field_bytes,
            ),
        )
        return self._after(self._ask(_MAIL, now=now), self._sender_said)

    def _sender_said(self, disposition: Disposition) -> Reply:
        refusal = self._refusal(disposition, _MAIL)
        if refusal is None:
            self.limits.message_begun()
            return SENDER_OK
        if self._transaction is not None:
            self._transaction.refusals += 1
        self._end_transaction()
        return refusal

    def _rcpt(self, event: Rcpt) -> Answer:
        transaction = self._transaction
        assert transaction is not None, "RCPT without a transaction"
        recipient = self._counter.taking_in.arriving(event.recipient)

        def said(disposition: Disposition) -> Reply:
            refusal = self._refusal(disposition, _RCPT)
            if refusal is None and self.session.user:
                refusal = self._logging_in().over_rate(self.session)
            if refusal is None:
                transaction.add(recipient)
                self._watch.recipient_taken(recipient.address)
                return RECIPIENT_OK
            transaction.refusals += 1
            guess = self._watch.recipient_refused(
                recipient.address, refusal, self.session, spared=self._grant.spared
            )
            if isinstance(guess, LimitHit):
                return self._over(guess, closes=True)
            self.limits.hold_back(guess)
            if refusal.enhanced == _UNKNOWN_RECIPIENT and (hit := self.limits.at_unknown_recipient(now)):
                return self._over(hit, closes=True)
            return refusal

        now = self._counter.clock.monotonic()
        if self.limits.minute is not None and (hit := self.limits.at_rcpt(now)):
            transaction.refusals += 1
            return self._over(hit)
        if self._counter.pressure.lacks_memory and not self._grant.spared:
            return self._over(self._counter.pressure.hit(NOT_ACCEPTING))
        return self._after(self._ask(_RCPT, recipient), said)

    def _logging_in(self) -> LogIn:
        """Made for who logs in or has: most clients never do."""
        self._log_in = self._log_in or LogIn(self._counter.log_in, self._door, self.authenticated)
        return self._log_in

    def _end_of_data(self, event: EndOfData) -> Answer:
        transaction, self._transaction = self._transaction, None
        assert transaction is not None, "end of data without a transaction"
        self._ended = transaction, event
        return self._counter.taking_in.take_in(self._door, self.session, transaction, event, self._hearing)

    def _violation(self, event: Violation) -> Reply:
        self._counter.counters.add("protocol_violations", connector=self._door.name)
        self._counter.log.write(
            "info",
            "protocol-violation",
            session=self.session.session_id,
            client_ip=self.session.client_ip,
            what=event.what,
            reply=str(event.reply),
        )
        self.note_breach(event.reply, event.what)
        if not event.counts:
            self.limits.forgive()
        return event.reply

    def _other(self, event: Other) -> Answer:
        if event.verb is Verb.RSET:
            self._end_transaction()
        reply = SIMPLE[event.verb]
        return self._idle(reply) if event.verb in JUNK else reply

    def _chunk(self, event: BdatChunk) -> Answer:
        return CHUNK_OK if event.size_bytes >= SMALL_CHUNK_BYTES else self._idle(CHUNK_OK)

    def _idle(self, reply: Reply) -> Answer:
        """What brings no mail forward costs patience like an error, after junk-commands (threats B29)."""
        if not self.limits.junk() or reply.code >= POSITIVE_BELOW:
            return reply
        return self._weighed(reply, is_idle=True)

    def _ask(self, stage: Stage, recipient: Recipient | None = None, now: float = 0.0) -> Opinion:
        if self._hearing.has_nobody_to_ask(stage, self.session):
            return PASSED
        transaction = self._transaction
        return self._hearing.ask(
            MailView(
                stage=stage,
                session=self.session,
                now=now or self._counter.clock.now(),
                envelope=transaction.envelope if transaction is not None else None,
                recipient=recipient,
            )
        )

    def _after(self, opinion: Opinion, said: Callable[[Disposition], Reply]) -> Answer:
        """The reply to an opinion, with the delay the opinion asks for."""
        if type(opinion) is Disposition and not opinion.effects:
            return said(opinion)
        return self._after_waiting(opinion, said)

    async def _after_waiting(self, opinion: Opinion, said: Callable[[Disposition], Reply]) -> Reply:
        disposition = opinion if isinstance(opinion, Disposition) else await opinion
        self._watch.perform(disposition, self.session)
        delay_s = max((e.delay_s for e in disposition.effects if isinstance(e, DelayReply)), default=0.0)
        held = not delay_s or await self._held(min(delay_s, FOLLOW_UP_DELAY_LIMIT_S))
        self.wants_to_hang_up = self.wants_to_hang_up or any(
            isinstance(e, HangUp) for e in disposition.effects
        )
        reply = said(disposition)
        return reply if held or reply.is_positive else self._tarpit_full()

    def _refusal(self, disposition: Disposition, stage: Stage, *, closes: bool = False) -> Reply | None:
        """The reply when the policy refuses, counted; None when it does not."""
        if disposition.reply is None:
            return None
        self._counter.counters.add("refusals", connector=self._door.name, agent=disposition.decided_by)
        if self._transaction is None:
            self._counter.taking_in.note_refusal(self.session, disposition, stage)
        self.wants_to_hang_up = self.wants_to_hang_up or closes
        return disposition.reply

    def _end_transaction(self) -> None:
        """RSET, EHLO, STARTTLS, a refused MAIL, the end of the connection: I4."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.reception.discard()
            if transaction.refusals:
                self._counter.taking_in.note_refused_mail(self.session, transaction, self._hearing)
        self._hearing.forget_mail()

    def _weighed(self, reply: Reply, *, is_idle: bool = False) -> Answer:
        """Errors cost patience: first a delay, then the connection (threats 0.3). is_idle: it counted as one."""
        ended, self._ended = self._ended, None
        if is_idle:
            hit = self.limits.too_many_errors
        elif reply.code < POSITIVE_BELOW:
            return reply
        else:
            if self._watch.wants_to_hang_up:
                self.wants_to_hang_up = True
            self._tell_limit_behind(reply, ended)
            hit = self.limits.error()
        if Rights.BYPASS_FILTERS in self.session.rights:
            return reply
        if hit and not reply.hangs_up:
            return self._over(hit, closes=True)
        delay_s = self.limits.delay_s
        return self._delayed(reply, delay_s) if delay_s and not reply.hangs_up else reply

    async def _weighed_later(self, answer: Awaitable[Reply]) -> Reply:
        try:
            reply = await answer
        except Fault as fault:
            reply = fault.reply
        weighed = self._weighed(reply)
        return weighed if isinstance(weighed, Reply) else await weighed

    async def _delayed(self, reply: Reply, delay_s: float) -> Reply:
        return reply if await self._held(delay_s) else self._tarpit_full()

    def _held(self, delay_s: float) -> Awaitable[bool]:
        return self._door.tarpit.hold(delay_s, origin_of(self.session.client_ip).network)

    def _over(self, hit: LimitHit, *, closes: bool = False) -> Reply:
        """Tell which limit was reached, and answer."""
        if closes:
            self._counter.limit_log.session_closed(hit, self.session)
        else:
            self._counter.limit_log.command_refused(hit, self.session)
        return hit.reply

    def _tarpit_full(self) -> Reply:
        """Nobody else is held: the client hears it at once, and goes (threats G13)."""
        return self._over(self._door.tarpit.hit, closes=True)

    def _tell_limit_behind(self, reply: Reply, ended: tuple[Transaction, EndOfData] | None) -> None:
        """Engine and reception refuse by limits, too."""
        hit = limit_behind(reply, self._door.settings.limits, actual=measured(ended, reply))
        if reply is TOO_MUCH:
            hit = self._counter.taking_in.unfinished.hit
        if hit is not None:
            self._over(hit, closes=reply in CLOSING)


_ANSWERS: Final[Mapping[type[Any], Callable[[Conversation, Any], Answer]]] = {
    Hello: Conversation._hello,
    Mail: Conversation._mail,
    Rcpt: Conversation._rcpt,
    Data: Conversation._data,
    BdatChunk: Conversation._chunk,
    EndOfData: Conversation._end_of_data,
    StartTls: lambda _conversation, _event: READY_FOR_TLS,
    Auth: lambda conversation, event: conversation._logging_in().begin(event, conversation.session),
    AuthResponse: lambda conversation, event: conversation._logging_in().respond(event.data),
    XClient: Conversation._xclient,
    Violation: Conversation._violation,
    Other: Conversation._other,
}
