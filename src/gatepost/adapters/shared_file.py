"""The file of the shared state: its tables, and one exchange of what we wrote against what others wrote."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from gatepost.adapters.sqlite_files import DamagedFile, make, set_up, told
from gatepost.model.fading import Fading
from gatepost.ports.memory_shared import Kept, summed

APPLICATION_ID: Final = 0x47615332  # "GaS2"
BUSY_MS: Final = 2000
GRAVE_AGE_S: Final = 60.0
"""How long a removal is kept for the others to see; who was away longer reads everything again."""
_CHECKPOINT_PAGES: Final = 256

# Each entry brings the file one version up, in one transaction: never change one that was released.
# value and counts NULL: removed. counts: 64-bit floats, little-endian.
MIGRATIONS: Final[Sequence[Sequence[str]]] = (
    (
        """CREATE TABLE entry (
            space TEXT NOT NULL,
            key TEXT NOT NULL,
            change INTEGER NOT NULL,
            expires_at REAL NOT NULL,
            value BLOB,
            counts BLOB,
            counted_at REAL NOT NULL,
            PRIMARY KEY (space, key)) WITHOUT ROWID""",
        "CREATE INDEX entry_change ON entry (change)",
        "CREATE INDEX entry_expiry ON entry (space, expires_at)",
        "CREATE TABLE note (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO note VALUES ('change', 0), ('buried', 0)",
    ),
)

_CHANGED: Final = (
    "SELECT space, key, change, expires_at, value, counts, counted_at FROM entry "
    "WHERE change > ? ORDER BY change"
)
_ONE: Final = "SELECT expires_at, value, counts, counted_at FROM entry WHERE space = ? AND key = ?"
_PUT: Final = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)"

Place = tuple[str, str]
"""Space and key."""


class Write(NamedTuple):
    """What is to be written under a key."""

    kept: Kept
    fading: Fading | None = None
    """Counts, to be added to those in the file; None: it takes the place of what is there."""
    only_if_new: bool = False
    """What is in the file is better."""


class Exchange(NamedTuple):
    """What is now true, as far as it was not known before."""

    changed: dict[Place, Kept]
    whole: bool
    """Everything there is, not only what changed."""


class SharedFile:
    """One connection, used by one thread. Raises DamagedFile or WorldFault, from every method."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = -1
        with told(path):
            make(path)
            self._database = apsw.Connection(str(path), statementcachesize=32)
        try:
            with told(path):
                set_up(
                    self._database,
                    application_id=APPLICATION_ID,
                    migrations=MIGRATIONS,
                    busy_ms=BUSY_MS,
                    checkpoint_pages=_CHECKPOINT_PAGES,
                    what="a file of shared state",
                )
                self.inode = path.stat().st_ino
        except BaseException:
            self._database.close()
            raise
        self._version: object = None
        """data_version after the last exchange: another one means that somebody else wrote."""

    def exchange(self, writes: Mapping[Place, Write], *, now: float, limits: Mapping[str, int]) -> Exchange:
        """Read what others wrote, then write ours, in one transaction. limits: of the spaces to be pruned."""
        with told(self.path):
            if not writes and not limits and self._version == self._database.pragma("data_version"):
                return Exchange({}, whole=False)
            self._database.execute("BEGIN IMMEDIATE" if writes or limits else "BEGIN")
            try:
                found = self._read()
                change = self._note("change")
                for place, write in writes.items():
                    change += 1
                    found.changed[place] = self._write(place, write, change)
                for space, limit in limits.items():
                    change = self._prune(space, limit, now=now, change=change, found=found)
                if limits:
                    self._bury(now)
                if writes or limits:
                    self._database.execute("UPDATE note SET value = ? WHERE name = 'change'", (change,))
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
            self._seen = change
            self._version = self._database.pragma("data_version")
            return found

    def is_replaced(self) -> bool:
        """Somebody put another file in its place, or took it away."""
        try:
            return self.path.stat().st_ino != self.inode
        except OSError:
            return True

    def close(self) -> None:
        """Whatever state it is in."""
        with contextlib.suppress(apsw.Error):
            self._database.close()

    def _read(self) -> Exchange:
        whole = self._seen < self._note("buried") or self._seen < 0
        rows = self._database.execute(_CHANGED, (-1 if whole else self._seen,))
        changed = {}
        for space, key, _, expires_at, value, counts, counted_at in rows:
            changed[str(space), str(key)] = _kept(expires_at, value, counts, counted_at)
        return Exchange(changed, whole)

    def _write(self, place: Place, write: Write, change: int) -> Kept:
        kept = write.kept
        if write.fading is not None or write.only_if_new:
            row = self._database.execute(_ONE, place).fetchone()
            if row and write.only_if_new:
                return _kept(*row)
            kept = kept if write.fading is None else summed(_kept(*row) if row else None, kept, write.fading)
        packed = None if kept.counts is None else struct.pack(f"<{len(kept.counts)}d", *kept.counts)
        self._database.execute(_PUT, (*place, change, kept.expires_at, kept.value, packed, kept.counted_at))
        return kept

    def _prune(self, space: str, limit: int, *, now: float, change: int, found: Exchange) -> int:
        """Removals like any other, so that the others see them."""
        alive = "value IS NOT NULL OR counts IS NOT NULL"
        keys = [
            str(row[0])
            for row in self._database.execute(
                f"SELECT key FROM entry WHERE space = ? AND expires_at <= ? AND ({alive})",  # noqa: S608  # ours
                (space, now),
            )
        ]
        total = self._database.execute(
            f"SELECT count(*) FROM entry WHERE space = ? AND expires_at > ? AND ({alive})",  # noqa: S608  # ours
            (space, now),
        ).fetchone()
        surplus = int(str(total[0])) - limit if total else 0
        if surplus > 0:
            keys += [
                str(row[0])
                for row in self._database.execute(
                    f"SELECT key FROM entry WHERE space = ? AND expires_at > ? AND ({alive}) "  # noqa: S608  # ours
                    "ORDER BY expires_at LIMIT ?",
                    (space, now, surplus),
                )
            ]
        for key in keys:
            change += 1
            found.changed[space, key] = self._write((space, key), Write(Kept(now)), change)
        return change

    def _bury(self, now: float) -> None:
        """Forget old removals: who has not seen them by now reads everything again."""
        where = "value IS NULL AND counts IS NULL AND expires_at < ?"
        last = self._database.execute(f"SELECT max(change) FROM entry WHERE {where}", (now - GRAVE_AGE_S,))  # noqa: S608  # ours
        row = last.fetchone()
        if row is None or row[0] is None:
            return
        self._database.execute(f"DELETE FROM entry WHERE {where}", (now - GRAVE_AGE_S,))  # noqa: S608  # ours
        self._database.execute("UPDATE note SET value = max(value, ?) WHERE name = 'buried'", (row[0],))

    def _note(self, name: str) -> int:
        row = self._database.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        if row is None or not isinstance(row[0], int):
            raise DamagedFile(f"{self.path} lacks its note {name}")
        return row[0]


def _kept(expires_at: object, value: object, counts: object, counted_at: object) -> Kept:
    if not isinstance(expires_at, float | int) or not isinstance(counted_at, float | int):
        raise DamagedFile("an entry's times are no numbers")
    numbers = None
    if isinstance(counts, bytes):
        if not counts or len(counts) % 8:
            raise DamagedFile("an entry's counts are no numbers")
        numbers = struct.unpack(f"<{len(counts) // 8}d", counts)
    return Kept(float(expires_at), value if isinstance(value, bytes) else None, numbers, float(counted_at))
