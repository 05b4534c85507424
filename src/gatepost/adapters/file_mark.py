"""Whether a file is another one than before: its time, its size and its number, for whoever looks again and again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

FileMark = tuple[int, int, int]
"""Nanoseconds of the last change, octets, inode: replaced or written, one of them changes."""
NOT_THERE: Final[FileMark] = (0, 0, 0)


def mark_of(path: str | Path) -> FileMark:
    """Raises OSError; ValueError for what can be no path."""
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino


def marks_of(paths: Iterable[str]) -> tuple[FileMark, ...]:
    """Of each file; NOT_THERE for one that cannot be looked at. Raises nothing."""
    return tuple(_mark_or_none(path) for path in paths)


def _mark_or_none(path: str) -> FileMark:
    try:
        return mark_of(path)
    except (OSError, ValueError):
        return NOT_THERE
