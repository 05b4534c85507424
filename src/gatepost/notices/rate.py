"""How many notices go to one domain or address in an hour: a forged sender is not flooded by us (threats L11)."""

from __future__ import annotations

from typing import Final

NOTICES_AN_HOUR: Final = 1000
WINDOW_S: Final = 3600.0
TARGETS_LIMIT: Final = 10_000


class NoticeRate:
    """Counts notices by target domain or address in windows of an hour. One for each worker.

    The targets counted longest ago are forgotten when there are more than targets_limit:
    memory has a limit, and an attacker gains no more than another window.
    """

    def __init__(self, *, limit: int = NOTICES_AN_HOUR, targets_limit: int = TARGETS_LIMIT) -> None:
        self._limit = limit
        self._targets_limit = targets_limit
        self._windows: dict[str, tuple[float, int]] = {}

    def admits(self, target: str, now: float) -> bool:
        """Whether one more notice may go to the domain or address; it is counted when it may."""
        began_at, count = self._windows.pop(target, (now, 0))
        if not 0.0 <= now - began_at < WINDOW_S:
            began_at, count = now, 0
        admitted = count < self._limit
        self._windows[target] = (began_at, count + 1 if admitted else count)
        if len(self._windows) > self._targets_limit:
            del self._windows[next(iter(self._windows))]
        return admitted
