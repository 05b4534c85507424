"""A flood of the same event is a few lines and then a number (threats G09, S04)."""

from __future__ import annotations

import asyncio
from typing import Final

from gatepost.ports.log import Log

LINES: Final = 60
WINDOW_S: Final = 60.0


class LogBrake:
    """Keeps the promise of ports.log.Log: of one event and limit, LINES lines a minute and a line with the rest."""

    def __init__(self, log: Log, *, lines: int = LINES, window_s: float = WINDOW_S) -> None:
        self._log = log
        self._lines = lines
        self._window_s = window_s
        self._written: dict[tuple[str, object, object], int] = {}
        """How many there were in the window, by event, connector and limit: all words of ours, so they are few."""
        self._timer: asyncio.TimerHandle | None = None

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """Write it, or count it."""
        key = (event, fields.get("connector"), fields.get("limit"))
        count = self._written.get(key, 0) + 1
        self._written[key] = count
        if count <= self._lines:
            self._log.write(level, event, **fields)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._window_s, self.tell)

    def tell(self) -> None:
        """The window is over: say how many lines were not written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        written, self._written = self._written, {}
        for (event, connector, limit), count in written.items():
            if count > self._lines:
                about = {"connector": connector, "limit": limit, "count": count - self._lines}
                self._log.write(
                    "warning",
                    "more-of-the-same",
                    of=event,
                    **{k: v for k, v in about.items() if v is not None},
                )
