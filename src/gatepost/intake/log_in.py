"""AUTH of one session: the exchange, what has to be checked for it, and what a failure costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from gatepost.intake.account_rates import AccountRates
from gatepost.intake.auth_exchange import (
    CREDENTIALS_INVALID,
    Challenge,
    Credentials,
    Exchange,
    GssShown,
    KeysWanted,
    NtlmShown,
    Proven,
    Step,
    TokenShown,
    Vouched,
)
from gatepost.intake.bearer import TokenCheck
from gatepost.intake.door import Door
from gatepost.intake.failed_logins import Attempt, FailedLogins, Stopped
from gatepost.intake.guard import Guard
from gatepost.intake.integrated import Integrated
from gatepost.intake.limit_hit import LimitHit, LimitLog
from gatepost.intake.mechanisms import Circumstances, exchange_for
from gatepost.intake.sasl import BearerExchange, ScramExchange
from gatepost.model.account import folded_user
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.ports.directory import Accounts
from gatepost.ports.log import Counters, Log
from gatepost.ports.world import Randomness
from gatepost.protocol.events import Auth

NONCE_BYTES: Final = 24
_AUTHENTICATED: Final = Reply(235, "2.7.0", "Authentication successful")
_ACCOUNTS_DOWN: Final = Reply(454, "4.7.0", "Temporary authentication failure")
_TOO_MANY_FAILURES: Final = Reply(421, "4.7.0", "Too many failed logins, try again later")
_TOO_MANY_RECIPIENTS: Final = Reply(450, "4.7.1", "Too many recipients from this account, try again later")
_TOO_MANY_ERRORS: Final = Reply(
    421, "4.7.0", "Too many errors on this connection, closing transmission channel"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogInDesk:
    """What a login needs of the house: made once a worker.

    bearer: None when no tokens count. integrated: None without NTLM and GSSAPI.
    """

    accounts: Accounts
    failures: FailedLogins
    rates: AccountRates
    randomness: Randomness
    counters: Counters
    log: Log
    bearer: TokenCheck | None = None
    integrated: Integrated | None = None
    guard: Guard | None = None
    """Counts clients over sessions and workers."""


class LogIn:
    """One session's attempts to become somebody. entered: told the user's name when it is known to be good."""

    __slots__ = ("_attempt", "_desk", "_door", "_entered", "_exchange", "_failures", "_mechanism", "_session")

    def __init__(self, desk: LogInDesk, door: Door, entered: Callable[[str], None]) -> None:
        self._desk = desk
        self._door = door
        self._entered = entered
        self._exchange: Exchange | None = None
        self._attempt: Attempt | None = None
        self._session: Session | None = None
        self._failures = 0
        self._mechanism = ""

    def begin(self, event: Auth, session: Session) -> Reply | Awaitable[Reply]:
        """The answer to AUTH. Raises PeerFault (504)."""
        around = Circumstances(
            nonce=self._desk.randomness.token_hex(NONCE_BYTES),
            end_point=session.tls.server_end_point if session.tls is not None else b"",
            offered=self._door.mechanisms(session),
            hostname=self._door.hostname,
            integrated=self._desk.integrated,
            vouched_user=self._door.vouched_user(session),
        )
        self.forget()
        self._exchange = exchange_for(event.mechanism, around)
        self._session, self._mechanism = session, event.mechanism.upper()
        if self._desk.guard is not None and (hit := self._desk.guard.shut_out(session)):
            return self._closed(hit)
        return self.respond(event.initial_response)

    def respond(self, response: bytes | None) -> Reply | Awaitable[Reply]:
        """The answer to a response."""
        assert self._exchange is not None, "a response to no challenge"
        try:
            step = self._exchange.respond(response)
        except PeerFault as fault:
            return self._refused(fault)
        if isinstance(step, Challenge):
            return Reply(334, "", step.text)
        if isinstance(step, Proven):
            return self._let_in(step.user)
        return self._looked_into(step)

    def forget(self) -> None:
        """A login that was begun and is not brought to an end counts as failed, or guesses would be free."""
        self._attempt = None

    def over_rate(self, session: Session) -> Reply | None:
        """The answer to one recipient more than the account may have in an hour; None: it may (threats E12)."""
        if not session.user:
            return None
        rates = self._desk.rates
        wanted = rates.count(session.user)
        if wanted <= rates.limit:
            return None
        self._desk.counters.add("account_recipients_refused", connector=self._door.name)
        if rates.is_news(session.user):  # once an hour: the account may be in wrong hands
            self._desk.log.write(
                "error",
                "account-rate",
                user=session.user,
                session=session.session_id,
                client_ip=session.client_ip,
                limit="recipients-per-hour",
                value=rates.limit,
                actual=wanted,
            )
        return _TOO_MANY_RECIPIENTS

    async def _looked_into(self, step: Step) -> Reply:
        """What the exchange cannot know by itself."""
        try:
            if isinstance(step, GssShown):
                step = await step.look()
            if isinstance(step, Challenge):
                return Reply(334, "", step.text)
            if isinstance(step, Vouched):
                return await self._vouched(step.user)
            user = await self._user_of(step) if isinstance(step, TokenShown) else step.user
            if stopped := self._start(user):
                return self._stopped(stopped)
            if isinstance(step, KeysWanted):
                return self._ask_for_proof(step.user)
            good = await self._is_good(step, user)
        except WorldFault as fault:
            return self._unavailable(fault)
        except PeerFault as fault:
            return await self._nobody(fault)
        return self._let_in(user) if good else await self._failed(CREDENTIALS_INVALID)

    async def _user_of(self, step: TokenShown) -> str:
        """Whom the token names. Raises PeerFault when it does not count, WorldFault when that is unknown."""
        if self._desk.bearer is None:
            raise PeerFault(CREDENTIALS_INVALID, "no tokens count here")
        user = await self._desk.bearer.user_of(step.token)
        if step.user and folded_user(step.user) != folded_user(user):
            raise PeerFault(CREDENTIALS_INVALID, "a token for somebody else", user=user)  # threats E05
        return user

    async def _vouched(self, user: str) -> Reply:
        """Nothing was guessed, so nothing counts against the account. Raises WorldFault."""
        if self._desk.accounts.is_disabled(user):
            return await self._failed(CREDENTIALS_INVALID, "a certificate or ticket for a disabled account")
        return self._let_in(user)

    async def _is_good(self, step: Step, user: str) -> bool:
        if isinstance(step, Credentials):
            return await self._desk.accounts.check(user, step.password)
        if isinstance(step, NtlmShown) and not step.is_good():
            return False
        return not self._desk.accounts.is_disabled(user)

    def _ask_for_proof(self, user: str) -> Reply:
        assert isinstance(self._exchange, ScramExchange), "only SCRAM asks for keys"
        return Reply(334, "", self._exchange.know(self._desk.accounts.scram_keys(user)).text)

    def _start(self, user: str) -> Stopped | None:
        assert self._session is not None, "AUTH without a session"
        begun = self._desk.failures.begin(user, self._session.client_ip)
        if isinstance(begun, Stopped):
            return begun
        self._attempt = begun
        return None

    def _stopped(self, stopped: Stopped) -> Reply:
        limit = stopped.limit.value
        self._desk.counters.add("logins_stopped", connector=self._door.name, limit=limit)
        self._note("login-stopped", limit=limit, value=stopped.value, actual=stopped.actual)
        return _TOO_MANY_FAILURES

    def _unavailable(self, fault: WorldFault) -> Reply:
        if self._attempt is not None:
            self._desk.failures.unknown(self._attempt)
            self._attempt = None
        self._desk.log.write("error", "accounts-unavailable", reason=fault.reason)
        return _ACCOUNTS_DOWN

    def _let_in(self, user: str) -> Reply:
        if self._attempt is not None:
            self._desk.failures.succeeded(self._attempt)
            self._attempt = None
        self._desk.counters.add("authentications", connector=self._door.name, mechanism=self._mechanism)
        self._entered(user)
        return _AUTHENTICATED

    def _refused(self, fault: PeerFault) -> Reply | Awaitable[Reply]:
        """The exchange itself says no."""
        if fault.reply.code == 535:
            return self._failed(fault.reply, fault.reason)
        return self._counted(fault.reply, fault.reason)

    async def _nobody(self, fault: PeerFault) -> Reply:
        """Nobody's account failed: the client did. With a token, it hears why before it hears 535."""
        if stopped := self._start(""):
            return self._stopped(stopped)
        if not isinstance(self._exchange, BearerExchange):
            return await self._failed(fault.reply, fault.reason)
        self._note("token-refused", reason=fault.reason)
        return Reply(334, "", self._exchange.refuse().text)

    async def _failed(self, reply: Reply, reason: str = "") -> Reply:
        """A guess that was wrong: counted at once, answered late."""
        delay_s = self._door.settings.auth_tarpit_s
        is_known = self._attempt is not None and self._attempt.is_known
        if self._attempt is not None:
            delay_s = self._desk.failures.failed(self._attempt, delay_s)
            self._attempt = None
            if self._desk.failures.attack_began:
                self._desk.log.write("error", "login-attack", connector=self._door.name)
        held = not delay_s or await self._door.tarpit.hold(delay_s)
        counted = self._counted(reply, reason)
        guard, session = self._desk.guard, self._session
        hit = (
            guard.failed_login(session)
            if guard is not None and session is not None and not is_known
            else None
        )
        if hit is not None:
            return self._closed(hit)
        return counted if held or counted.hangs_up else self._closed(self._door.tarpit.hit)

    def _counted(self, reply: Reply, reason: str) -> Reply:
        self._failures += 1
        self._desk.counters.add("authentication_failures", connector=self._door.name)
        self._note("authentication-failed", mechanism=self._mechanism, reason=reason)
        most = self._door.settings.limits.auth_failures
        if self._failures < most:
            return reply
        return self._closed(LimitHit("auth-failures", most, self._failures, _TOO_MANY_ERRORS))

    def _closed(self, hit: LimitHit) -> Reply:
        assert self._session is not None, "AUTH without a session"
        LimitLog(self._desk.counters, self._desk.log).session_closed(hit, self._session)
        return hit.reply

    def _note(self, event: str, **fields: object) -> None:
        """Neither names nor secrets: a password is often typed where the name belongs (threats E15)."""
        session = self._session
        assert session is not None, "AUTH without a session"
        self._desk.log.write(
            "warning", event, session=session.session_id, client_ip=session.client_ip, **fields
        )
