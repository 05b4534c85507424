"""Time and chance as the operating system gives them."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import MutableSequence
from typing import Any


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time)
    """Seconds since the epoch, UTC."""
    monotonic = staticmethod(time.monotonic)
    """Seconds from an arbitrary start; never goes back."""


class SystemRandomness:
    """Chance that nobody can guess."""

    def __init__(self) -> None:
        self._chance = secrets.SystemRandom()

    def uniform(self) -> float:
        """0.0 <= x < 1.0."""
        return self._chance.random()

    def token_hex(self, size_bytes: int) -> str:
        """2 * size_bytes lower-case hex digits."""
        return os.urandom(size_bytes).hex()

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """In place, every order equally likely."""
        self._chance.shuffle(items)
