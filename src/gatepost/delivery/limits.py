"""How much one next hop is sent at once and in a minute, and how all of them share the connections of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatepost.config.delivery_settings import Destination
from gatepost.model.domain_table import DomainTable
from gatepost.ports.neighbours import Neighbours
from gatepost.routing.next_hop import NextHop

_NOTHING_SAID = Destination()


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


@dataclass(slots=True)
class Shares:
    """The lanes of all next hops together, and who waits for one, the longest waiting first."""

    limit: int
    taken: int = 0
    _waiting: dict[str, None] = field(default_factory=dict)

    def take(self, key: str) -> bool:
        """One more lane for this next hop; False: it is remembered, and comes when another lane ends."""
        if self.taken >= self.limit:
            self._waiting.setdefault(key)
            return False
        self.taken += 1
        self._waiting.pop(key, None)
        return True

    def give_back(self) -> None:
        """A lane has ended."""
        self.taken -= 1

    def turn(self) -> str | None:
        """The key of the next hop whose turn it is, which waits no more; None when nobody waits or no lane is free."""
        if self.taken >= self.limit:
            return None
        key = next(iter(self._waiting), None)
        if key is not None:
            del self._waiting[key]
        return key

    @property
    def someone_waits(self) -> bool:
        """A lane should end after its mail, so that another next hop has its turn."""
        return bool(self._waiting)
