"""Maildirs on the local file system, off the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from gatepost.adapters.bodies import make_directory, sync_directory
from gatepost.model.fault import WorldFault

_BOXES_LIMIT: Final = 10_000


class LocalMaildirs:
    """Keeps the promise of ports.maildir.Maildirs."""

    def __init__(self) -> None:
        self._durable_boxes: set[Path] = set()
        """Whose directories were made, or found, and their names synced."""

    async def deliver(self, directory: str, name: str, chunks: AsyncIterator[bytes]) -> None:
        """tmp, sync, rename, sync. Raises WorldFault; what was begun in tmp is removed then."""
        box = Path(directory)
        path = box / "tmp" / name
        try:
            file = await asyncio.to_thread(self._create, box, path)
            try:
                with file:
                    async for chunk in chunks:
                        await asyncio.to_thread(file.write, chunk)
                    await asyncio.to_thread(_sync, file)
                await asyncio.to_thread(_publish, path, box / "new")
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise WorldFault(
                f"{directory}: {error.strerror}", directory=directory, why=error.strerror
            ) from error

    def _create(self, box: Path, path: Path) -> IO[bytes]:
        if box not in self._durable_boxes or not (box / "tmp").is_dir():
            for part in ("tmp", "new", "cur"):
                make_directory(box / part)
            if (
                len(self._durable_boxes) >= _BOXES_LIMIT
            ):  # whoever writes to a domain without a list makes boxes
                self._durable_boxes.clear()
            self._durable_boxes.add(box)
        path.unlink(missing_ok=True)  # begun before a crash, never finished
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        return os.fdopen(descriptor, "wb")


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(path: Path, new: Path) -> None:
    """After this returns the mail is in `new` whatever happens to the machine; when it raises it is not there."""
    final = path.rename(new / path.name)
    try:
        sync_directory(new)
    except OSError:
        final.unlink(missing_ok=True)
        raise
