"""One connection to one host: opened with greeting, EHLO, TLS and AUTH, then one mail after the other."""

from __future__ import annotations

import asyncio
import math
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec.structs import replace

from gatepost.config.settings import SendConnector
from gatepost.delivery.authentication import Credentials, choose, exchange_for
from gatepost.delivery.dane_proof import proven_by_dane
from gatepost.delivery.load import Load
from gatepost.delivery.needs import NO_REQUIRETLS, NO_SMTPUTF8, needs_of, options_for
from gatepost.delivery.outcome import Fate, Outcome, all_alike, outcomes_of
from gatepost.delivery.watch import Watch
from gatepost.model.content import Content, SpooledBody
from gatepost.model.envelope import BodyType
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.model.queued import QueuedMail, QueuedRecipient
from gatepost.model.reply import Reply
from gatepost.model.session import TlsInfo
from gatepost.ports.bodies import BodyFiles
from gatepost.ports.wire import OutgoingWire
from gatepost.protocol.replies import PeerReply, broken, safe_text
from gatepost.protocol.smtp_client import (
    AuthAnswered,
    AuthChallenged,
    ChunkTaken,
    ClientEngine,
    ClientEvent,
    ContentWanted,
    Greeted,
    HungUp,
    Introduced,
    TlsAnswered,
    TransactionOver,
)
from gatepost.protocol.smtp_client_commands import mail_command, rcpt_command

RECIPIENTS_LIMIT: Final = 100  # RFC 5321 §4.5.3.1.8: every server takes as many
TRANSACTION_LIMIT_S: Final = 1800.0
"""From MAIL to the end of the content; the reply to it has its own patience (threats N09)."""

_STOPPED: Final = "4.3.2 the delivery was broken off by a stop"
_WANTS_TLS: Final = re.compile(r"53[08] |5[0-9]{2} .*\b(?:START)?TLS\b", re.I)
_E = TypeVar("_E")

SoFar = Callable[[Sequence[Outcome]], None]

NO_STARTTLS: Final = "starttls-not-supported"
"""What a report calls it (RFC 8460 §4.3.1)."""
NOT_PROVEN: Final = Reply(
    450, "4.7.10", "REQUIRETLS was asked for, and the next hop has not proven who it is"
)
LOOP: Final = Reply(554, "5.4.6", "The next hop greets with our own name: mail loops")


class StaleConnection(WorldFault):
    """A kept-open connection had died before it took note of the mail: nothing was tried yet."""


class TlsFailed(WorldFault):
    """STARTTLS was agreed to and the handshake failed: this connection must not go on (threats D23)."""


@dataclass(slots=True)
class NextHopConnection:
    """An open conversation. `usable` says whether another mail may follow.

    host: its name.  monotonic: for the total time of a transaction, in seconds.
    link: what was asked of TLS; an opportunistic one may be in the clear all the same.
    """

    wire: OutgoingWire
    engine: ClientEngine
    settings: SendConnector
    host: str
    monotonic: Callable[[], float]
    link: LinkTls
    asked: LinkTls | None = None
    """What the settings asked for, where a policy of the domain asked for more; None: `link`."""
    now: Callable[[], float] = lambda: 0.0
    """Wall time, for the dates of certificates that DANE judges."""
    tls: TlsInfo | None = None
    mails_sent: int = 0
    pipelining: bool = True
    """False after a peer that announces PIPELINING stumbled over it (threats N07)."""
    until: float = math.inf
    """When whatever is under way must be over, by `monotonic`; one reply has its own patience."""
    watch: Watch | None = None
    """Writes down what is said."""
    partly: Callable[[], None] | None = None
    """Tells who has the mail under way already, by the answers so far."""
    without_tls_because: str = ""
    """Why TLS failed with this host a moment ago, when this conversation goes on in the clear."""
    broke_in_envelope: bool = False
    """It stumbled before any content was sent: a second try without pipelining is safe."""

    @property
    def usable(self) -> bool:
        """Idle, not closing, and not at the limit of messages."""
        return self.engine.is_idle and self.mails_sent < self.settings.messages_per_connection

    @property
    def peer_is_proven(self) -> bool:
        """TLS, with a next hop that proved who it is."""
        return self.tls is not None and self.tls.peer_is_proven

    async def open(
        self, our_name: str, *, link: LinkTls, credentials: Credentials | None, timeout_s: float
    ) -> None:
        """Greeting, EHLO, STARTTLS by `link`, AUTH.

        Raises WorldFault when this host will not do now, TlsFailed, PeerFault(5.4.6) for a loop.
        """
        self.until = self.monotonic() + timeout_s
        patience_s = self.settings.command_timeout_s
        greeted = await self._expect(Greeted, patience_s)
        _agreed(greeted.reply, "greeting")
        if greeted.name == our_name.lower():
            raise PeerFault(
                LOOP, "the next hop greets with our own name", host=self.host, greeted=greeted.name
            )
        await self._hello(patience_s)
        if link.mode is not LinkMode.NONE:
            await self._secure(link, patience_s)
        if credentials is not None:
            await self._log_in(credentials, patience_s)

    async def hand_over(
        self,
        mail: QueuedMail,
        recipients: Sequence[QueuedRecipient],
        content: Content,
        bodies: BodyFiles,
        body_path: Callable[[SpooledBody], str],
        so_far: SoFar | None = None,
    ) -> tuple[Outcome, ...]:
        """One mail to its recipients, at most 100 in a transaction.

        so_far: hears of those that were answered while others are still waited for.
        Raises StaleConnection, and no other fault of the world: those are in the outcomes.
        """
        if mail.require_tls and self.engine.offers.require_tls and not self.peer_is_proven:
            if self.tls is None and not self.engine.offers.starttls:  # whatever it announces in the clear
                return all_alike(recipients, Fate.FAILED, NO_REQUIRETLS)
            return all_alike(recipients, Fate.DEFERRED, NOT_PROVEN)
        needs = needs_of(mail, [r.recipient for r in recipients], content)
        options = options_for(mail, needs, self.engine.offers, self.settings.when_no_8bitmime)
        if isinstance(options, Reply):
            plain = [r for r in recipients if r.recipient.address.is_ascii]
            if options is not NO_SMTPUTF8 or len(plain) in (0, len(recipients)):
                return all_alike(recipients, Fate.FAILED, options)
            beyond = [r for r in recipients if not r.recipient.address.is_ascii]
            others = await self.hand_over(mail, plain, content, bodies, body_path, so_far)
            return (*all_alike(beyond, Fate.FAILED, options), *others)
        command = mail_command(mail.sender, options)
        load = Load(
            content=content, binary=options.body is BodyType.BINARY_MIME, bodies=bodies, body_path=body_path
        )
        outcomes: list[Outcome] = []
        size = min(self.engine.offers.rcpt_max or RECIPIENTS_LIMIT, RECIPIENTS_LIMIT)
        waiting = deque(recipients)
        while waiting:
            batch = [waiting.popleft() for _ in range(min(size, len(waiting)))]
            if outcomes and not self.engine.is_idle:
                outcomes += outcomes_of(batch, (), unknown=f"connection to {self.host} was closed")
                continue
            rcpts = [
                rcpt_command(r.recipient, dsn=self.engine.offers.dsn, smtputf8=options.smtputf8)
                for r in batch
            ]
            self.mails_sent += 1
            done = await self._transaction(command, rcpts, batch, load, so_far, is_first=not outcomes)
            taken = sum(outcome.fate is Fate.DELIVERED for outcome in done)
            if 0 < taken < len(done) and self.engine.is_idle:
                left = [outcome.recipient for outcome in done if outcome.is_one_too_many]
                if left and left[-1] is batch[-1]:  # from one on everybody, not somebody in between
                    waiting.extendleft(reversed(left))
                    size = taken  # so that it ends: each transaction brings the mail to somebody
                    done = tuple(outcome for outcome in done if not outcome.is_one_too_many)
            outcomes += done
            if so_far is not None and waiting:
                so_far(outcomes)
        return tuple(outcomes)

    def close(self) -> None:
        """Say QUIT when it is polite, and close without waiting for the answer."""
        self.engine.quit()
        try:
            self._send_commands()
        except WorldFault:
            pass  # TLS broke while saying goodbye: there is nothing left to lose
        finally:
            self._hang_up()

    # -- opening ----------------------------------------------------------------------------------

    async def _hello(self, patience_s: float) -> None:
        plain = self.settings.force_helo
        self.engine.hello(plain=plain)
        _agreed((await self._expect(Introduced, patience_s)).reply, "HELO" if plain else "EHLO")

    async def _secure(self, link: LinkTls, patience_s: float) -> None:
        demanded = link.is_demanded
        if not self.engine.offers.starttls:
            if demanded:
                raise WorldFault(
                    f"{self.host} does not offer STARTTLS, and TLS is {_demand(link)}", tls_result=NO_STARTTLS
                )
            return
        self.engine.start_tls()
        answer = await self._expect(TlsAnswered, patience_s)
        if not answer.reply.is_positive:
            if demanded:
                raise WorldFault(f"{self.host} refused STARTTLS: {answer.reply.text}", tls_result=NO_STARTTLS)
            return
        try:
            self.engine.tls_started()
            self.tls = await self.wire.start_tls(self.host, link=link, timeout_s=self._patience(patience_s))
            if link.mode is LinkMode.DANE:
                self.tls = proven_by_dane(self.tls, link, now=self.now())
            if self.watch is not None:
                self.watch.note(f"{self.tls.version} {self.tls.cipher}")
        except WorldFault as fault:
            if "file" in fault.facts:  # our own files: no handshake took place, and none failed
                raise
            raise TlsFailed(
                f"TLS with {self.host} failed: {fault.reason}",
                tls_result=fault.facts.get("tls_result", "validation-failure"),
            ) from fault
        await self._hello(patience_s)

    async def _log_in(self, credentials: Credentials, patience_s: float) -> None:
        offered = self.engine.offers.auth
        if self.tls is None:
            raise WorldFault(f"the connection to {self.host} is not encrypted: the password is not sent")
        mechanism = choose(self.settings.auth_mechanisms, offered, credentials, self.tls)
        if mechanism is None:
            raise WorldFault(
                f"{self.host} offers no AUTH that we may use: {' '.join(offered)[:200] or 'none'}"
            )
        exchange = exchange_for(mechanism, offered, credentials, self.tls, host=self.host)
        self.engine.authenticate(mechanism, exchange.initial)
        event = await self._next(patience_s)
        try:
            while isinstance(event, AuthChallenged):
                # A thread, because the server chooses how many hashes SCRAM costs us.
                self.engine.auth_response(await asyncio.to_thread(exchange.answer, event.challenge))
                event = await self._next(patience_s)
        except WorldFault:
            self._break_off()
            raise
        if not isinstance(event, AuthAnswered):
            raise WorldFault(event.reply.text if isinstance(event, HungUp) else "no answer to AUTH")
        if not event.reply.is_positive:
            raise WorldFault(f"{self.host} refused our login: {event.reply.text}")
        exchange.accepted()

    async def _expect(self, kind: type[_E], patience_s: float) -> _E:
        event = await self._next(patience_s)
        if isinstance(event, kind):
            return event
        if isinstance(event, HungUp):
            raise WorldFault(event.reply.text)
        raise AssertionError(f"{type(event).__name__} cannot come here")

    # -- a mail -----------------------------------------------------------------------------------

    async def _transaction(
        self,
        command: bytes,
        rcpts: Sequence[bytes],
        batch: Sequence[QueuedRecipient],
        load: Load,
        so_far: SoFar | None,
        *,
        is_first: bool,
    ) -> tuple[Outcome, ...]:
        """is_first: of this mail; after one that was taken nothing is tried again from the beginning."""
        pipelined = self.pipelining and self.engine.offers.pipelining
        self.until = self.monotonic() + TRANSACTION_LIMIT_S
        we_report = not self.engine.offers.dsn
        may_be_stale = self.mails_sent > 1 and is_first
        content_began = False
        if so_far is not None:
            self.partly = lambda: so_far(outcomes_of(batch, self.engine.answers_so_far, we_report=we_report))
        try:
            if self.wire.received:  # a reply to nothing: those that follow would count for the wrong commands
                self.engine.receive(bytes(self.wire.received))
            self.engine.begin(command, rcpts, chunked=load.binary, pipelined=pipelined)
            event = await self._next(self.settings.command_timeout_s)
            if isinstance(event, ContentWanted):
                content_began = True
                event = await self._send_content(load)
        except WorldFault as fault:
            self._break_off()
            if may_be_stale and not self.engine.mail_was_answered:
                raise StaleConnection(fault.reason) from fault
            self.broke_in_envelope = pipelined and is_first and not content_began
            return outcomes_of(
                batch,
                self.engine.answers_so_far,
                unknown=f"4.4.2 {fault.reason}",
                is_glitch=not content_began,
            )
        except asyncio.CancelledError:
            # The worker stops. Who has the mail already (LMTP answers one by one) must not get it again.
            outcomes = outcomes_of(batch, self.engine.answers_so_far, unknown=_STOPPED)
            if is_first and not any(outcome.fate is Fate.DELIVERED for outcome in outcomes):
                raise
            self._break_off()
            return outcomes
        if not isinstance(event, TransactionOver):
            raise AssertionError(f"{type(event).__name__} cannot come here")
        if self.engine.closed and may_be_stale and not self.engine.mail_was_answered:
            raise StaleConnection("421 before the mail was looked at")
        outcomes = outcomes_of(batch, event.answers, we_report=we_report)
        return self._but_for_tls(outcomes) if self.without_tls_because else outcomes

    def _but_for_tls(self, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
        """Whoever wants TLS says no to the clear, not to the mail: the handshake may succeed the next time."""
        return tuple(
            replace(
                o,
                fate=Fate.DEFERRED,
                reply=safe_text(f"450 4.7.5 {self.without_tls_because}; in the clear it says: {o.reply}"),
            )
            if o.fate is Fate.FAILED and _WANTS_TLS.match(o.reply)
            else o
            for o in outcomes
        )

    async def _send_content(self, load: Load) -> ClientEvent:
        if load.binary:
            return await self._send_chunks(load)
        whole = load.whole_for_data()
        if whole is not None:
            self.wire.write(whole)
        else:
            async for piece in load.pieces_for_data():
                if self.wire.received[:1] == b"2":  # nobody can have taken what is not there yet
                    raise broken("it agrees to the mail before its end")
                self.wire.write(piece)
                await self.wire.drain(timeout_s=self._patience(self.settings.command_timeout_s))
        self.engine.content_sent()
        self.until = math.inf  # breaking off now would send the mail twice: RFC 5321 §4.5.3.2.6
        return await self._next(self.settings.data_timeout_s)

    async def _send_chunks(self, load: Load) -> ClientEvent:
        async for piece in load.pieces_for_bdat():
            if not piece:
                continue
            self.wire.write(self.engine.chunk(piece, last=False))
            await self.wire.drain(timeout_s=self._patience(self.settings.command_timeout_s))
            event = await self._next(self.settings.data_timeout_s)
            if not isinstance(event, ChunkTaken):
                # RFC 3030 §2: after a refused chunk nothing is certain; the connection ends with it.
                self._break_off()
                return event
        self.wire.write(self.engine.chunk(b"", last=True))
        self.until = math.inf
        return await self._next(self.settings.data_timeout_s)

    async def _next(self, patience_s: float) -> ClientEvent:
        """The next event; writes what the engine has to say. Raises WorldFault.

        patience_s: with each reply as a whole, counted from its first piece: a peer that answers in drops would
        hold the lane, and the mail, for as long as it likes.
        """
        until, answered, data = math.inf, -1, b""
        try:
            while True:
                event = self.engine.next_event()
                self._send_commands()
                if event is not None:
                    return event
                if self.engine.is_partly_answered and self.partly is not None:
                    self.partly()
                wait_s = self._patience(patience_s)
                if data and self.engine.has_part_of_a_reply:
                    if answered != self.engine.replies:
                        answered, until = self.engine.replies, self.monotonic() + patience_s
                    wait_s = min(wait_s, until - self.monotonic())
                    if wait_s <= 0.0:
                        raise WorldFault(f"no whole answer within {patience_s:.0f} s")
                data = await self.wire.read(timeout_s=wait_s)
                if not data:
                    raise WorldFault(f"{self.host} closed the connection")
                if self.watch is not None:
                    self.watch.heard(data)
                self.engine.receive(data)
        except WorldFault as fault:
            self._break_off()
            raise WorldFault(f"{fault.reason} ({self.engine.place})", fault.reply, **fault.facts) from fault

    def _patience(self, patience_s: float) -> float:
        return max(0.0, min(patience_s, self.until - self.monotonic()))

    def _send_commands(self) -> None:
        if out := self.engine.to_send():
            if self.watch is not None:
                self.watch.commanded(out)
            self.wire.write(out)

    def _break_off(self) -> None:
        self.engine.closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        self.wire.close()
        if self.watch is not None:
            self.watch.closed(self.mails_sent)


def _demand(link: LinkTls) -> str:
    return f"{link.mode.value} by its {link.policy} policy" if link.policy else link.mode.value


def _agreed(reply: PeerReply, to: str) -> None:
    if not reply.is_positive:
        raise WorldFault(f"{reply.text} (in answer to {to})")
