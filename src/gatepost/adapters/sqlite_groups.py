"""Group commit: whatever is asked for while one transaction is being synced becomes the next.

A group is begun when the loop has nothing else to do, so that what its other sessions are about to ask for
still joins; at the latest two milliseconds after its first (decision 0170).

The rows are written on the event loop's thread; only COMMIT, which waits for the disk, runs in
the store's own thread. Decision 0030 has the figures: a thread that writes the rows as well
fights with the loop for the interpreter's lock at every statement.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue as thread_queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import apsw

from gatepost.adapters.bodies import DISK_FULL
from gatepost.adapters.sqlite_rows import Settled, apply
from gatepost.adapters.sqlite_schema import BUSY_MS
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Change
from gatepost.ports.store import Done
from gatepost.ports.world import Clock

RIDE_LIMIT_S: Final = 0.05  # how long a change that nobody waits for may wait for company
GROUP_WRITE_LIMIT_S: Final = 0.005  # how long one group may keep the event loop from other work
IDLE_TURN_S: Final = 50e-6  # a turn of the loop that takes no longer had nothing to do but to ask the kernel
GATHER_LIMIT_S: Final = 0.002  # how long a group is gathered while the loop has other work
CHECKPOINT_BYTES: Final = 8 << 20
TRUNCATE_BYTES: Final = 64 << 20
RENEW_WAIT_S: Final = (0.0, 0.2, 1.0, 2.0, 5.0)
UNTOLD_LIMIT: Final = 100_000
_FRAME_BYTES: Final = 4096 + 24

Work = Callable[[apsw.Connection], str | None]
"""A change of the store's own: runs inside a transaction, may return a body's path to delete."""


class Phase(Enum):
    """What the store's connection is doing."""

    IDLE = "idle"
    ASKED = "asked"
    """The next turn of the loop begins a group."""
    BUSY = "busy"
    """The thread has the connection."""
    BROKEN = "broken"
    """A write failed; the connection is being renewed."""
    CLOSED = "closed"


@dataclass(slots=True)
class _Asked:
    changes: Sequence[Change]
    done: Done | None
    work: Work | None = None


@dataclass(slots=True)
class _Group:
    asked: list[_Asked] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    changes: int = 0


class Owner:
    """What the groups tell the store that owns them. Every method is called on the event loop."""

    def bodies_gone(self, paths: list[str]) -> None:
        """Their mails have left, durably."""

    def write_failed(self, error: BaseException, fault: WorldFault) -> None:
        """A transaction failed; the store takes no mail until `renewed`."""

    def renewed(self) -> None:
        """The store was reopened and checked, and can be written again."""

    def refused(self, error: BaseException) -> None:
        """A change nobody waited for cannot be: a bug of ours."""


class CommitGroups:
    """Owns the writing connection. All methods but the thread's own are called on the event loop."""

    def __init__(
        self,
        open_database: Callable[[], apsw.Connection],
        check: Callable[[apsw.Connection], str],
        settled: Settled,
        owner: Owner,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        *,
        batch_changes: int,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
    ) -> None:
        """checkpoint_bytes: the size of the log from which it is brought into the database."""
        self._open_database = open_database
        self._check = check
        self._settled = settled
        self._owner = owner
        self._clock = clock
        self._loop = loop
        self._batch_changes = batch_changes
        self._database = open_database()
        self._cursor = self._database.cursor()
        self._waiting: deque[_Asked] = deque()
        self._group = _Group()
        self._timer: asyncio.TimerHandle | None = None
        self._pages = 0
        self._checkpoint_pages = max(1, checkpoint_bytes // _FRAME_BYTES)
        self._checkpoint_at = self._checkpoint_pages
        self._renewals = 0
        self.commits = 0
        """Transactions that are on stable storage."""
        self.phase = Phase.IDLE
        self.broken_by: WorldFault | None = None
        self._asked_at_s = self._turned_at_s = 0.0
        self._inline = False
        self._then: Callable[[BaseException | None], None] | None = None
        self._outcome: BaseException | None = None
        self.begin_thread()

    # -- asking ---------------------------------------------------------------------------------

    def ask(self, changes: Sequence[Change], done: Done | None, work: Work | None = None) -> None:
        """Queue one commit. See ports.store.Store.commit."""
        if self.phase is Phase.CLOSED or (done is not None and self.phase is Phase.BROKEN):
            fault = self.broken_by or WorldFault("the store is closed")
            if done is not None:
                self._loop.call_soon(done, fault)
            return
        if done is None and len(self._waiting) >= UNTOLD_LIMIT:
            self._owner.refused(WorldFault("too many changes wait for the store"))
            return
        self._waiting.append(_Asked(changes, done, work))
        if self.phase is not Phase.IDLE:
            return
        if done is not None:
            self._soon()
        elif self._timer is None:
            self._timer = self._loop.call_later(RIDE_LIMIT_S, self._ride_over)

    def _ride_over(self) -> None:
        self._timer = None
        if self.phase is Phase.IDLE:
            self._soon()

    def _soon(self) -> None:
        self.phase = Phase.ASKED
        self._asked_at_s = self._turned_at_s = self._clock.monotonic()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """The loop has turned once: begin when it had nothing else to do, or when the first has waited enough."""
        now_s = self._clock.monotonic()
        if now_s - self._turned_at_s < IDLE_TURN_S or now_s - self._asked_at_s >= GATHER_LIMIT_S:
            self._begin()
            return
        self._turned_at_s = now_s
        self._loop.call_soon(self._turn)

    # -- one group ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Write what waits into one transaction and let the thread commit it."""
        if self.phase is not Phase.ASKED:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._group = group = _Group()
        try:
            while self._waiting and not group.asked:
                self._cursor.execute("BEGIN IMMEDIATE")
                self._write_waiting(group)
        except apsw.Error as error:
            self._failed(error)
            return
        if not group.asked:
            self.phase = Phase.IDLE
            return
        self.phase = Phase.BUSY
        self._submit(self._commit, self._committed)

    def _write_waiting(self, group: _Group) -> None:
        """Fill the group. A change that cannot be is told so and leaves no trace; the others start again."""
        until_s = self._clock.monotonic() + GROUP_WRITE_LIMIT_S
        while self._waiting and group.changes < self._batch_changes:
            if group.asked and self._clock.monotonic() >= until_s:
                return  # the first is written in any case: a group that was begun has something to commit
            asked = self._waiting.popleft()
            group.asked.append(asked)
            group.changes += len(asked.changes) or 1
            try:
                self._write(asked, group)
            except (apsw.ConstraintError, apsw.TooBigError, apsw.MismatchError) as error:
                self._refuse(group, error)
                return
            except apsw.Error:
                raise
            except Exception as error:  # noqa: BLE001 - edge: a bug in one change must not fail its neighbours
                self._refuse(group, error)
                return

    def _write(self, asked: _Asked, group: _Group) -> None:
        for change in asked.changes:
            if path := apply(self._cursor, change, self._settled):
                group.gone.append(path)
        if asked.work is not None and (path := asked.work(self._database)):
            group.gone.append(path)

    def _refuse(self, group: _Group, error: BaseException) -> None:
        """Undo the transaction, tell the last of the group, queue the others again in their order."""
        self._cursor.execute("ROLLBACK")
        guilty = group.asked.pop()
        self._waiting.extendleft(reversed(group.asked))
        group.asked.clear()
        group.gone.clear()
        group.changes = 0
        if guilty.done is None:
            self._owner.refused(error)
        else:
            self._loop.call_soon(guilty.done, error)

    def _commit(self) -> None:
        self._cursor.execute("COMMIT")

    def _committed(self, error: BaseException | None) -> None:
        if error is not None:
            self._failed(error)
            return
        self.commits += 1
        group, self._group = self._group, _Group()
        self._pages += self._database.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, True)[0]
        if group.gone:
            self._owner.bodies_gone(group.gone)
        self._tell(group.asked, None)
        self._go_on()

    def _go_on(self) -> None:
        """The connection is free: checkpoint when it is time, else the next group."""
        if self.phase is Phase.CLOSED:
            return
        if self._pages >= self._checkpoint_at:
            self.checkpoint()
            return
        self.phase = Phase.IDLE
        if any(asked.done is not None for asked in self._waiting):
            self._soon()
        elif self._waiting and self._timer is None:
            self._timer = self._loop.call_later(RIDE_LIMIT_S, self._ride_over)

    def _tell(self, asked: Sequence[_Asked], error: BaseException | None) -> None:
        for one in asked:
            if one.done is None:
                continue
            try:
                one.done(error)
            except Exception as bug:  # noqa: BLE001 - edge: a bug in one waiter must not keep the word from the others
                self._loop.call_exception_handler(
                    {"message": "a waiter of the store failed", "exception": bug}
                )

    # -- checkpoints ----------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Bring the log into the database, between two groups."""
        self.phase = Phase.BUSY
        self._submit(self._run_checkpoint, self._checkpointed)

    def checkpoint_if_idle(self) -> None:
        """For a timer: small logs are worth a checkpoint only when nobody waits."""
        if self.phase is Phase.IDLE and self._pages > 0:
            self.checkpoint()

    def _run_checkpoint(self) -> None:
        frames, done = self._database.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if frames == done and frames * _FRAME_BYTES > TRUNCATE_BYTES:
            # Mail waits meanwhile, so nobody waits for a reader: the log is truncated another time.
            self._database.set_busy_timeout(0)
            with contextlib.suppress(apsw.BusyError, apsw.LockedError):
                self._database.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._database.set_busy_timeout(BUSY_MS)
        self._pages = max(0, frames - done)

    def _checkpointed(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, apsw.BusyError):
            self._failed(error)
            return
        # What a reader held back is not tried again at every group.
        self._checkpoint_at = self._pages + self._checkpoint_pages
        self._go_on()

    # -- failure --------------------------------------------------------------------------------

    def _failed(self, error: BaseException) -> None:
        """Everybody who waits hears of it; what nobody waits for is kept for the renewed store (O04)."""
        group, self._group = self._group, _Group()
        fault = _fault_of(error)
        self.broken_by = fault
        everybody = [*group.asked, *self._waiting]
        self._waiting = deque(one for one in everybody if one.done is None)
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.BROKEN
        self._owner.write_failed(error, fault)
        self._tell(everybody, fault)
        self._renew_later()

    def _renew_later(self) -> None:
        if self.phase is Phase.CLOSED:
            return
        wait_s = RENEW_WAIT_S[min(self._renewals, len(RENEW_WAIT_S) - 1)]
        self._renewals += 1
        self._loop.call_later(wait_s, self._renew)

    def _renew(self) -> None:
        if self.phase is Phase.BROKEN:
            self._submit(self._reopen, self._reopened)

    def _reopen(self) -> None:
        """Close, open, check, and prove by a write that the store works (in the thread).

        The write also covers what a failed commit left at the end of the log, which a later
        recovery could otherwise take for a transaction: mail we said 451 to. The checkpoint lets
        the log begin anew, so that on a full disk the next changes need no more room.
        """
        with contextlib.suppress(apsw.Error):  # the connection may be beyond even that
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        with contextlib.suppress(apsw.Error):
            self._database.close(True)
        self._database = self._open_database()
        self._cursor = self._database.cursor()
        if problem := self._check(self._database):
            raise WorldFault(f"the store is damaged: {problem}")
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(
            "INSERT INTO note (name, value) VALUES ('renewals', 1) "
            "ON CONFLICT (name) DO UPDATE SET value = value + 1"
        )
        self._database.execute("COMMIT")
        self._run_checkpoint()

    def _reopened(self, error: BaseException | None) -> None:
        if error is not None:
            self._owner.write_failed(error, _fault_of(error))
            self._renew_later()
            return
        self.broken_by = None
        self._renewals = 0
        self._owner.renewed()
        self._go_on()

    # -- the thread -----------------------------------------------------------------------------

    def begin_thread(self) -> None:
        """Start what runs `_submit`'s jobs. The simulation has another: one that commits in virtual time."""
        self._jobs: thread_queue.SimpleQueue[Callable[[], None] | None] = thread_queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="store", daemon=True)
        self._thread.start()

    def end_thread(self) -> None:
        """Returns when the job that was submitted has run."""
        self._jobs.put(None)
        self._thread.join()

    def _submit(self, job: Callable[[], None], then: Callable[[BaseException | None], None]) -> None:
        self._then = then
        if self._inline:
            self._outcome = _run(job)
            self._deliver()
        else:
            self._jobs.put(job)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._outcome = _run(job)
            with contextlib.suppress(RuntimeError):  # the loop is gone: close() looks at the outcome
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(self._outcome)

    # -- the end --------------------------------------------------------------------------------

    def finish(self) -> bool:
        """Commit what was asked for; nothing is taken any more. True when everything is on disk."""
        self.end_thread()
        self._inline = True
        self._deliver()
        while self._waiting and self.phase in (Phase.IDLE, Phase.ASKED):
            self.phase = Phase.ASKED
            self._begin()
        clean = self.phase in (Phase.IDLE, Phase.ASKED)
        self.phase = Phase.CLOSED
        if self._timer is not None:
            self._timer.cancel()
        return clean

    def close(self) -> None:
        """Checkpoint and close; the last connection of a store removes its log."""
        with contextlib.suppress(apsw.Error):  # a log that stays is read at the next start
            self._database.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        with contextlib.suppress(apsw.Error):
            self._database.close()


def _run(job: Callable[[], None]) -> BaseException | None:
    try:
        job()
    except Exception as error:  # noqa: BLE001 - edge: the thread outlives every failure; the loop judges it
        return error
    return None


def _fault_of(error: BaseException) -> WorldFault:
    """452 when the disk is full, 451 otherwise; the reason is for the log."""
    if isinstance(error, WorldFault):
        return error
    reason = f"the store cannot be written: {error}"
    return WorldFault(reason, DISK_FULL) if isinstance(error, apsw.FullError) else WorldFault(reason)
