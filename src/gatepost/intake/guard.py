"""What guards the doors over sessions and workers: it counts what clients do, slows guessers down, and blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gatepost.config.guard_settings import Harvest, SenderReputation
from gatepost.config.networks import is_internal_ip
from gatepost.facts.sender_reputation import ReputationBook
from gatepost.intake.limit_hit import LimitHit, LimitLog
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.model.conduct import Evidence
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.origin import origin_of
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.model.verdict import BlockClient, Disposition, Effect, LimitReached, Remember, Tally
from gatepost.ports.lists import COMMENT_LIMIT_CHARACTERS, AddressLists
from gatepost.ports.log import Counters, Log
from gatepost.ports.shared import SharedState
from gatepost.ports.world import Clock
from gatepost.protocol.recipient_entry import RecipientEntries

SPACE: Final = "harvest"
HALF_LIVES_KEPT: Final = 7
AUTHOR: Final = "harvest"
_BLOCKED: Final = Reply(421, "4.7.0", "Too many guesses from your address, closing transmission channel")
_DOUBLINGS_LIMIT: Final = 10
_NO_RANGES: Final = IpRanges(())


class Guard:
    """One for each worker and configuration; what it counts, all workers share.

    lists: None: nobody is blocked, only slowed down. reputation: None: nothing is kept of clients' conduct.
    relays: our own: what they bring shows nothing of them.
    """

    def __init__(
        self,
        shared: SharedState,
        lists: AddressLists | None,
        *,
        harvest: Harvest,
        clock: Clock,
        counters: Counters,
        log: Log,
        reputation: SenderReputation | None = None,
        accepted: AcceptedDomains | None = None,
        own_names: frozenset[str] = frozenset(),
        relays: IpRanges = _NO_RANGES,
    ) -> None:
        self._shared = shared
        self._lists = lists
        self._harvest = harvest
        self._spared = IpRanges(harvest.exempt_networks)
        self._relays = relays
        self._clock = clock
        self._counters = counters
        self._log = log
        self._accepted = accepted or AcceptedDomains({})
        self._own_names = own_names
        self._book = ReputationBook(shared, reputation) if reputation is not None else None
        self._uncounted = IpRanges(reputation.exempt_networks if reputation is not None else ())
        self._traps = RecipientEntries(reputation.trap_recipients if reputation is not None else ())
        self.spam_scl = reputation.spam_scl if reputation is not None else 10

    def is_trap(self, address: Address) -> bool:
        """Whether a recipient is in trap-recipients."""
        return address in self._traps

    def is_own_name(self, helo: str) -> bool:
        """A name or a domain of ours, which only we may greet with."""
        name = helo.lower().rstrip(".")
        return bool(name) and (name in self._own_names or self._accepted.holds_own(name))

    def keep(self, session: Session, evidence: Evidence) -> None:
        """The end of a session: what it showed."""
        if session.client_ip in self._relays:
            return
        address, now = session.origin_ip, self._clock.now()
        if self._harvest.enabled and evidence.recipients and self._count(address, now)[0]:
            self._add(
                address, (0.0, evidence.recipients, 0.0), now
            )  # a guesser: its good recipients count, too
        if self._book is not None and address not in self._uncounted:
            self._book.add(address, evidence, session.helo, now)

    def keep_of_origin(self, session: Session, evidence: Evidence) -> None:
        """One mail that a relay of ours brought: what it showed of the host that gave it to the relay.

        session: as the mail is judged. The relay itself is told nothing, and nothing is held against it: too many
        guesses put the origin on the block list, where its next mail finds it.
        """
        address, now = session.origin_ip, self._clock.now()
        if self._book is not None and address not in self._uncounted:
            self._book.add(address, evidence, session.helo, now)
        if evidence.unknown and self._harvest.enabled and address not in self._spared:
            self._add(address, (evidence.unknown, evidence.recipients, 0.0), now)
            self._stop_guesser(session, 0, now)

    def unknown_recipient(self, session: Session, taken: int) -> float | LimitHit:
        """One more recipient that does not exist: how long its refusal waits, or why the session ends.

        taken: recipients of this session that exist.
        """
        settings, address = self._harvest, session.origin_ip
        if not settings.enabled or address in self._spared or session.client_ip in self._relays:
            return 0.0
        now = self._clock.now()
        self._add(address, (1.0, 0.0, 0.0), now)
        if (hit := self._stop_guesser(session, taken, now)) is not None:
            return hit
        guesses = self._count(origin_of(address).source, now)[0]
        if guesses < settings.slow_from or not settings.first_delay_s:
            return 0.0
        doublings = min(int(guesses) // settings.slow_from - 1, _DOUBLINGS_LIMIT)
        self._counters.add("harvest_delays", connector=session.connector)
        return float(min(settings.first_delay_s * 2**doublings, settings.longest_delay_s))

    def _stop_guesser(self, session: Session, taken: int, now: float) -> LimitHit | None:
        """Block the address or its network when they have guessed too much; what for, then."""
        settings, origin = self._harvest, origin_of(session.origin_ip)
        own, around = self._count(origin.source, now), self._count(origin.network, now)
        for limit, most, network, (unknown, known, _) in (
            ("harvest.block-at", settings.block_at, origin.source, own),
            ("harvest.network-block-at", settings.network_block_at, origin.network, around),
        ):
            is_guessing = unknown * 100 >= settings.unknown_share * (unknown + known + taken)
            if most and unknown >= most and is_guessing:
                return self._stop(session, LimitHit(limit, most, round(unknown), _BLOCKED), network)
        return None

    def shut_out(self, session: Session) -> LimitHit | None:
        """Why this client may not even try to log in: it guessed too much, and its block has not expired."""
        entry = self._lists.find("block", session.client_ip) if self._lists is not None else None
        if entry is None or entry.author != AUTHOR or entry.by_person or not self._harvest.enabled:
            return None
        return LimitHit("harvest.block-for", self._harvest.block_for_s, entry.network, _BLOCKED)

    def failed_login(self, session: Session) -> LimitHit | None:
        """One more wrong password; why the session ends."""
        settings, address = self._harvest, session.client_ip
        if not settings.enabled or not settings.logins_block_at or address in self._spared:
            return None
        now = self._clock.now()
        self._add(address, (0.0, 0.0, 1.0), now)
        source = origin_of(address).source
        failures = self._count(source, now)[2]
        if failures < settings.logins_block_at:
            return None
        hit = LimitHit("harvest.logins-block-at", settings.logins_block_at, round(failures), _BLOCKED)
        return self._stop(session, hit, source)

    def perform(self, effects: Iterable[Effect], disposition: Disposition, session: Session) -> None:
        """Those effects of an opinion that are about other sessions."""
        for effect in effects:
            if isinstance(effect, BlockClient):
                self._block(effect, session)
                if self._book is not None:
                    self._book.forget(session.origin_ip)  # it begins anew when the time is over
            elif isinstance(effect, LimitReached):
                self._tell(effect, session, disposition.reply)
            elif isinstance(effect, Remember | Tally) and (
                disposition.reply is None or disposition.decided_by == effect.agent
            ):
                self._note(effect)

    def _tell(self, effect: LimitReached, session: Session, reply: Reply | None) -> None:
        if not effect.is_rate and reply is not None:
            hit = LimitHit(effect.limit, effect.value, effect.actual, reply)
            LimitLog(self._counters, self._log).command_refused(hit, session)
            return
        self._counters.add("rate_limited", limit=effect.limit, action=effect.action)
        self._log.write(
            "warning",
            "rate-limit",
            connector=session.connector,
            session=session.session_id,
            client_ip=session.origin_ip,
            limit=effect.limit,
            value=effect.value,
            actual=effect.actual,
            key=effect.key,
            action=effect.action,
        )

    def _note(self, effect: Remember | Tally) -> None:
        if isinstance(effect, Remember):
            self._shared.put(effect.space, effect.key, effect.value, expires_at=effect.expires_at)
            return
        self._shared.add(
            effect.space,
            effect.key,
            effect.amounts,
            fading=effect.fading,
            now=self._clock.now(),
            expires_at=effect.expires_at,
        )

    def _stop(self, session: Session, hit: LimitHit, network: str) -> LimitHit:
        """Block, and begin the count anew: the next block needs as many guesses again."""
        why = f"{hit.limit} {hit.value}: {hit.actual} from {network}"
        self._block(
            BlockClient(network=network, for_s=self._harvest.block_for_s, author=AUTHOR, why=why), session
        )
        self._shared.remove(SPACE, network)
        return hit

    def _block(self, effect: BlockClient, session: Session) -> None:
        if self._lists is None or is_internal_ip(session.origin_ip):
            return  # ours: an administrator lists it by name
        self._counters.add("clients_blocked", by=effect.author)
        self._log.write(
            "warning",
            "client-blocked",
            connector=session.connector,
            session=session.session_id,
            client_ip=session.origin_ip,
            network=effect.network,
            by=effect.author,
            why=effect.why,
            for_s=effect.for_s,
        )
        self._lists.add(
            "block",
            effect.network,
            expires_at=self._clock.now() + effect.for_s,
            author=effect.author,
            comment=effect.why[:COMMENT_LIMIT_CHARACTERS],
        )

    def _add(self, address: str, amounts: tuple[float, float, float], now: float) -> None:
        origin, half_life_s = origin_of(address), self._harvest.half_life_s
        for key in (origin.source, origin.network):
            self._shared.add(
                SPACE,
                key,
                amounts,
                fading=half_life_s,
                now=now,
                expires_at=now + HALF_LIVES_KEPT * half_life_s,
            )

    def _count(self, key: str, now: float) -> tuple[float, float, float]:
        counts = self._shared.counts(SPACE, key, fading=self._harvest.half_life_s, now=now)
        return (
            (counts[0], counts[1], counts[2]) if counts is not None and len(counts) == 3 else (0.0, 0.0, 0.0)
        )
