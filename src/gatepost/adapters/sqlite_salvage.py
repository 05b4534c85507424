"""A store whose pages are damaged: every row that can still be read is carried into a new file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from gatepost.adapters.bodies import sync_directory
from gatepost.adapters.sqlite_schema import migrate, open_writer
from gatepost.model.fault import WorldFault

Row = tuple[Any, ...]

_KEYS: Final = {
    "mail": ("mail_id",),
    "recipient": ("mail_id", "number"),
    "content": ("mail_id",),
    "dossier": ("mail_id",),
    "record": ("number",),
    "note": ("name",),
}
_OF_MAIL: Final = ("mail", "recipient", "content")


def salvage(path: Path) -> int:
    """Replace a damaged store by what can be read of it; how many rows that is.

    The old file stays beside it as store.db.damaged. What is missing of a mail is found by the
    start that follows (sqlite_recovery). Killed anywhere, the next start begins again: the new
    file takes the old one's name in one step. Raises WorldFault when nothing can be read.
    """
    fresh, aside = path.with_name("store.db.new"), path.with_name("store.db.damaged")
    try:
        for left in (fresh, fresh.with_name("store.db.new-wal"), fresh.with_name("store.db.new-shm"), aside):
            left.unlink(missing_ok=True)
        rows = _carry_over(path, fresh)
        for left in (path.with_name("store.db-wal"), path.with_name("store.db-shm")):
            left.unlink(missing_ok=True)  # empty now; a reader may have kept them, and they fit no other file
        os.link(path, aside)
        os.replace(fresh, path)
        sync_directory(path.parent)
    except (apsw.Error, OSError) as error:
        raise WorldFault(f"{path} is damaged and nothing could be salvaged: {error}") from error
    return rows


def _carry_over(path: Path, fresh: Path) -> int:
    damaged = open_writer(path)
    try:
        # Everything out of the log, so that the file alone is the store.
        damaged.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        target = open_writer(fresh)
        try:
            migrate(target)
            target.execute("BEGIN IMMEDIATE")
            carried = sum(_carry_table(damaged, target, table) for table in _KEYS)
            target.execute("COMMIT")
            target.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            target.close()
    finally:
        damaged.close()
    return carried


def _carry_table(damaged: apsw.Connection, target: apsw.Connection, table: str) -> int:
    """From both ends up to the damage; then mail by mail, for the ids that other tables know."""
    columns = [str(row[1]) for row in target.execute(f"PRAGMA table_info({table})")]
    put = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - our names
    pick = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - our names
    before = target.total_changes()
    for order in ("ASC", "DESC"):
        by = ", ".join(f"{key} {order}" for key in _KEYS[table])
        for row in _readable(damaged, f"{pick} NOT INDEXED ORDER BY {by}", ()):
            target.execute(put, row)
    if table in _OF_MAIL:
        for mail_id in sorted(_known_ids(damaged)):
            for row in _readable(damaged, f"{pick} WHERE mail_id = ?", (mail_id,)):
                target.execute(put, row)
    return target.total_changes() - before


def _known_ids(damaged: apsw.Connection) -> set[int]:
    found: set[int] = set()
    for table in _OF_MAIL:
        for order in ("ASC", "DESC"):
            sql = f"SELECT mail_id FROM {table} ORDER BY mail_id {order}"  # noqa: S608 - our names
            # A damaged page may hold anything in the place of an id.
            found.update(row[0] for row in _readable(damaged, sql, ()) if isinstance(row[0], int))
    return found


def _readable(damaged: apsw.Connection, sql: str, values: Sequence[Any]) -> Iterator[Row]:
    """Rows up to the first that cannot be read."""
    try:
        yield from damaged.execute(sql, values)
    except (apsw.CorruptError, apsw.IOError):
        return
