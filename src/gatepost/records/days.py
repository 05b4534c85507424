"""What is counted of one day for reports to other domains, by several workers; as octets, for a restart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import msgspec

FILE_LIMIT_BYTES: Final = 256 << 20


class Day(Protocol):
    """One day, "2026-11-27" in UTC: what was counted, by domain. A msgspec.Struct with defaults."""

    day: str
    domains: dict[str, Any]

    def merge(self, other: Self) -> None:
        """Another worker's counts of the same day."""


D = TypeVar("D", bound=Day)


class DayCounts(Generic[D]):
    """One worker's. domains_limit: most domains of one day; others are not counted."""

    def __init__(self, kind: type[D], domains_limit: int) -> None:
        self.kind = kind
        self._limit = domains_limit
        self.today = kind()
        self.has_news = False
        """Something was counted since the file was written."""

    def turn(self, day: str) -> D | None:
        """A new day may have begun; the one that ended, when something was counted."""
        if self.today.day == day:
            return None
        ended, self.today = self.today, self.kind()
        self.today.day = day
        return ended if ended.day and ended.domains else None

    def admits(self, domain: str) -> bool:
        """Whether this domain is counted; it will be, when it is."""
        if domain not in self.today.domains and len(self.today.domains) >= self._limit:
            return False
        self.has_news = True
        return True


def stored(day: Day) -> bytes:
    """For the file."""
    return msgspec.json.encode(day)


def restored(data: bytes, kind: type[D]) -> D:
    """Raises ValueError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def merged(days: Iterable[D]) -> D | None:
    """Several workers' counts of one day together; None when there are none."""
    together: D | None = None
    for one in days:
        if together is None:
            together = one
        else:
            together.merge(one)
    return together
