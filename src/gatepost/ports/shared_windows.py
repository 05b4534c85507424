"""How often something happened in a window of seconds that begins with the first time, over all workers."""

from __future__ import annotations

import math
from collections.abc import Callable

from gatepost.ports.shared import SharedState


class SharedWindows:
    """Counts by key in one space of the shared state, which bounds them. now: seconds since the epoch.

    A worker sees its own counts at once, those of the others within a second.
    """

    def __init__(self, shared: SharedState, space: str, window_s: float, now: Callable[[], float]) -> None:
        self._shared = shared
        self._space = space
        self._window_s = window_s
        self._now = now

    def count(self, key: str) -> int:
        """How often within the window that is open; 0 when none is."""
        counts = self._shared.counts(self._space, key, fading=math.inf, now=self._now())
        return max(0, round(counts[0])) if counts else 0

    def add(self, key: str, times: int = 1) -> int:
        """So much more; the new count."""
        now, before = self._now(), self.count(key)
        # An entry keeps the latest end it was given: only who opens a window says when it closes.
        self._add(key, times, expires_at=now if before else now + self._window_s)
        return before + times

    def take_back(self, key: str) -> None:
        """One less: it did not count."""
        if self.count(key):
            self._add(key, -1, expires_at=self._now())

    def forget(self, key: str) -> None:
        """As if it had never happened."""
        self._shared.remove(self._space, key)

    def is_news(self, key: str) -> bool:
        """Whether nobody has asked so within the window: what should be told once, whoever notices it."""
        key = f"told {key}"
        if self._shared.get(self._space, key) is not None:
            return False
        self._shared.put(self._space, key, b"1", expires_at=self._now() + self._window_s)
        return True

    def _add(self, key: str, times: int, *, expires_at: float) -> None:
        self._shared.add(
            self._space, key, (float(times),), fading=math.inf, now=self._now(), expires_at=expires_at
        )
