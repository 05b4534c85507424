"""The system below the gateway's files: calls that fail while the disk is in trouble, and how much room there is."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

from gatepost.adapters import bodies, disk, maildir

PLENTY_BYTES: Final = 1 << 33


class SimOs:
    """The module `os` for the adapters of body files, maildirs and the disk's room."""

    def __init__(self) -> None:
        self.fails: Callable[[], int] = lambda: 0
        """The error of a call that is about to be made; 0: it succeeds."""
        self.free_bytes = PLENTY_BYTES

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        """As os.open."""
        self._stumble()
        return os.open(path, flags, mode)

    def write(self, descriptor: int, data: Any) -> int:
        """As os.write."""
        self._stumble()
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Nothing needs to be on a disk that is memory."""
        self._stumble()

    def rename(self, source: Any, target: Any) -> None:
        """As os.rename."""
        self._stumble()
        os.rename(source, target)

    def statvfs(self, path: Any) -> Any:
        """What is free."""
        return SimpleNamespace(f_bavail=self.free_bytes, f_frsize=1, f_files=1 << 20, f_favail=1 << 20)

    def _stumble(self) -> None:
        if number := self.fails():
            raise OSError(number, os.strerror(number))


FILES: Final = SimOs()
"""Of the run that is played: there is one at a time in a Python process."""
_MODULES: Final = (bodies, disk, maildir)
ERRORS: Final = (errno.ENOSPC, errno.EIO)


@contextmanager
def simulated_files() -> Iterator[None]:
    """While a run is played; afterwards the adapters have the real system again."""
    for module in _MODULES:
        vars(module)["os"] = FILES
    try:
        yield
    finally:
        for module in _MODULES:
            vars(module)["os"] = os
