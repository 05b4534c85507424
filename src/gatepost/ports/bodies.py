"""Reading bodies that live in files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from gatepost.model.content import SpooledBody


class BodyFiles(Protocol):
    """Spooled bodies, read piece by piece without stopping the event loop."""

    def chunks(self, path: str) -> AsyncIterator[bytes]:
        """The file's octets in pieces of at most 256 KiB. Raises WorldFault when it cannot be read."""


class SpooledBodies(Protocol):
    """Bodies of mails that are being judged: on disk, and in no committed row yet."""

    def pieces(self, body: SpooledBody) -> AsyncIterator[bytes]:
        """Its octets in pieces of at most 256 KiB. Raises WorldFault when it cannot be read or is damaged."""
