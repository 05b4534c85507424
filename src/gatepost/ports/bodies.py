"""Reading bodies that live in files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class BodyFiles(Protocol):
    """Spooled bodies, read piece by piece without stopping the event loop."""

    def chunks(self, path: str) -> AsyncIterator[bytes]:
        """The file's octets in pieces of at most 256 KiB. Raises WorldFault when it cannot be read."""
