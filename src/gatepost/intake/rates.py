"""How often a source did something in a minute: bounded memory, and a flood of sources opens no gate (threats G14)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from gatepost.ports.neighbours import Neighbours

MINUTE_S: Final = 60.0
TABLE_ENTRIES: Final = 50_000
SHARED_ENTRIES: Final = 1024
_LOOKED_AT: Final = 8
_SALTS: Final = (0, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
"""For each thing that is counted: any numbers whose bits differ."""


class Doing(IntEnum):
    """What is counted."""

    CONNECTIONS = 0
    MESSAGES = 1
    RECIPIENTS = 2
    UNKNOWN = 3


class Counted(Protocol):
    """Who counts for one source."""

    def add(self, doing: Doing, now: float) -> int:
        """One more; how many that makes within a minute. now: monotonic seconds."""

    def so_far(self, doing: Doing, now: float) -> int:
        """How many there were within a minute."""


class Minute:
    """The counts of one source in a minute that begins with the first of them. now: monotonic seconds."""

    __slots__ = ("_began_at", "_counts")

    def __init__(self) -> None:
        self._began_at = float("-inf")  # long over: the first count begins it
        self._counts: list[int] = []

    def add(self, doing: Doing, now: float) -> int:
        """One more; how many that makes. What was refused counts, too."""
        if self.is_over(now):
            self._began_at = now
            self._counts = [0] * len(Doing)
        self._counts[doing] += 1
        return self._counts[doing]

    def so_far(self, doing: Doing, now: float) -> int:
        """How many there were."""
        return 0 if self.is_over(now) else self._counts[doing]

    def is_over(self, now: float) -> bool:
        """Nothing of it counts any more: to forget it is to lose nothing."""
        return now >= self._began_at + MINUTE_S


class TogetherMinute:
    """The counts of one source in all workers. Holds nothing: a flood of sources costs no memory (threats G14)."""

    __slots__ = ("_key", "_neighbours")

    def __init__(self, key: str, neighbours: Neighbours) -> None:
        self._key = hash(key)
        self._neighbours = neighbours

    def add(self, doing: Doing, now: float) -> int:
        """One more; how many that makes. What was refused counts, too."""
        return self._neighbours.happened(self._key ^ _SALTS[doing], now)

    def so_far(self, doing: Doing, now: float) -> int:
        """How many there were."""
        return self._neighbours.lately(self._key ^ _SALTS[doing], now)


class FairShare:
    """Who still comes in when too many come to one connector (threats G03).

    A flood from many addresses must not keep out who comes now and then: beyond the rate a source comes in
    until it has had an equal part of it, at least once, and as many again may come in that way, no more.
    """

    __slots__ = ("_beyond", "_sources")

    def __init__(self, sources: Counted, beyond: Counted) -> None:
        self._sources = sources
        self._beyond = beyond

    def lets_in(self, own: int, came: int, rate: int, now: float) -> bool:
        """One more. own: how often its source came within a minute, came: how many came in all, with this one."""
        if own == 1:
            self._sources.add(Doing.CONNECTIONS, now)
        if came <= rate:
            return True
        sources = self._sources.so_far(Doing.CONNECTIONS, now)
        if own > max(1, rate // max(1, sources)):
            return False
        return self._beyond.add(Doing.CONNECTIONS, now) <= rate


class Rates:
    """The minutes of one worker's sources. Keys are hashed with Python's random seed (threats G16).

    When the table is full of minutes that still count, new sources share a few: they may be
    limited for each other then, and nobody's count is forgotten to make room.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float],
        entries: int = TABLE_ENTRIES,
        shared: int = SHARED_ENTRIES,
    ) -> None:
        self._monotonic = monotonic
        self._entries = entries
        self._minutes: OrderedDict[str, Minute] = OrderedDict()
        self._shared = tuple(Minute() for _ in range(shared))

    def of(self, key: str) -> Minute:
        """The minute of a source."""
        minute = self._minutes.get(key)
        if minute is not None:
            self._minutes.move_to_end(key)
            return minute
        if len(self._minutes) >= self._entries and not self._make_room():
            return self._shared[hash(key) % len(self._shared)]
        minute = self._minutes[key] = Minute()
        return minute

    def __len__(self) -> int:
        return len(self._minutes)

    def _make_room(self) -> bool:
        now = self._monotonic()
        for _ in range(_LOOKED_AT):
            key, minute = next(iter(self._minutes.items()))
            if minute.is_over(now):
                del self._minutes[key]
                return True
            self._minutes.move_to_end(key)
        return False
