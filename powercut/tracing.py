"""What the recorder wrote, as values: every change of the state directory, every sync, every 250, in their order."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("<IBBHiIQqIIQ")  # struct head of recorder.c
_MAGIC: Final = 0x31435047


class Op(IntEnum):
    """What happened; the numbers are those of recorder.c."""

    OPEN = 1
    WRITE = 2
    TRUNCATE = 3
    ALLOCATE = 4
    RENAME = 5
    LINK = 6
    UNLINK = 7
    SYNC_BEGIN = 8
    SYNC_END = 9
    MKDIR = 10
    SAY = 11
    """The gateway begins to say 250: `data` is what it writes to the socket."""
    MAP = 12
    """A file is mapped so that it can be written without a call."""
    DELIVERED = 13
    """From the harness: the next hop is about to answer 250. data: JSON of Delivery."""
    UNKNOWN = 14
    """A call nobody has modelled; `path` is its name."""
    LEDGER = 15
    """From the harness, last: what the clients know. data: JSON."""


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the log. path, other: below the state directory, "" for itself."""

    op: Op
    ino: int
    offset: int
    path: str
    other: str
    data: bytes
    is_new: bool
    error: int
    pid: int


class BrokenTrace(Exception):
    """The log is not one of the recorder's, or ends in the middle."""


def read_trace(file: Path, state: Path) -> Iterator[Record]:
    """Every record; state: the directory that was watched. Raises BrokenTrace."""
    top = str(state)
    with file.open("rb") as log:
        while head := log.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise BrokenTrace(f"{file} ends in the middle of a record")
            magic, op, flags, _, error, pid, ino, offset, path_bytes, other_bytes, data_bytes = _HEAD.unpack(
                head
            )
            if magic != _MAGIC:
                raise BrokenTrace(f"{file}: no record begins at {log.tell() - _HEAD.size}")
            path, other = log.read(path_bytes).decode(), log.read(other_bytes).decode()
            data = log.read(data_bytes)
            if len(data) < data_bytes:
                raise BrokenTrace(f"{file} ends in the middle of a record")
            yield Record(
                Op(op), ino, offset, _below(path, top), _below(other, top), data, bool(flags & 2), error, pid
            )


def append(file: Path, op: Op, data: bytes) -> None:
    """A record of the harness, in its place among those of the gateway."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(descriptor, _HEAD.pack(_MAGIC, op, 0, 0, 0, os.getpid(), 0, 0, 0, 0, len(data)) + data)
    finally:
        os.close(descriptor)


def _below(path: str, top: str) -> str:
    return path.removeprefix(top).strip("/")
