"""How many notices go to one domain in an hour: a forged sender's host is not flooded by us (threats L11)."""

from __future__ import annotations

from typing import Final

NOTICES_AN_HOUR: Final = 1000
WINDOW_S: Final = 3600.0
DOMAINS_LIMIT: Final = 10_000


class NoticeRate:
    """Counts notices by target domain in windows of an hour. One for each worker.

    The domains counted longest ago are forgotten when there are more than domains_limit:
    memory has a limit, and an attacker gains no more than another window.
    """

    def __init__(self, *, limit: int = NOTICES_AN_HOUR, domains_limit: int = DOMAINS_LIMIT) -> None:
        self._limit = limit
        self._domains_limit = domains_limit
        self._windows: dict[str, tuple[float, int]] = {}

    def admits(self, domain: str, now: float) -> bool:
        """Whether one more notice may go to the domain; it is counted when it may."""
        began_at, count = self._windows.pop(domain, (now, 0))
        if not 0.0 <= now - began_at < WINDOW_S:
            began_at, count = now, 0
        admitted = count < self._limit
        self._windows[domain] = (began_at, count + 1 if admitted else count)
        if len(self._windows) > self._domains_limit:
            del self._windows[next(iter(self._windows))]
        return admitted
