"""Fact: what the client's addresses did lately, by what all workers counted, and the level it comes to."""

from __future__ import annotations

import zlib
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from msgspec import structs

from gatepost.config.guard_settings import SenderReputation
from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.reverse_dns import find_reverse_dns
from gatepost.model.conduct import HELO_BUCKETS, Evidence, Weighed, names_in, weigh
from gatepost.model.fault import WorldFault
from gatepost.model.known import MailView, Scope
from gatepost.model.origin import origin_of
from gatepost.model.session import Session
from gatepost.model.verdict import Stage
from gatepost.ports.shared import SharedState

AGENT: Final = "sender-reputation"
SPACE: Final = "reputation"
NAMES_SPACE: Final = "reputation-helo"
HALF_LIVES_KEPT: Final = 7
"""After so many, less than a hundredth of a count is left."""
_NOTHING: Final = Evidence()
NETWORK_DISCOUNT: Final = 2
"""So much less counts the level of its network for an address that nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reputation:
    """The level of a client that connects now. level: 0-9; -1: nobody knows enough of it."""

    name: ClassVar[str] = "sender-reputation"

    address: str
    level: int = -1
    earned: int = -1
    """The level that the evidence itself comes to, without what is taken off for an address that nobody knows."""
    judged_by: str = ""
    """What the level is that of: the address (an IPv6 /64), or its network; "" without a level."""
    weight: float = 0.0
    """Mails and unknown recipients seen of it, faded."""
    reasons: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Its names in reverse DNS that lead back; looked up only for a level that would block it."""
    names_unknown: bool = False
    """The DNS did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Everything that is known of one address or network, for people."""

    key: str
    evidence: Evidence
    helo_names: float
    weighed: Weighed


class ReputationBook:
    """The counts of all workers, and what they come to."""

    def __init__(self, shared: SharedState, settings: SenderReputation) -> None:
        self._shared = shared
        self._half_life_s = settings.half_life_s
        self._minimum = settings.minimum_mails

    def add(self, address: str, evidence: Evidence, helo: str, now: float) -> None:
        """What one session showed. helo: its name; "" when it gave none."""
        origin = origin_of(address)
        until = now + HALF_LIVES_KEPT * self._half_life_s
        for key in (origin.source, origin.network):
            self._shared.add(SPACE, key, tuple(evidence), fading=self._half_life_s, now=now, expires_at=until)
        if helo:
            marks = [0.0] * HELO_BUCKETS
            marks[zlib.crc32(helo.lower().encode("utf-8", "replace")) % HELO_BUCKETS] = 1.0
            self._shared.add(
                NAMES_SPACE,
                origin.source,
                tuple(marks),
                fading=self._half_life_s,
                now=now,
                expires_at=until,
            )

    def of(self, address: str, now: float) -> Reputation:
        """The client's own level; of a client that nobody knows, its network's less two."""
        origin = origin_of(address)
        own = self._evidence(origin.source, now)
        if own.weight >= self._minimum:
            return self._judged(address, origin.source, own, 0, now)
        around = self._evidence(origin.network, now)
        if around.weight >= self._minimum:
            return self._judged(address, origin.network, around, NETWORK_DISCOUNT, now)
        return Reputation(address=address, weight=round(own.weight, 1))

    def standing(self, key: str, now: float) -> Standing:
        """key: an address, an IPv6 /64, or a network, as origin_of() writes them."""
        return self._standing(key, self._evidence(key, now), now)

    def _evidence(self, key: str, now: float) -> Evidence:
        counts = self._shared.counts(SPACE, key, fading=self._half_life_s, now=now)
        return _NOTHING if counts is None or len(counts) != len(_NOTHING) else Evidence(*counts)

    def _standing(self, key: str, evidence: Evidence, now: float) -> Standing:
        marks = self._shared.counts(NAMES_SPACE, key, fading=self._half_life_s, now=now) or ()
        names = names_in(marks)
        weighed = weigh(evidence, names, minimum=self._minimum)
        return Standing(key=key, evidence=evidence, helo_names=names, weighed=weighed)

    def _judged(self, address: str, key: str, evidence: Evidence, discount: int, now: float) -> Reputation:
        weighed = self._standing(key, evidence, now).weighed
        assert weighed.level is not None, "there is enough evidence"
        return Reputation(
            address=address,
            level=max(0, weighed.level - discount),
            earned=weighed.level,
            judged_by=key,
            weight=round(evidence.weight, 1),
            reasons=tuple(map(str, weighed.reasons)),
        )

    def forget(self, address: str) -> None:
        """It begins anew; its network's counts stay."""
        source = origin_of(address).source
        self._shared.remove(SPACE, source)
        self._shared.remove(NAMES_SPACE, source)


def gatherer(sources: Sources) -> Gathering:
    """Known from CONNECT on, without waiting; only for a client to be blocked, the DNS is asked whose it is."""
    table = sources.tables.get(AGENT)
    settings = table if isinstance(table, SenderReputation) else SenderReputation()
    book = ReputationBook(sources.shared, settings)

    def find(mail: MailView) -> Reputation | Coroutine[Any, Any, Reputation]:
        found = book.of(mail.session.origin_ip, mail.now)
        if found.level < settings.block_at or not settings.exempt_domains:
            return found
        return named(mail, found)

    async def named(mail: MailView, found: Reputation) -> Reputation:
        session = mail.session
        if session.origin_ip != session.client_ip:
            mail = MailView(stage=mail.stage, session=_behind(session), now=mail.now)
        try:
            dns = await find_reverse_dns(mail, sources.resolver, timeout_s=sources.lookup_timeout_s)
        except WorldFault:
            return replace(found, names_unknown=True)
        return replace(found, names=dns.confirmed, names_unknown=bool(dns.unanswered))

    return Gathering(
        fact=Reputation, scope=Scope.CONNECTION, earliest=Stage.CONNECT, find=find, of_origin=True
    )


def _behind(session: Session) -> Session:
    """As if the client behind our relays had connected."""
    return structs.replace(session, client_ip=session.origin_ip, client_name=None)
