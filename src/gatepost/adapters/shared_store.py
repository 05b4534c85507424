"""The state all workers share: answered from memory, exchanged with a file by one thread (ports.shared)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from gatepost.adapters.shared_file import Place, SharedFile, Write
from gatepost.adapters.sqlite_files import DamagedFile, set_aside
from gatepost.model.fading import Fading
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Log
from gatepost.ports.memory_shared import (
    Kept,
    MemoryShared,
    checked_counts,
    checked_value,
    key_of,
    summed,
)
from gatepost.ports.shared import SharedItem, Told

EXCHANGE_S: Final = 0.25
PRUNE_S: Final = 30.0
REOPEN_S: Final = 10.0
"""How long a file that cannot be used is left alone."""
WAITING_LIMIT: Final = 600_000
"""Writes that wait for a file that cannot be used; later ones stay in memory only."""
CLOSE_PATIENCE_S: Final = 5.0


class SharedStore:
    """Keeps the promises of ports.shared.SharedState. path: the file. now: seconds since the epoch.

    A file that is damaged is set aside and a new one begun; with one that cannot be used, the process goes
    on from memory. Either is logged once; `problem` says what is wrong now.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float],
        log: Log,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        self._path = path
        self._now = now
        self._log = log
        self._memory = MemoryShared(now, limits=limits)
        self._waiting: dict[Place, Write] = {}
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._rounds = 0
        self._wanted = 0
        self._closing = False
        self._file: SharedFile | None = None
        self._had_file = False
        self._refill = False
        """A file that was there is gone: what we know of it goes into the new one."""
        self._prune_at = 0.0
        self._reopen_at = 0.0
        self.problem = ""
        """Why others do not see what this process does, nor it what they do; "" when they do."""
        self.exchange()  # before anybody asks: what was known is known
        self._thread: threading.Thread | None = None
        self.begin_thread()

    def get(self, space: str, key: str) -> bytes | None:
        """As SharedState."""
        return self._memory.get(space, key)

    def put(self, space: str, key: str, value: bytes, *, expires_at: float) -> None:
        """As SharedState."""
        kept = Kept(expires_at, checked_value(value))
        self._keep((space, key_of(key)), Write(kept))

    def remove(self, space: str, key: str) -> None:
        """As SharedState."""
        place = (space, key_of(key))
        with self._lock:
            self._memory.remove(*place)
            self._queue(place, Write(Kept(self._now())))

    def add(
        self,
        space: str,
        key: str,
        amounts: tuple[float, ...],
        *,
        fading: Fading,
        now: float,
        expires_at: float,
    ) -> None:
        """As SharedState."""
        added = checked_counts(amounts, fading=fading, now=now, expires_at=expires_at)
        self._keep((space, key_of(key)), Write(added, fading))

    def counts(self, space: str, key: str, *, fading: Fading, now: float) -> tuple[float, ...] | None:
        """As SharedState."""
        return self._memory.counts(space, key, fading=fading, now=now)

    def watch(self, space: str, told: Told) -> None:
        """As SharedState."""
        with self._lock:
            self._memory.watch(space, told)

    def items(self, space: str) -> Sequence[SharedItem]:
        """As SharedState."""
        return self._memory.items(space)

    def flush(self, timeout_s: float = CLOSE_PATIENCE_S) -> str:
        """Wait until everything so far is on disk and what others wrote is read; why not, "" when it is."""
        with self._wake:
            self._wanted = wanted = self._rounds + 2  # the round that runs may have taken its writes before
            self._reopen_at = 0.0
            self._wake.notify_all()
            if not self._wake.wait_for(lambda: self._rounds >= wanted, timeout_s):
                return f"{self._path} did not answer within {timeout_s:g} s"
            return self.problem

    def close(self) -> None:
        """Write what waits (for CLOSE_PATIENCE_S at most), then stop."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=CLOSE_PATIENCE_S)

    def begin_thread(self) -> None:
        """Who exchanges with the file from now on."""
        self._thread = threading.Thread(target=self._run, name="shared-state", daemon=True)
        self._thread.start()

    def _keep(self, place: Place, write: Write) -> None:
        space, key = place
        with self._lock:
            kept = write.kept
            if write.fading is not None:
                before = self._memory.spaces.get(space, {}).get(key)
                if before is not None and before.expires_at <= self._now():
                    self._queue(place, Write(kept))  # what expired is not added to
                    self._memory.hold(space, key, kept)
                    return
                kept = summed(before, kept, write.fading)
            self._memory.hold(space, key, kept)
            self._queue(place, write)

    def _queue(self, place: Place, write: Write) -> None:
        """With the lock."""
        before = self._waiting.get(place)
        if before is not None:
            write = _after(before, write)
        elif len(self._waiting) >= WAITING_LIMIT:
            return
        self._waiting[place] = write

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._closing and self._rounds >= self._wanted:
                    self._wake.wait(EXCHANGE_S)
                closing = self._closing
            try:
                self.exchange()
            except Exception as error:  # noqa: BLE001  # the edge of a thread: it must live, and say what happened
                self._log.write("error", "bug", place="shared-state", error=repr(error))
            with self._wake:
                self._rounds += 1
                self._wake.notify_all()
            if closing:
                self.let_go()
                return

    def let_go(self) -> None:
        """Of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def exchange(self) -> None:
        """One round. Whatever is wrong with the file, what waits keeps waiting."""
        now = self._now()
        if self._file is not None and self._file.is_replaced():
            self._file.close()
            self._file = None
        if self._file is None and not self._open(now):
            for space in self._to_prune(now):
                with self._lock:
                    self._memory.prune(space)
            return
        assert self._file is not None
        limits = self._to_prune(now)
        with self._lock:
            batch, self._waiting = self._waiting, {}
            if self._refill:
                batch = {**self._everything(), **batch}
        try:
            found = self._file.exchange(batch, now=now, limits=limits)
        except WorldFault as fault:
            self._take_back(batch)
            self._fail(fault, now)
            return
        self._refill, self._had_file = False, True
        self._take_in(found.changed, whole=found.whole)
        self._recover()

    def _to_prune(self, now: float) -> dict[str, int]:
        """Spaces and their bounds: all of them now and then, those that are over at once."""
        spaces = list(self._memory.spaces)
        if 0 <= self._prune_at - now <= PRUNE_S:
            spaces = [space for space in spaces if self._memory.is_over(space)]
        else:
            self._prune_at = now + PRUNE_S
        return {space: self._memory.limit_of(space) for space in spaces}

    def _everything(self) -> dict[Place, Write]:
        return {
            (space, key): Write(kept, only_if_new=True)
            for space, entries in self._memory.spaces.items()
            for key, kept in entries.items()
        }

    def _take_in(self, changed: Mapping[Place, Kept], *, whole: bool) -> None:
        """What the file says, with what has been written meanwhile on top."""
        with self._lock:
            if whole:
                for space, entries in self._memory.spaces.items():
                    for key in [key for key in entries if (space, key) not in changed]:
                        if (space, key) not in self._waiting:
                            self._memory.drop(space, key)
            for (space, key), kept in changed.items():
                later = self._waiting.get((space, key))
                true = kept if later is None else _after(Write(kept), later).kept
                if true.value is None and true.counts is None:
                    self._memory.drop(space, key)
                else:
                    self._memory.hold(space, key, true)

    def _take_back(self, batch: dict[Place, Write]) -> None:
        with self._lock:
            for place, later in self._waiting.items():
                if place in batch or len(batch) < WAITING_LIMIT:
                    batch[place] = _after(batch[place], later) if place in batch else later
            self._waiting = batch

    def _open(self, now: float) -> bool:
        if now < self._reopen_at <= now + REOPEN_S:
            return False
        try:
            self._file = SharedFile(self._path)
            self._refill = self._had_file
        except WorldFault as fault:
            self._fail(fault, now)
        return self._file is not None

    def _fail(self, fault: WorldFault, now: float) -> None:
        if isinstance(fault, DamagedFile):
            inode = self._file.inode if self._file is not None else 0
            if self._file is not None:
                self._file.close()
                self._file = None
            try:
                if aside := set_aside(self._path, inode, now=now):
                    self._log.write("error", "shared-state-damaged", reason=fault.reason, kept_as=str(aside))
                return
            except OSError as error:
                fault = WorldFault(f"{fault.reason}; it cannot be set aside: {error.strerror}")
        self._reopen_at = now + REOPEN_S if self._file is None else 0.0
        if not self.problem:
            self._log.write("error", "shared-state-unavailable", reason=fault.reason)
        self.problem = fault.reason

    def _recover(self) -> None:
        if self.problem:
            self._log.write("info", "shared-state-available", file=str(self._path))
        self.problem = ""


def _after(before: Write, later: Write) -> Write:
    """Two writes under one key as one."""
    if later.fading is None:
        return later
    both = summed(before.kept, later.kept, later.fading, are_both_added=before.fading is not None)
    return Write(both, later.fading if before.fading is not None else None)
