"""Delayed replies hold a session; how many may be held at once is bounded (threats G13)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from gatepost.intake.limit_hit import LimitHit
from gatepost.model.reply import Reply

_FULL: Final = Reply(421, "4.7.0", "Too many delayed connections, closing transmission channel")


class Tarpit:
    """The delayed replies of one connector. places: most at once."""

    def __init__(self, places: int) -> None:
        self._places = places
        self.held = 0
        self._of_network: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        """The next one is not held."""
        return self.held >= self._places

    @property
    def hit(self) -> LimitHit:
        """What a client hears that finds no place."""
        return LimitHit("tarpits", self._places, self.held + 1, _FULL)

    async def hold(self, delay_s: float, network: str = "") -> bool:
        """Wait. False when there is no place, and the client should go: then nothing was waited for.

        network: the client's, where it is known: whoever holds none of the places is not sent away because others
        hold them all; it is answered without waiting.
        """
        if self.is_full:
            return bool(self._places and network) and network not in self._of_network
        self.held += 1
        self._of_network[network] += 1
        try:
            await asyncio.sleep(delay_s)
        finally:
            self.held -= 1
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]
        return True
