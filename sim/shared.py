"""What workers share: the real store over its real file, which outlives deaths; only the thread is another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gatepost.adapters.address_lists import SPACE_LIMITS
from gatepost.adapters.shared_store import EXCHANGE_S, SharedStore
from gatepost.ports.log import Log
from sim.loop import SimLoop

LOST_WITH_A_DEATH_S: Final = 2 * EXCHANGE_S
"""What is younger may not have reached the file."""


class SimShared(SharedStore):
    """Exchanges with the file a quarter of a second after there is something to write."""

    def __init__(self, path: Path, *, now: Callable[[], float], log: Log, loop: SimLoop) -> None:
        self._sim_loop = loop
        self._is_due = False
        super().__init__(path, now=now, log=log, limits=SPACE_LIMITS)

    def begin_thread(self) -> None:
        """There is none."""

    def close(self) -> None:
        """A clean stop writes what waits."""
        self.exchange()
        self.let_go()

    def _queue(self, place: Any, write: Any) -> None:
        super()._queue(place, write)
        if not self._is_due:
            self._is_due = True
            self._sim_loop.call_later(EXCHANGE_S, self._turn)

    def _turn(self) -> None:
        self._is_due = False
        self.exchange()
