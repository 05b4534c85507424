"""What the workers of one gateway count together: open sessions, events of the last minute, who serves a next hop."""

from __future__ import annotations

from typing import Protocol


class Neighbours(Protocol):
    """Counts by key, over all workers. Never blocks and never fails; a count may be too high, never too low.

    key: an integer that is the same in every worker and spread as a hash is.
    """

    @property
    def workers(self) -> int:
        """How many there are."""

    def came(self, key: int) -> None:
        """A session of this worker began."""

    def gone(self, key: int) -> None:
        """One that had come is over."""

    def sessions(self, key: int) -> int:
        """Those that are open in all workers."""

    def happened(self, key: int, now: float) -> int:
        """One more event in this worker; how many that makes in all workers within a minute.

        now: monotonic seconds.
        """

    def lately(self, key: int, now: float) -> int:
        """How many happened in all workers within a minute."""
