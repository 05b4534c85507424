"""Counts in memory that all workers have mapped: each writes cells of its own and reads everybody's, without a lock.

A key has a cell in each of two rows, and the smaller of the two sums counts (a count-min sketch): two clients are
taken for one only where both their cells meet, and then the count is too high, never too low.
"""

from __future__ import annotations

import mmap
from array import array
from typing import Final

SLOTS: Final = 1 << 16
"""Of a row. That a client shares both cells with one of 1,000 that are near a limit has a chance of 1 in 4,000."""
MINUTE_S: Final = 60
_ROWS: Final = 2
_MASK: Final = SLOTS - 1
_SECOND_ROW_BITS: Final = 24
"""Of the key, the bits above these choose the cell of the second row."""
_COUNT_BITS: Final = 32
_COUNT_MASK: Final = (1 << _COUNT_BITS) - 1


class MappedCounts:
    """The memory of `workers` workers, 1.5 MiB for each, made before they are forked.

    All have Python's random seed of the process that made it, so a key is the same in each, and nobody
    outside can choose keys that meet (threats G16).
    """

    def __init__(self, workers: int) -> None:
        cells = _ROWS * SLOTS * workers
        self._workers = workers
        self._sessions = memoryview(mmap.mmap(-1, cells * 4)).cast("I")
        self._events = memoryview(mmap.mmap(-1, cells * 8)).cast("Q")

    def of_worker(self, number: int) -> WorkerCounts:
        """Its cells, all zero: what a worker of this number had counted before died with it."""
        zeros = array("I", bytes(4 * _ROWS * SLOTS))
        self._sessions[number :: self._workers] = memoryview(zeros)
        self._events[number :: self._workers] = memoryview(array("Q", bytes(8 * _ROWS * SLOTS)))
        return WorkerCounts(self._sessions, self._events, number, self._workers)


class WorkerCounts:
    """Keeps the promise of ports.neighbours.Neighbours. A cell is written by one worker only, in one store."""

    def __init__(self, sessions: memoryview[int], events: memoryview[int], number: int, workers: int) -> None:
        self._sessions, self._events = sessions, events
        self._number, self._workers = number, workers
        self._second_row = SLOTS * workers

    @property
    def workers(self) -> int:
        """How many there are."""
        return self._workers

    def came(self, key: int) -> None:
        """A session of this worker began."""
        cells = self._sessions
        cells[(key & _MASK) * self._workers + self._number] += 1
        cells[(key >> _SECOND_ROW_BITS & _MASK) * self._workers + self._second_row + self._number] += 1

    def gone(self, key: int) -> None:
        """One that had come is over."""
        cells = self._sessions
        cells[(key & _MASK) * self._workers + self._number] -= 1
        cells[(key >> _SECOND_ROW_BITS & _MASK) * self._workers + self._second_row + self._number] -= 1

    def sessions(self, key: int) -> int:
        """Those that are open in all workers."""
        cells, workers = self._sessions, self._workers
        first = (key & _MASK) * workers
        second = (key >> _SECOND_ROW_BITS & _MASK) * workers + self._second_row
        return min(
            sum(cells[first : first + workers].tolist()), sum(cells[second : second + workers].tolist())
        )

    def happened(self, key: int, now: float) -> int:
        """One more event in this worker; how many that makes in all workers within a minute."""
        second = int(now)
        # A cell is the second in which its minute began, and the events since; whatever began before is over.
        over, fresh = (second - MINUTE_S) << _COUNT_BITS | _COUNT_MASK, second << _COUNT_BITS | 1
        cells, number, workers = self._events, self._number, self._workers
        most = _COUNT_MASK
        for start in (
            (key & _MASK) * workers,
            (key >> _SECOND_ROW_BITS & _MASK) * workers + self._second_row,
        ):
            cell = cells[start + number]
            cells[start + number] = cell + 1 if cell > over else fresh
            events = 0
            for cell in cells[start : start + workers].tolist():
                if cell > over:
                    events += cell & _COUNT_MASK
            if events < most:
                most = events
        return most

    def lately(self, key: int, now: float) -> int:
        """How many happened in all workers within a minute."""
        over = (int(now) - MINUTE_S) << _COUNT_BITS | _COUNT_MASK
        return min(
            sum(
                cell & _COUNT_MASK
                for cell in self._events[start : start + self._workers].tolist()
                if cell > over
            )
            for start in (
                (key & _MASK) * self._workers,
                (key >> _SECOND_ROW_BITS & _MASK) * self._workers + self._second_row,
            )
        )
