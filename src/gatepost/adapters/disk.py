"""The disk below a store: its kind, its room, the reserve that lets a full one be drained, the lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

from gatepost.adapters.bodies import DISK_FULL, sync_directory
from gatepost.config.settings import Queue
from gatepost.model.fault import WorldFault

LOW_INODES: Final = 1000
RESUME_INODES: Final = 2000
VOLATILE: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
NETWORKED: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "afs", "fuse.sshfs", "fuse.glusterfs"}
)


def file_system_of(directory: Path, mounts: str | None = None) -> str:
    """The type of the file system that holds a directory, "" when that cannot be found out.

    mounts: what /proc/self/mounts says, given by tests.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
    place = os.path.realpath(directory)
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ").rstrip("/")
        # Of mounts on one point the last one covers the others, so equals replace.
        if (place == point or place.startswith(point + "/")) and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind


def refuse_unsafe(directory: Path, *, allow_volatile: bool, mounts: str | None = None) -> None:
    """Raises WorldFault when mail kept here would not survive a power cut, or locks may lie (O08)."""
    kind = file_system_of(directory, mounts)
    if kind in NETWORKED:
        raise WorldFault(f"{directory} is on {kind}: the store needs a local file system", file_system=kind)
    if kind in VOLATILE and not allow_volatile:
        raise WorldFault(f"{directory} is on {kind}: mail would be lost with the power", file_system=kind)


class StoreLock:
    """One store, one owner: a lock the operating system drops with the process. Knows of unclean stops."""

    def __init__(self, path: Path) -> None:
        """Raises WorldFault when another process owns the store (O11), or the file cannot be made."""
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WorldFault(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise WorldFault(
                f"{path.parent} is in use by another gatepost process", locked=str(path)
            ) from error
        said = os.pread(self._descriptor, 16, 0)
        self.was_unclean = said.startswith((b"open", b"trouble", b"damaged"))
        """The last owner did not close the store, or could not write everything before it did."""
        self.was_closed = said.startswith(b"trouble")
        """It was closed all the same: there need be no log."""
        self.was_damaged = said.startswith(b"damaged")
        """The last owner met damaged pages: the store is to be salvaged."""
        self.is_damaged = False
        """Damaged pages were met since it was opened."""

    def mark_open(self) -> None:
        """From now on a death is an unclean stop. Raises OSError."""
        self._write(b"open\n")

    def mark_damaged(self) -> None:
        """The next start salvages what can be read. Raises OSError."""
        self.is_damaged = True
        self._write(b"damaged\n")

    def mark_closed(self) -> None:
        """The store was closed and its log brought in, but not everything could be written. Raises OSError."""
        if not self.is_damaged:
            self._write(b"trouble\n")

    def _write(self, word: bytes) -> None:
        os.pwrite(
            self._descriptor, word, 0
        )  # before the rest goes: a disk that is full must not leave it empty
        os.ftruncate(self._descriptor, len(word))
        os.fsync(self._descriptor)

    def release(self, *, clean: bool) -> None:
        """Give the store up; clean: everything was written and checkpointed."""
        if self._descriptor < 0:
            return
        if clean and not self.is_damaged:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
                os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1


def is_in_use(path: Path) -> bool:
    """Whether somebody owns the store of this lock file now, or may own it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class DiskRoom:
    """Watches free space and inodes; keeps the reserve (O05-O07)."""

    def __init__(self, directory: Path, queue: Queue) -> None:
        self._directory = directory
        self._reserve = directory / "reserve"
        self._queue = queue
        self.why_low = ""
        """Why no new mail is taken; "" while there is room."""
        self.free_bytes = 0
        self.free_inodes = 0

    def adopt(self, queue: Queue) -> None:
        """Other limits, from the next look on."""
        self._queue = queue

    def sample(self) -> None:
        """Look at the disk: set `why_low` with hysteresis, give up or restore the reserve."""
        try:
            seen = os.statvfs(self._directory)
        except OSError as error:
            self.why_low = f"the store's directory cannot be looked at: {error.strerror}"
            return
        self.free_bytes = seen.f_bavail * seen.f_frsize
        self.free_inodes = seen.f_favail if seen.f_files else RESUME_INODES
        self.why_low = self._judge()
        if self.free_bytes == 0:
            self.give_up_reserve()
        elif not self.why_low and not self._has_reserve():
            self._make_reserve()

    def give_up_reserve(self) -> bool:
        """Free the reserve so that settlements and checkpoints have room. True when there was one."""
        self.why_low = self.why_low or "the disk is full"
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def note_failure(self, fault: WorldFault) -> None:
        """A body could not be written: when the disk was full, take no mail until there is room again."""
        if fault.reply == DISK_FULL:
            self.why_low = "the disk is full"
        self.sample()

    def fault(self) -> WorldFault:
        """What a mail hears while there is no room."""
        return WorldFault(self.why_low, DISK_FULL, free_bytes=self.free_bytes)

    def _judge(self) -> str:
        """Already low: more is needed to leave that state than was needed to enter it."""
        margin_bytes = self._queue.resume_margin_bytes if self.why_low else 0
        inodes = RESUME_INODES if self.why_low else LOW_INODES
        if self.free_bytes < self._queue.disk_low_bytes + margin_bytes:
            return f"disk low: {self.free_bytes >> 20} MiB free in {self._directory}"
        if self.free_inodes < inodes:
            return f"disk low: {self.free_inodes} inodes free in {self._directory}"
        return ""

    def _has_reserve(self) -> bool:
        try:
            return self._reserve.stat().st_size >= self._queue.reserve_bytes
        except OSError:
            return False

    def _make_reserve(self) -> None:
        # Twice: a reserve that was just given up must not take back the room it made.
        enough_bytes = self._queue.disk_low_bytes + 2 * self._queue.reserve_bytes
        if self._queue.reserve_bytes == 0 or self.free_bytes < enough_bytes:
            return
        try:
            descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._queue.reserve_bytes)
            finally:
                os.close(descriptor)
            sync_directory(self._directory)
        except OSError:
            # No room after all: a part of a reserve is none.
            with contextlib.suppress(OSError):
                self._reserve.unlink()
