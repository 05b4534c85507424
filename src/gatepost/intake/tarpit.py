"""Delayed replies hold a session; how many may be held at once is bounded (threats G13)."""

from __future__ import annotations

import asyncio


class Tarpit:
    """The delayed replies of one connector. places: most at once."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.held = 0

    @property
    def is_full(self) -> bool:
        """The next one is not held."""
        return self.held >= self._places

    async def hold(self, delay_s: float) -> bool:
        """Wait. False when there is no place: then nothing was waited for, and the client should go."""
        if self.is_full:
            return False
        self.held += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self.held -= 1
        return True
