"""The durable store of one worker: SQLite for queue, quarantine and records, files for large bodies."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import apsw

from gatepost.adapters.bodies import BodyDirectory, BodyFile, make_directory, read_pieces, sync_file
from gatepost.adapters.disk import DiskRoom, StoreLock, refuse_unsafe
from gatepost.adapters.inflight import MappedInFlight
from gatepost.adapters.sqlite_groups import CHECKPOINT_BYTES, CommitGroups, Owner, Phase
from gatepost.adapters.sqlite_kept import KeptSizes
from gatepost.adapters.sqlite_reader import GREATEST_MAIL_ID, SqliteReader
from gatepost.adapters.sqlite_recovery import (
    Recovered,
    blame,
    isolate_incomplete,
    match_bodies,
    put_aside,
)
from gatepost.adapters.sqlite_rows import Settled, record_number
from gatepost.adapters.sqlite_salvage import ADVICE, advised, refuse_emptied, salvage
from gatepost.adapters.sqlite_schema import migrate, open_for_reading, open_writer, quick_check
from gatepost.config.log_settings import Records
from gatepost.config.settings import Queue
from gatepost.model.content import SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import Accept, Change
from gatepost.ports.log import Log
from gatepost.ports.store import Done
from gatepost.ports.world import Clock

SAMPLE_INTERVAL_S: Final = 1.0
NOTE_INTERVAL_S: Final = 60.0
PURGE_ROWS: Final = 500
PURGE_PAUSE_S: Final = 0.05
SWITCH_INTERVAL_S: Final = 20e-6


class SqliteStore(SqliteReader, Owner):
    """Keeps the promise of ports.store.Store. Made by open_store; used on the event loop's thread.

    in_flight: the file of mails in work (ports.in_flight). recovered: what the start found.
    """

    def __init__(
        self,
        directory: Path,
        queue: Queue,
        clock: Clock,
        log: Log,
        loop: asyncio.AbstractEventLoop,
        settled: Settled,
        *,
        lock: StoreLock,
        groups: Callable[..., CommitGroups],
    ) -> None:
        """For open_store, which prepares directory and lock. Raises WorldFault, OSError."""
        self._path = directory / "store.db"
        self._clock = clock
        self._log = log
        self._loop = loop
        self._lock = lock
        self._files = BodyDirectory(directory / "bodies")
        self._room = DiskRoom(directory, queue)
        self._put_aside: set[int] = set()
        self._purging = False
        self._kept, self._cut_at = KeptSizes(), 0.0
        self._closed = False
        self._failures = 0
        self._cannot_be_written = False
        """Damaged pages were met in writing: the next mail may meet them, too."""
        self.in_flight = MappedInFlight(directory / "in-flight")
        self.recovered = self._recover(queue.crash_limit)
        self._groups = groups(
            lambda: open_writer(self._path),
            quick_check,
            settled,
            self,
            clock,
            loop,
            batch_changes=queue.batch_mails,
            checkpoint_bytes=_log_limit_bytes(queue),
        )
        super().__init__(open_for_reading(self._path), self._files, damaged=self._damage_found)
        self._last_mail_id = self.greatest_mail_id()
        self._keeper.close()  # the log stays: others have it open
        self._sample()
        self._note_at_s = clock.monotonic() + NOTE_INTERVAL_S
        self._timer = loop.call_later(SAMPLE_INTERVAL_S, self._tick)

    # -- the promise ----------------------------------------------------------------------------

    def commit(self, changes: Sequence[Change], done: Done | None = None) -> None:
        """As ports.store.Store.commit."""
        for change in changes:
            if type(change) is Accept and change.mail.mail_id > self._last_mail_id:
                self._last_mail_id = change.mail.mail_id
        self._groups.ask(changes, done)

    def spool(self) -> BodyFile:
        """As ports.store.Store.spool; may be called from a thread of the pool."""
        if self._room.why_low:
            raise self._room.fault()
        return self._files.new(told=self._body_failed)

    def why_not_accepting(self) -> str:
        """ "" while new mail is taken; else the reason."""
        if self._cannot_be_written:
            return "the store is damaged: restart the gateway to salvage it"
        broken = self._groups.broken_by
        return broken.reason if broken else self._room.why_low

    def samples(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
        """For the metrics: transactions that were committed, and that failed."""
        yield "store_commits", (), float(self._groups.commits)
        yield "store_failures", (), float(self._failures)

    def adopt(self, queue: Queue) -> None:
        """Go on with other limits of the disk (queue.disk-low, reserve, resume-margin)."""
        self._room.adopt(queue)

    @property
    def last_mail_id(self) -> int:
        """The largest mail id ever stored."""
        return self._last_mail_id

    def close(self) -> None:
        """Commit what was asked for, checkpoint, release the lock."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        self._groups.ask((), None, self._write_note)
        clean = self._groups.finish()
        super().close()
        self._groups.close()
        self.in_flight.close()
        if not clean:
            with contextlib.suppress(OSError):  # then the next start misses the log, which is safe
                self._lock.mark_closed()
        self._lock.release(clean=clean)

    # -- beyond the port ------------------------------------------------------------------------

    @property
    def last_seen_at(self) -> float | None:
        """The last time of day the store knew at its start, for queue.schedule.QueueClock; None when new."""
        return self._last_seen_at

    async def chunks(self, path: str) -> AsyncIterator[bytes]:
        """A spooled body in pieces (ports.bodies.BodyFiles). path: absolute or as in SpooledBody.

        Raises WorldFault when it is damaged, before the last piece was given.
        """
        name = "/".join(Path(path).parts[-2:])
        row = next(self._rows(_BODY_OF_PATH, (name,)), None)
        if row is None:
            raise WorldFault("no mail has this body", path=name)
        mail_id, size_bytes, crc32 = row
        body = SpooledBody(name, size_bytes, crc32)
        pieces = read_pieces(self._files.path(body), body)
        while True:
            try:
                piece = await self._loop.run_in_executor(None, next, pieces, b"")
            except WorldFault as fault:
                self._damage_found(mail_id, fault.reason)
                raise
            if not piece:
                return
            yield piece

    async def pieces(self, body: SpooledBody) -> AsyncIterator[bytes]:
        """A body that no committed mail needs to have (ports.bodies.SpooledBodies). Raises WorldFault."""
        pieces = read_pieces(self._files.path(body), body)
        while piece := await self._loop.run_in_executor(None, next, pieces, b""):
            yield piece

    def purge(self, now: float, keep: Records) -> None:
        """Delete records and dossiers that are too old or too many, PURGE_ROWS a transaction until none is left.

        now: seconds since the epoch. Returns at once; a purge under way makes this one unnecessary.
        """
        if not self._purging:
            self._purging = True
            self._purge_some(now, keep)

    # -- what the groups tell -------------------------------------------------------------------

    def bodies_gone(self, paths: list[str]) -> None:
        """Delete the files, in a thread of the pool."""
        if self._closed or self._loop.is_closed():
            self._files.remove(paths)
        else:
            self._loop.run_in_executor(None, self._files.remove, paths)

    def write_failed(self, error: BaseException, fault: WorldFault) -> None:
        """Say so; a full disk gets the reserve, so that mail can leave."""
        self._failures += 1
        self._log.write("error", "store-failed", reason=fault.reason)
        if isinstance(error, apsw.CorruptError):
            self._pages_damaged()
            self._cannot_be_written = True
        if isinstance(error, apsw.FullError):
            gave = self._room.give_up_reserve()
            self._log.write("error", "disk-full", reserve_given_up=gave, free_bytes=self._room.free_bytes)

    def renewed(self) -> None:
        """Say so."""
        self._log.write("warning", "store-reopened")

    def refused(self, error: BaseException) -> None:
        """A bug of ours: it must be seen."""
        self._log.write("error", "store-refused-change", reason=str(error))

    # -- inside ---------------------------------------------------------------------------------

    def _recover(self, crash_limit: int) -> Recovered:
        """Before anything else: migrations, and after an unclean stop checks and blame."""
        refuse_emptied(self._path, was_unclean=self._lock.was_unclean)
        unclean = self._lock.was_unclean and self._path.exists()
        log_missing = (
            unclean and not self._lock.was_closed and not self._path.with_name("store.db-wal").exists()
        )
        if unclean and not self._lock.was_damaged:
            self._lock.mark_closed()  # we close the store on our way, and its log goes with that
        removed = self._files.prepare()
        problem = ("damaged pages were met" if self._lock.was_damaged else self._problem()) if unclean else ""
        if problem:
            self._salvage(problem)
        try:
            found = self._mend(crash_limit, unclean=unclean, salvaged=bool(problem))
        except _Damaged as damage:  # an orderly stop does not keep a disk from going bad
            self._salvage(str(damage))
            found = self._mend(crash_limit, unclean=True, salvaged=True)
        self._keeper = open_writer(self._path)  # with it there is a log again, as the mark says
        self._lock.mark_open()
        found = replace(
            found, was_unclean=unclean, orphan_bodies=found.orphan_bodies + removed, log_missing=log_missing
        )
        self._report(found)
        return found

    def _mend(self, crash_limit: int, *, unclean: bool, salvaged: bool) -> Recovered:
        """What one transaction brings in order. Raises _Damaged, WorldFault."""
        if unclean and (log := self._path.with_name("store.db-wal")).exists():
            # What the last owner wrote and was killed before it synced is believed from here on, and bodies are
            # removed because of it: a power cut must not take it back.
            sync_file(log)
        try:
            database = open_writer(self._path)
        except WorldFault as fault:
            if isinstance(fault.__cause__, apsw.CorruptError) and not salvaged:
                raise _Damaged(str(fault.__cause__)) from fault
            raise advised(fault) from fault
        try:
            migrate(database)
            database.execute("BEGIN IMMEDIATE")
            poisoned = blame(database, self.in_flight.left_over(), crash_limit)
            isolated = isolate_incomplete(database) if unclean else ()
            orphans, held = match_bodies(database, self._files, salvaged=salvaged)
            seen = database.execute("SELECT value FROM note WHERE name = 'last-seen-at'").fetchone()
            database.execute(GREATEST_MAIL_ID).fetchall()  # so that what follows the start can be read, too
            database.execute("COMMIT")
        except apsw.CorruptError as error:
            if salvaged:
                raise WorldFault(f"{self._path} cannot be recovered: {error}: {ADVICE}") from error
            raise _Damaged(str(error)) from error
        except apsw.Error as error:
            raise WorldFault(f"{self._path} cannot be recovered: {error}", file=str(self._path)) from error
        finally:
            database.close()
        self._last_seen_at = None if seen is None else float(str(seen[0]))
        return Recovered(poisoned=poisoned, isolated=tuple(sorted({*isolated, *held})), orphan_bodies=orphans)

    def _salvage(self, problem: str) -> None:
        self._log.write("error", "store-damaged", file=str(self._path), problem=problem)
        rows = salvage(self._path)
        self._log.write("warning", "store-salvaged", rows=rows, old=f"{self._path}.damaged")

    def _problem(self) -> str:
        """What the check of the queue's tables finds. Raises WorldFault for what is no database."""
        try:
            database = open_writer(self._path)
        except WorldFault as fault:
            if isinstance(fault.__cause__, apsw.CorruptError):
                return str(fault.__cause__)
            raise advised(fault) from fault
        try:
            migrate(database)
            return quick_check(database)
        except apsw.CorruptError as error:
            return str(error)
        finally:
            database.close()

    def _report(self, found: Recovered) -> None:
        if found.was_unclean:
            self._log.write("warning", "store-recovered", orphan_bodies=found.orphan_bodies)
        if found.log_missing:
            self._log.write("error", "store-log-missing", file=f"{self._path}-wal")
        for mail_id in found.poisoned:
            self._log.write("error", "mail-poisoned", mail_id=mail_id_text(mail_id))
        for mail_id in found.isolated:
            self._log.write("error", "mail-damaged", mail_id=mail_id_text(mail_id))

    def _damage_found(self, mail_id: int, reason: str) -> None:
        """Hold the mail where a person sees it, once."""
        if mail_id in self._put_aside or len(self._put_aside) >= _PUT_ASIDE_LIMIT:
            return
        self._put_aside.add(mail_id)
        self._log.write("error", "mail-damaged", mail_id=mail_id_text(mail_id), reason=reason)

        def hold(database: apsw.Connection) -> None:
            put_aside(database, mail_id, reason)

        self._groups.ask((), None, hold)

    def _pages_damaged(self) -> None:
        """The file itself is damaged: other mail goes on as far as it can; a restart salvages."""
        if self._lock.is_damaged:
            return
        self._log.write("error", "store-damaged", file=str(self._path), advice="restart to salvage it")
        with contextlib.suppress(OSError):  # the check at the next start may find it as well
            self._lock.mark_damaged()

    def _body_failed(self, fault: WorldFault) -> None:
        """Called from a thread of the pool."""
        self._loop.call_soon_threadsafe(self._body_failure, fault)

    def _body_failure(self, fault: WorldFault) -> None:
        self._log.write("error", "body-failed", reason=fault.reason)
        self._room.note_failure(fault)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(SAMPLE_INTERVAL_S, self._tick)
        self._sample()
        if self._clock.monotonic() >= self._note_at_s:
            self._note_at_s = self._clock.monotonic() + NOTE_INTERVAL_S
            self._groups.ask((), None, self._write_note)
            self._groups.checkpoint_if_idle()

    def _sample(self) -> None:
        before = self._room.why_low
        self._room.sample()
        if self._room.why_low != before and bool(self._room.why_low) != bool(before):
            level = "error" if self._room.why_low else "warning"
            self._log.write(level, "disk", reason=self._room.why_low, free_bytes=self._room.free_bytes)

    def _write_note(self, database: apsw.Connection) -> None:
        """What a next start wants to know: how late it was, and which ids are used."""
        for name, value in (("last-seen-at", self._clock.now()), ("last-mail-id", self._last_mail_id)):
            database.execute("INSERT OR REPLACE INTO note (name, value) VALUES (?, ?)", (name, value))

    def _purge_some(self, now: float, keep: Records) -> None:
        if self._closed:
            return
        if self._groups.phase is not Phase.IDLE:  # mail first
            self._loop.call_later(PURGE_PAUSE_S, self._purge_some, now, keep)
            return

        def delete(database: apsw.Connection) -> None:
            is_behind = self._kept.measure(database, now)
            ages = (keep.tracking_age_s, keep.agent_log_age_s, keep.dossier_age_s)
            self._cut_at = max(self._cut_at, self._cut(keep, now - max(ages)))
            rows = 0
            for kind, age_s in zip(("track", "agent"), ages, strict=False):
                old = record_number(kind, 0.0), record_number(kind, max(now - age_s, self._cut_at))
                database.execute(_PURGE_RECORDS, (*old, PURGE_ROWS))
                rows += database.changes()
            before_at = max(now - keep.dossier_age_s, self._cut_at)
            database.execute(_PURGE_DOSSIERS, (int(before_at * 1000) << 20, PURGE_ROWS))
            rows += database.changes()
            self._purging = rows > 0 or is_behind
            if self._purging:
                self._loop.call_later(PURGE_PAUSE_S, self._purge_some, now, keep)

        self._groups.ask((), None, delete)

    def _cut(self, keep: Records, oldest_at: float) -> float:
        """Before which time everything goes because there is too much of it."""
        octets = self._kept.octets
        cut_at = self._kept.cut_at(keep.size_bytes, oldest_at)
        if cut_at:
            self._log.write(
                "warning",
                "records-cut",
                limit="records.size",
                value=keep.size_bytes,
                actual=octets,
                kept_from=datetime.datetime.fromtimestamp(cut_at, tz=datetime.UTC).isoformat(),
            )
        return cut_at


class _Damaged(Exception):
    """The file is a store and pages of it are not: it can be salvaged."""


def _log_limit_bytes(queue: Queue) -> int:
    """The reserve must hold what a checkpoint may add to the database of a full disk, and then some (O06)."""
    return min(CHECKPOINT_BYTES, queue.reserve_bytes // 2) if queue.reserve_bytes else CHECKPOINT_BYTES


_PUT_ASIDE_LIMIT: Final = 100_000
_BODY_OF_PATH: Final = "SELECT mail_id, body_size_bytes, body_crc32 FROM content WHERE path = ?"
_PURGE_RECORDS: Final = (
    "DELETE FROM record WHERE number IN "
    "(SELECT number FROM record WHERE number >= ? AND number < ? ORDER BY number LIMIT ?)"
)
_PURGE_DOSSIERS: Final = (
    "DELETE FROM dossier WHERE mail_id IN (SELECT mail_id FROM dossier WHERE mail_id < ? LIMIT ?)"
)


def open_store(
    directory: Path | str,
    queue: Queue,
    clock: Clock,
    log: Log,
    *,
    loop: asyncio.AbstractEventLoop,
    settled: Settled,
    allow_volatile: bool = False,
    groups: Callable[..., CommitGroups] = CommitGroups,
) -> SqliteStore:
    """Open (and make, and mend) the store of one worker; it belongs to this process until it is closed.

    settled: queue.states.settled. allow_volatile: for tests on tmpfs. groups: what commits; the
    simulation has one without a thread.
    Raises WorldFault when the place is not safe for mail, belongs to somebody else, is of a newer
    gatepost, or is damaged beyond what can be isolated.
    """
    place = Path(directory)
    try:
        make_directory(place)
        refuse_unsafe(place, allow_volatile=allow_volatile)
        lock = StoreLock(place / "lock")
    except OSError as error:
        raise WorldFault(f"{error.filename or place} cannot be used: {error.strerror}") from error
    # The store's thread needs the interpreter's lock for a moment after each sync. A busy event
    # loop gives it up only when asked, after this interval, and never within shorter turns: with
    # the usual 5 ms a commit beside a busy loop took 300 ms, with 20 microseconds 2 ms.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        return SqliteStore(place, queue, clock, log, loop, settled, lock=lock, groups=groups)
    except OSError as error:
        lock.release(clean=False)
        raise WorldFault(f"{error.filename or place} cannot be used: {error.strerror}") from error
    except WorldFault:
        lock.release(clean=False)
        raise
