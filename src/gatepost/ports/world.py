"""Time and chance: the two things a test must be able to hold still."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any, Protocol


class Clock(Protocol):
    """Wall time for records and retries, monotonic time for waits."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""


class Randomness(Protocol):
    """Chance, from the operating system or from a seed."""

    def uniform(self) -> float:
        """0.0 <= x < 1.0."""

    def token_hex(self, size_bytes: int) -> str:
        """2 * size_bytes lower-case hex digits nobody can guess."""

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """In place, every order equally likely."""
