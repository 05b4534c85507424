"""Where mail is laid down when the next hop is a directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class Maildirs(Protocol):
    """Maildirs on a local file system."""

    async def deliver(self, directory: str, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Write a file into tmp, sync it, rename it to new, sync the directory.

        directory: the absolute path of a maildir, made when missing.  name: unique, safe for
        files.  Raises WorldFault; nothing is in new then.
        """
