"""Where records and counters go besides the store."""

from __future__ import annotations

from typing import Protocol


class Log(Protocol):
    """One event, one line of JSON. Never blocks, never raises; drops are counted."""

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """level: debug, info, warning, error. Values are cut at 1 KiB and escaped by the writer (S01-S03)."""


class Counters(Protocol):
    """Numbers that only grow, and gauges. Labels come from small closed sets of ours (S05)."""

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Grow a counter, e.g. add("mails_accepted", connector="internet")."""

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge."""
