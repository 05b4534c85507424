"""What all workers know together and keep over restarts: small values and decaying counters, by space and key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gatepost.model.fading import Fading

KEY_LIMIT_CHARACTERS: Final = 1024
"""A longer key is known by its SHA-256."""
VALUE_LIMIT_BYTES: Final = 64 << 10
AMOUNTS_LIMIT: Final = 32
SPACE_ENTRIES: Final = 100_000
"""The bound of a space that has none of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedItem:
    """One entry of a space: a value, or counts as they were at `counted_at`."""

    key: str
    expires_at: float
    value: bytes = b""
    counts: tuple[float, ...] = ()
    counted_at: float = 0.0


Told = Callable[[str, SharedItem | None], None]
"""Key, and what is kept under it now; None: nothing."""


class SharedState(Protocol):
    """Every method answers from memory at once: what this process did is seen at once, what others did within
    a second; it is on disk within two, and there after a restart. Nothing raises for what the disk does.

    Times are seconds since the epoch. A space has a bound; beyond it what expires first is forgotten.
    A key has a value or counts: whichever was written last.
    """

    def get(self, space: str, key: str) -> bytes | None:
        """The value; None when there is none, or when it has expired."""

    def put(self, space: str, key: str, value: bytes, *, expires_at: float) -> None:
        """Of two workers that put at the same time, one wins. Raises ValueError above VALUE_LIMIT_BYTES."""

    def remove(self, space: str, key: str) -> None:
        """Value or counts; nothing when there are none."""

    def add(
        self,
        space: str,
        key: str,
        amounts: tuple[float, ...],
        *,
        fading: Fading,
        now: float,
        expires_at: float,
    ) -> None:
        """Count: what all workers add is summed, and fades.

        What several add within a second to a bucket that drains may drain later than it came, never earlier.

        The entry expires at the latest expires_at it was given. Counts of another length begin anew.
        Raises ValueError for no amounts, more than AMOUNTS_LIMIT, or a half-life that is not above 0.
        """

    def counts(self, space: str, key: str, *, fading: Fading, now: float) -> tuple[float, ...] | None:
        """What is left of everything counted; None when nothing was, or when it has expired."""

    def watch(self, space: str, told: Told) -> None:
        """Be told everything in a space, then every change, whoever made it: for an index of one's own.

        told: is called in whichever thread learns of it, one call at a time; it is quick and asks nothing here.
        """

    def items(self, space: str) -> Sequence[SharedItem]:
        """Everything in a space that has not expired, in no order: for people, not for each mail."""
