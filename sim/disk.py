"""The stores' disk: commits take time and sometimes fail, and what is on it survives a death.

The store is the real one, on a file system in memory. Only the thread that waits for the disk is another: it commits
at a later moment of virtual time, so that the process may die before the commit, or between it and its answer.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import apsw

from gatepost.adapters.sqlite_groups import CommitGroups
from gatepost.adapters.sqlite_store import SqliteStore, open_store
from sim.boxes import Boxes
from sim.durable import Durable
from sim.files import ERRORS
from sim.journal import Journal

_FILES_FAIL: Final = 0.2


class Disk:
    """The place of every worker's store, and what is watched there."""

    def __init__(
        self, place: Path, chance: Random, journal: Journal, boxes: Boxes, now: Callable[[], float]
    ) -> None:
        self.place = place
        self.now = now
        self.chance = chance
        self.journal = journal
        self.fails_until_s = 0.0
        """Until then one commit in three fails, by the loop's time."""
        self.slow = 1.0
        self._is_opening = False
        self.at_commit: Callable[[], bool] = lambda: False
        """Called before and after each commit, in its process; True: that has died of it."""
        self._boxes = boxes
        self._watches: dict[Path, Durable] = {}

    def watch(self, directory: Path) -> Durable:
        """Who looks at what becomes durable in this store."""
        if directory not in self._watches:
            bodies = directory / "bodies"
            self._watches[directory] = Durable(
                self.journal, lambda path: (bodies / path).read_bytes(), self._boxes
            )
        return self._watches[directory]

    def open(self, directory: Path, *args: Any, **wishes: Any) -> SqliteStore:
        """As open_store."""
        self._is_opening = True
        try:
            return open_store(
                directory, *args, groups=partial(SimGroups, self, self.watch(directory)), **wishes
            )
        finally:
            self._is_opening = False

    def file_error(self) -> int:
        """What a call on a body file or a maildir comes to; 0: nothing is wrong. A start that fails is no run."""
        if self._is_opening or self.now() >= self.fails_until_s or self.chance.random() > _FILES_FAIL:
            return 0
        self.journal.count("file failures")
        return self.chance.choice(ERRORS)

    def survive(self, store: SqliteStore, directory: Path) -> None:
        """The process has died: what the kernel has of its files is the next life's disk."""
        fresh = self.place / "next-life"
        shutil.copytree(directory, fresh, ignore=shutil.ignore_patterns("*-shm", "reserve"))
        torn: Any = store
        with contextlib.suppress(apsw.Error):
            torn._groups._database.close(True)
        with contextlib.suppress(apsw.Error):
            torn._database.close(True)
        torn.in_flight.torn()
        torn._lock.release(clean=False)
        shutil.rmtree(directory)
        fresh.rename(directory)


class SimGroups(CommitGroups):
    """The real groups; jobs run at a later moment instead of in a thread, and the moment of their answer is another."""

    def __init__(self, disk: Disk, watch: Durable, *args: Any, **wishes: Any) -> None:
        self._disk, self._watch = disk, watch
        self._job: Callable[[], None] | None = None
        super().__init__(*args, **wishes)

    def begin_thread(self) -> None:
        """There is none."""

    def end_thread(self) -> None:
        """A clean stop waits for the job."""
        job, self._job = self._job, None
        if job is not None:
            self._do(job)

    def _submit(self, job: Callable[[], None], then: Callable[[BaseException | None], None]) -> None:
        self._then = then
        if self._inline:
            self._do(job)
            self._deliver()
            return
        self._job = job
        self._loop.call_later(self._disk.chance.uniform(0.0005, 0.02) * self._disk.slow, self._later)

    def _later(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            if self._disk.at_commit():
                return
            self._do(job)
            if self._disk.at_commit():
                return
            self._loop.call_later(self._disk.chance.uniform(0.0001, 0.004) * self._disk.slow, self._answer)

    def _answer(self) -> None:
        self._deliver()

    def _do(self, job: Callable[[], None]) -> None:
        self._outcome = None
        try:
            if self._disk.fails_until_s > self._loop.time() and self._disk.chance.random() < 0.33:
                self._disk.journal.count("disk failures")
                raise apsw.IOError("the simulated disk failed")
            asked = [list(one.changes) for one in self._group.asked]
            job()
        except Exception as error:  # noqa: BLE001  # the thread outlives every failure; the loop judges it
            self._outcome = error
            return
        if job == self._commit:
            for changes in asked:
                self._watch.durable(changes)
