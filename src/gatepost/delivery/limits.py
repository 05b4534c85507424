"""How much one next hop is sent at once and in a minute, and how all of them share the connections of a worker."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from gatepost.config.delivery_settings import Destination
from gatepost.delivery.outcome import Fate, Outcome
from gatepost.model.domain_table import DomainTable
from gatepost.ports.neighbours import Neighbours
from gatepost.routing.next_hop import NextHop

_NOTHING_SAID = Destination()
_DEFERRED: Final = Fate.DEFERRED
QUICK_S: Final = 30.0
"""A conversation that takes no longer is quick; the protocol allows a next hop to draw one out for an hour."""
QUICK_LIMIT: Final = 10_000
"""Domains that are remembered to be quick."""


@dataclass(slots=True)
class Pace:
    """Evenly spaced starts: at most so many messages a minute, without bursts. per_minute: 0: no limit."""

    per_minute: int = 0
    _next_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until one more message may start; 0.0: it may now. now_s: monotonic."""
        return max(0.0, self._next_s - now_s) if self.per_minute else 0.0

    def started(self, now_s: float, sharers: int = 1) -> None:
        """A message goes out. sharers: so many workers keep the pace together."""
        if self.per_minute:
            self._next_s = max(self._next_s, now_s) + 60.0 * sharers / self.per_minute


class Sharers:
    """How many workers serve a next hop at this moment: what it may have is divided by them (decision 0401)."""

    __slots__ = ("_neighbours",)

    def __init__(self, neighbours: Neighbours | None = None) -> None:
        """neighbours: None: there is no other worker."""
        self._neighbours = neighbours

    def joined(self, next_hop: str) -> None:
        """This worker opens its first lane to it."""
        if self._neighbours is not None:
            self._neighbours.came(_cell(next_hop))

    def left(self, next_hop: str) -> None:
        """Its last lane has ended."""
        if self._neighbours is not None:
            self._neighbours.gone(_cell(next_hop))

    def count(self, next_hop: str, *, joined: bool) -> int:
        """This worker and the others that have lanes to it. joined: this one has, too."""
        if self._neighbours is None:
            return 1
        there = self._neighbours.sessions(_cell(next_hop)) + (0 if joined else 1)
        return max(1, min(there, self._neighbours.workers))


def _cell(next_hop: str) -> int:
    return hash(("next-hop", next_hop))


@dataclass(frozen=True, slots=True)
class HopLimits:
    """connections: most lanes.  per_minute: most messages; 0: no limit."""

    connections: int
    per_minute: int = 0


class Limits:
    """Answers what a next hop may have: what [destinations] says of its domain, else its send connector."""

    def __init__(self, destinations: Mapping[str, Destination]) -> None:
        """destinations: names as in Address.domain, or "*.", or "*"."""
        self._destinations = DomainTable(destinations, otherwise=_NOTHING_SAID)

    def of(self, next_hop: NextHop) -> HopLimits:
        """For a next hop that can be reached. Smart hosts have no domain: the connector alone counts."""
        connector = next_hop.settings
        said = self._destinations.entry_for(next_hop.domain) if next_hop.domain else _NOTHING_SAID
        return HopLimits(
            said.connections or connector.connections,
            said.messages_per_minute or connector.messages_per_minute,
        )


class Rank(IntEnum):
    """How far a next hop is known; strangers choose the domains we send to, and the servers behind them."""

    STRANGE = 0
    """A domain of which nobody knows whether its servers answer soon: at a start every one."""
    QUICK = 1
    """A domain whose last conversation took mail, or refused it, without delay."""
    OURS = 2
    """Named in the configuration: smart hosts, mailboxes, reports."""


class KnownHops:
    """Which next hops are ours, and which domains have shown lately that they answer soon. own: keys.

    Of those domains the ones that showed it longest ago are forgotten.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        self.ranks: OrderedDict[str, Rank] = OrderedDict.fromkeys(own, Rank.OURS)
        """By key; what is not there is strange. Read for every mail, so it is no method."""
        self.has_own = bool(self.ranks)
        self._limit = QUICK_LIMIT + len(self.ranks)

    def spoke(self, key: str, took_s: float, outcomes: Sequence[Outcome]) -> bool:
        """A conversation with a domain took place. True: it was strange and is quick now."""
        if took_s > QUICK_S:
            self.forget(key)
            return False
        if all(o.fate is _DEFERRED for o in outcomes):
            return False
        was_strange = key not in self.ranks
        self.ranks[key] = Rank.QUICK
        self.ranks.move_to_end(key)
        while len(self.ranks) > self._limit:
            oldest, rank = self.ranks.popitem(last=False)
            if rank is Rank.OURS:
                self.ranks[oldest] = rank
        return was_strange

    def forget(self, key: str) -> None:
        """Nobody answers there, or too slowly."""
        if self.ranks.get(key) is Rank.QUICK:
            del self.ranks[key]

    def learn_from(self, before: KnownHops) -> None:
        """What another configuration's scheduler has found out."""
        for key, rank in before.ranks.items():
            if rank is Rank.QUICK:
                self.ranks.setdefault(key, rank)


@dataclass(slots=True)
class Shares:
    """The lanes of all next hops together, and who waits for one, the longest waiting first.

    A domain can hold a lane for an hour, and whoever gets us to write to many of his could hold them all: domains
    that nobody knows to be quick have three quarters of them at most, and all domains together seven eighths, where
    there are next hops of our own besides (decision 0395).
    """

    limit: int
    has_own: bool = False
    """There are next hops that are no domains of strangers."""
    taken: int = 0
    waiting: int = 0
    """Next hops that wait for a lane."""
    _taken: list[int] = field(default_factory=lambda: [0] * len(Rank))
    _waiting: tuple[dict[str, int], ...] = field(default_factory=lambda: tuple({} for _ in Rank))
    """By rank: the key, and its number in the order of their coming."""
    _number: int = 0

    def take(self, key: str, rank: Rank = Rank.OURS) -> bool:
        """One more lane for this next hop; False: it is remembered, and comes when another lane ends."""
        waits = self._waiting[rank]
        if not self._is_free(rank):
            if key not in waits:
                self._number += 1
                waits[key] = self._number
                self.waiting += 1
            return False
        self.taken += 1
        self._taken[rank] += 1
        if waits.pop(key, None) is not None:
            self.waiting -= 1
        return True

    def give_back(self, rank: Rank = Rank.OURS) -> None:
        """A lane has ended. rank: with which it was taken."""
        self.taken -= 1
        self._taken[rank] -= 1

    def turn(self) -> str | None:
        """The key of the next hop whose turn it is, which waits no more; None when nobody may have a lane who waits."""
        fronts = [
            (next(iter(waits.values())), rank)
            for rank, waits in zip(Rank, self._waiting, strict=True)
            if waits and self._is_free(rank)
        ]
        if not fronts:
            return None
        waits = self._waiting[min(fronts)[1]]
        key = next(iter(waits))
        del waits[key]
        self.waiting -= 1
        return key

    def someone_waits(self, rank: Rank = Rank.OURS) -> bool:
        """A lane of this rank should end after its mail, so that another next hop has its turn."""
        if not self.waiting:
            return False
        return any(waits and self._is_free(r, but=rank) for r, waits in zip(Rank, self._waiting, strict=True))

    def _is_free(self, rank: Rank, *, but: Rank | None = None) -> bool:
        """Whether one of this rank may have a lane. but: as if a lane of that rank had ended."""
        strange, quick, own = (n - (r is but) for r, n in zip(Rank, self._taken, strict=True))
        if strange + quick + own >= self.limit:
            return False
        if rank is Rank.OURS:
            return True
        if self.has_own and strange + quick >= self.limit - self.limit // 8:
            return False
        return rank is Rank.QUICK or strange < self.limit - self.limit // 4
