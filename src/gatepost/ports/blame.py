"""Which plug-in a worker is in, written where the death of the worker leaves it readable."""

from __future__ import annotations

from typing import Protocol


class Blame(Protocol):
    """One name at a time: a worker does one thing at a time. Never blocks on the disk."""

    def enter(self, plug_in: str) -> None:
        """It is about to be called."""

    def leave(self) -> None:
        """It came back."""
