"""An alarm when the wall clock jumped and is not believed, and a line when it is again (threats O17)."""

from __future__ import annotations

from gatepost.ports.log import Counters, Log
from gatepost.queue.schedule import QueueClock


class ClockWatch:
    """Looks at the queue's clock; says what changed since it last looked."""

    def __init__(self, clock: QueueClock, *, log: Log, counters: Counters) -> None:
        self._clock = clock
        self._log = log
        self._counters = counters
        self._jumped = False

    async def look(self) -> None:
        """Once a second."""
        jump_s = self._clock.jump_s
        if bool(jump_s) == self._jumped:
            return
        self._jumped = bool(jump_s)
        self._counters.set("clock_jumped", float(self._jumped))
        if self._jumped:
            what = "nothing expires by it; `gatepost clock confirm` when the clock is right"
            self._log.write("error", "clock-jumped", by_s=round(jump_s), what=what)
        else:
            self._log.write("info", "clock-believed")
