"""Bodies too large for the database: files of the store's directory, synced before anything names them."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gatepost.model.content import SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply

DISK_FULL: Final = Reply(452, "4.3.1", "Insufficient system storage")
FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
READ_BYTES: Final = 256 * 1024
DAMAGED_BODIES: Final = "bodies.damaged"
"""Beside `bodies`: what nobody names after a salvage."""


def disk_fault(error: OSError, what: str) -> WorldFault:
    """What a failed call means: 452 when the disk is full, 451 otherwise."""
    reason = f"{what}: {error.strerror or error}"
    if error.errno in FULL_ERRORS:
        return WorldFault(reason, DISK_FULL, errno=error.errno)
    return WorldFault(reason, errno=error.errno)


def sync_directory(path: Path) -> None:
    """Make names in this directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make what is in a file durable, whoever wrote it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make a directory with its parents, private, and their names durable. Raises OSError.

    From the top, each synced before the next: so of those that are there already only the deepest
    can be one whose maker died before its sync, and it is synced, too, where we may.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    deepest = missing[-1].parent if missing else path
    with contextlib.suppress(PermissionError):
        sync_directory(deepest.parent)
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
        sync_directory(one.parent)
    path.mkdir(exist_ok=True)  # raises when it is something else


class BodyFile:
    """One body on its way in. Keeps the promise of ports.store.BodySpool."""

    def __init__(
        self, directory: Path, *, durable_places: set[str], told: Callable[[WorldFault], None]
    ) -> None:
        """durable_places: directories below `directory` whose own names are synced; all bodies share it.

        told: hears of every failure, so that the store stops taking mail. Raises WorldFault.
        """
        self._directory = directory
        self._durable_places = durable_places
        self._name = secrets.token_hex(12)
        self._path = directory / "tmp" / self._name
        self._told = told
        self._size_bytes = 0
        self._crc32 = 0
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failed(error, "a body file cannot be made") from error

    def write(self, data: bytes) -> None:
        """Append. Raises WorldFault."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise self._failed(error, "a body cannot be written") from error
        self._size_bytes += len(data)
        self._crc32 = zlib.crc32(data, self._crc32)

    def keep(self) -> SpooledBody:
        """Sync, name, sync the directories. Raises WorldFault; the file is to be discarded then."""
        place = self._directory / self._name[:2]
        final = place / self._name
        try:
            os.fsync(self._descriptor)
            # That it exists does not help: another thread, or a sync that failed, may have left it unsynced.
            if place.name not in self._durable_places:
                place.mkdir(mode=0o700, exist_ok=True)
                sync_directory(self._directory)
                self._durable_places.add(place.name)
            os.rename(self._path, final)
            self._path = final
            sync_directory(place)
        except OSError as error:
            # A failed fsync is never repeated (O04): the file is thrown away, the mail answered 4xx.
            raise self._failed(error, "a body cannot be made durable") from error
        self._close()
        return SpooledBody(f"{self._name[:2]}/{self._name}", self._size_bytes, self._crc32)

    def discard(self) -> None:
        """Forget it. Never raises."""
        self._close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _failed(self, error: OSError, what: str) -> WorldFault:
        fault = disk_fault(error, what)
        self._told(fault)
        return fault


class BodyDirectory:
    """`bodies/` of one store: new files, removal, and what is left over after a crash."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._durable_places: set[str] = set()

    def new(self, *, told: Callable[[WorldFault], None]) -> BodyFile:
        """A body on its way in, see BodyFile; may be called from a thread of the pool. Raises WorldFault."""
        return BodyFile(self.directory, durable_places=self._durable_places, told=told)

    def prepare(self) -> int:
        """Make the directories, remove what never got its name; how many. Raises OSError."""
        temporary = self.directory / "tmp"
        temporary.mkdir(parents=True, mode=0o700, exist_ok=True)
        sync_directory(self.directory.parent)
        sync_directory(self.directory)
        self._durable_places.update(place.name for place in os.scandir(self.directory))
        removed = 0
        for entry in os.scandir(temporary):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                removed += 1
        return removed

    def path(self, body: SpooledBody) -> Path:
        """Where a kept body is. Raises ValueError for a path that leads out of the directory."""
        place, _, name = body.path.partition("/")
        if not (_is_hex(place) and _is_hex(name)):
            raise ValueError(f"{body.path!r} is not the name of a body")
        return self.directory / place / name

    def remove(self, paths: list[str]) -> None:
        """Delete bodies whose mails have left. What cannot be deleted is found at the next start."""
        for path in paths:
            with contextlib.suppress(OSError):
                (self.directory / path).unlink(missing_ok=True)

    def set_aside(self, paths: list[str]) -> None:
        """Move bodies that nobody names any more out of the way: a mail that was lost may have had them."""
        aside = self.directory.with_name(DAMAGED_BODIES)
        aside.mkdir(mode=0o700, exist_ok=True)
        for path in paths:
            with contextlib.suppress(OSError):
                os.rename(self.directory / path, aside / path.rpartition("/")[2])

    def everything(self) -> Iterator[str]:
        """The relative path of every kept file. Raises OSError."""
        for place in self.places():
            yield from self.stored(place)

    def places(self) -> set[str]:
        """The directories of kept files; what somebody else put beside them is none. Raises OSError."""
        try:
            return {
                place.name for place in os.scandir(self.directory) if _is_hex(place.name) and place.is_dir()
            }
        except FileNotFoundError:
            return set()

    def stored(self, place: str) -> dict[str, int]:
        """Relative path -> size of each file kept there; empty when there is no such place. Raises OSError."""
        try:
            return {
                f"{place}/{file.name}": file.stat(follow_symlinks=False).st_size
                for file in os.scandir(self.directory / place)
                if _is_hex(file.name)
            }
        except (FileNotFoundError, NotADirectoryError):
            return {}


def read_pieces(path: Path, body: SpooledBody) -> Iterator[bytes]:
    """The file in pieces of READ_BYTES at most; the last comes only after the checksum was right.

    So a next hop never gets the whole of a damaged body. Raises WorldFault when the file is
    missing, cannot be read or is not what was stored (O09).
    """
    crc32 = size_bytes = 0
    held = b""
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                crc32 = zlib.crc32(piece, crc32)
                size_bytes += len(piece)
                if held:
                    yield held
                held = piece
    except OSError as error:
        raise disk_fault(error, "a stored body cannot be read") from error
    if (size_bytes, crc32) != (body.size_bytes, body.crc32):
        raise WorldFault("a stored body is damaged", path=body.path, size_bytes=size_bytes)
    if held:
        yield held


def _is_hex(text: str) -> bool:
    return bool(text) and all(c in "0123456789abcdef" for c in text)
