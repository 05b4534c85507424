"""What workers share: the real store over its real file, which outlives deaths; only the threads are others."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Any, Final

from gatepost.adapters.address_lists import SPACE_LIMITS
from gatepost.adapters.shared_store import EXCHANGE_S, SharedStore
from gatepost.ports.log import Log
from sim.loop import SimLoop

LOST_WITH_A_DEATH_S: Final = 2 * EXCHANGE_S
"""What is younger may not have reached the file."""


class SimShared(SharedStore):
    """Exchanges with the file a quarter of a second after there is something to write, or to read.

    sharing: those of all live workers; this one is added.
    """

    def __init__(
        self, path: Path, *, now: Callable[[], float], log: Log, loop: SimLoop, sharing: list[SimShared]
    ) -> None:
        self._sim_loop = loop
        self._context = copy_context()
        self._sharing = sharing
        self._is_due = False
        sharing.append(self)
        super().__init__(path, now=now, log=log, limits=SPACE_LIMITS)

    def begin_thread(self) -> None:
        """There is none."""

    def close(self) -> None:
        """A clean stop writes what waits."""
        self._turn()
        self.let_go()

    def let_go(self) -> None:
        """Of the file, and of the others."""
        if self in self._sharing:
            self._sharing.remove(self)
        super().let_go()

    def _queue(self, place: Any, write: Any) -> None:
        super()._queue(place, write)
        self._soon()

    def _soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._sim_loop.call_later(EXCHANGE_S, self._turn, context=self._context)

    def _turn(self) -> None:
        self._is_due = False
        has_news = bool(self._waiting)
        self.exchange()
        for other in self._sharing:
            if has_news and other is not self:
                other._soon()
