"""Lines on their way to a file or a pipe that may be slow: a bounded queue and the thread that pours it out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

CLOSE_PATIENCE_S: Final = 2.0


class LineThread:
    """Whoever writes never waits: lines beyond the limit, and those the disk does not take, are counted.

    pour: writes lines, called in the thread only; raises OSError or ValueError when they are lost.
    shut: called in the thread when everything is written, before it ends.
    """

    def __init__(
        self,
        name: str,
        pour: Callable[[Sequence[bytes]], None],
        *,
        lines_limit: int,
        shut: Callable[[], None] = lambda: None,
    ) -> None:
        self._pour = pour
        self._shut = shut
        self._limit = lines_limit
        self._lines: deque[bytes] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def add(self, line: bytes) -> None:
        """One line with its end. Never blocks, never raises."""
        with self._wake:
            if len(self._lines) >= self._limit:
                self.dropped += 1
                return
            self._lines.append(line)
            self._wake.notify()

    def close(self) -> None:
        """Write what waits (for CLOSE_PATIENCE_S at most), then stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout=CLOSE_PATIENCE_S)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._lines and not self._closing:
                    self._wake.wait()
                lines = tuple(self._lines)
                self._lines.clear()
                closing = self._closing
            if lines:
                self._try(lines)
            if closing and not self._lines:
                self._shut()
                return

    def _try(self, lines: Sequence[bytes]) -> None:
        try:
            self._pour(lines)
        except (OSError, ValueError):
            with self._wake:
                self.dropped += len(lines)
