"""The page of words by which the killer aims at a moment inside the gateway, and hears whether it was hit.

It is the recorder's page (struct page of powercut/recorder.c). The killer writes a wish: a moment and a step. The
process that comes to that moment takes the wish (one process only), and dies: before the moment when the step is
0, in place of its step-th write or sync call, or right after it when it has fewer.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from enum import Enum, IntEnum
from pathlib import Path
from typing import Final, TypeVar

from powercut.library import mapped

_T = TypeVar("_T")
_WORD: Final = struct.Struct("<Q")
# Numbers of words; the first four are the recorder's.
_THREAD, _AT, _CALLS, _HIT_NS, _WISH, _STEP, _PID, _WORKER, _WHERE = range(6, 15)
_WORDS: Final = 15


class Moment(IntEnum):
    """What a process can be in the middle of."""

    NONE = 0
    CHECKPOINT = 1
    MIGRATION = 2
    RECOVERY = 3
    FAILURE_NOTICE = 4
    """The transaction that settles a failure and keeps its notice, and so on."""
    DELAY_NOTICE = 5
    SUCCESS_NOTICE = 6


class Where(Enum):
    """Where in the moment the death fell."""

    NOWHERE = 0
    BEFORE = 1
    IN = 2
    AFTER = 3


class Aim:
    """The page, for both sides; a process that forks shares it with its children."""

    def __init__(self, file: Path) -> None:
        """The file is there (powercut.library.Page)."""
        self._map = mapped(file)
        self._lock = os.open(file, os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """The file stays."""
        self._map.close()
        os.close(self._lock)

    # -- the killer's side ----------------------------------------------------------------------

    def wish(self, moment: Moment, step: int) -> None:
        """Let the next process that comes to `moment` die at `step`."""
        for word in range(_THREAD, _WORDS):
            self._put(word, 0)
        self._put(_STEP, step)
        self._put(_WISH, moment)

    def withdraw(self) -> None:
        """Nobody need die any more; one that has taken the wish already does."""
        self._put(_WISH, Moment.NONE)

    @property
    def taken_by(self) -> int:
        """The pid of the process that dies or has died for the wish; 0: nobody yet."""
        return self._word(_PID)

    @property
    def worker(self) -> int:
        """Whose store it has."""
        return self._word(_WORKER)

    @property
    def died_at(self) -> float:
        """On the steady clock; 0: not yet."""
        return self._word(_HIT_NS) / 1e9

    @property
    def calls(self) -> int:
        """Write and sync calls its thread came to in the moment."""
        return self._word(_CALLS)

    @property
    def where(self) -> Where:
        """Where it died."""
        where = Where(self._word(_WHERE))
        return Where.IN if where is Where.NOWHERE and self._word(_HIT_NS) else where

    # -- the gateway's side ---------------------------------------------------------------------

    def is_wished(self, moment: Moment) -> bool:
        """Cheap enough to be asked at every transaction."""
        return self._word(_WISH) == moment

    def around(self, moment: Moment, worker: int, work: Callable[[], _T]) -> _T:
        """Do the work; die for the wish when it is for this moment and nobody else has taken it."""
        if not self.is_wished(moment) or not self._take(worker):
            return work()
        step = self._word(_STEP)
        if step == 0:
            self._die(Where.BEFORE)
        self._put(_AT, step)
        self._put(_THREAD, threading.get_native_id())
        try:
            return work()
        finally:
            self._put(_THREAD, 0)
            self._die(Where.AFTER)

    def _take(self, worker: int) -> bool:
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            if self._word(_PID):
                return False
            self._put(_WISH, Moment.NONE)
            self._put(_WORKER, worker)
            self._put(_PID, os.getpid())
            return True
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def _die(self, where: Where) -> None:
        self._put(_WHERE, where.value)
        self._put(_HIT_NS, time.monotonic_ns())
        os.kill(os.getpid(), signal.SIGKILL)

    def _word(self, number: int) -> int:
        return int(_WORD.unpack_from(self._map, number * 8)[0])

    def _put(self, number: int, value: int) -> None:
        _WORD.pack_into(self._map, number * 8, value)
