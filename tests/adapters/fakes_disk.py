"""A disk that fails when told to, and remembers what would survive a power cut: a file system for SQLite."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import apsw

SECTOR_BYTES = 512
Pending = tuple[int, bytes | None]
"""Offset and data written there; None: cut off at the offset."""


class FakeDisk:
    """Register it under a name, and open databases with that vfs.

    fail_at: the number of the write or sync call (from 1) that fails with `error`.
    fail_next: "write" or "sync": the next such call fails.
    durable: what is on the platter, by file name; `pending`: what was written since the last sync.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.fail_at: int | None = None
        self.keeps_failing = False
        self.fail_next = ""
        self.error: Callable[[], Exception] = apsw.IOError
        self.durable: dict[str, bytearray] = {}
        self.pending: dict[str, list[Pending]] = {}
        self.events: list[tuple[str, str]] = []
        self._vfs = _FaultyFiles(name, self)

    def unregister(self) -> None:
        self._vfs.unregister()

    def call(self, what: str, name: str) -> None:
        """Counts, notes, and raises when it is this call's turn."""
        self.calls += 1
        due = self.fail_at is not None and (
            self.calls == self.fail_at or (self.keeps_failing and self.calls >= self.fail_at)
        )
        if what == self.fail_next:
            self.fail_next, due = "", True
        if due:
            self.events.append((f"failed {what}", name))
            raise self.error()
        self.events.append((what, name))

    def is_dirty(self, name: str) -> bool:
        """Something was written to this file that no sync has covered."""
        return bool(self.pending.get(name))

    def power_cut(self, directory: Path, chance: random.Random | None) -> None:
        """What is found after the power comes back, as files in `directory`.

        chance: decides for each sector that was not synced whether it was written; None: none was.
        """
        directory.mkdir()
        for name, platter in self.durable.items():
            image = bytearray(platter)
            for change in self.pending.get(name, ()):
                if chance is not None:
                    _tear(image, change, chance)
            (directory / name).write_bytes(image)


def _tear(image: bytearray, change: Pending, chance: random.Random) -> None:
    offset, data = change
    if data is None:
        if chance.random() < 0.5:
            del image[offset:]
        return
    for at in range(0, len(data), SECTOR_BYTES):
        if chance.random() < 0.5:
            put(image, offset + at, data[at : at + SECTOR_BYTES])


def put(image: bytearray, offset: int, data: bytes) -> None:
    """Write into an image, which grows with zeros where needed."""
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


class _FaultyFiles(apsw.VFS):
    def __init__(self, name: str, disk: FakeDisk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return _FaultyFile(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name and form
        super().xDelete(filename, syncdir)
        self._disk.durable.pop(Path(filename).name, None)
        self._disk.pending.pop(Path(filename).name, None)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FakeDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path).name if path else ""
        super().__init__("", name, flags)
        if path and self._name not in disk.durable:
            disk.durable[self._name] = bytearray(Path(path).read_bytes())

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.call("write", self._name)
        super().xWrite(data, offset)
        self._disk.pending.setdefault(self._name, []).append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        self._disk.pending.setdefault(self._name, []).append((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        try:
            self._disk.call("sync", self._name)
        except Exception:
            # What Linux does: the pages count as clean now, and no later sync writes them.
            self._disk.pending.pop(self._name, None)
            raise
        super().xSync(flags)
        image = self._disk.durable.setdefault(self._name, bytearray())
        for offset, data in self._disk.pending.pop(self._name, ()):
            if data is None:
                del image[offset:]
            else:
                put(image, offset, data)
