"""A store whose pages are damaged: every row that can still be read is carried into a new file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from gatepost.adapters.bodies import BodyDirectory, sync_directory
from gatepost.adapters.sqlite_schema import migrate, open_writer
from gatepost.model.fault import WorldFault

Row = tuple[Any, ...]

ADVICE: Final = (
    "put a backup in its place, or move the worker's directory away to begin with an empty queue "
    "(docs/queue.md)"
)

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
    file takes the old one's name in one step. Raises WorldFault when nothing can be read: the old
    file is left as it is then.
    """
    fresh, aside = path.with_name("store.db.new"), path.with_name("store.db.damaged")
    try:
        for left in (fresh, fresh.with_name("store.db.new-wal"), fresh.with_name("store.db.new-shm")):
            left.unlink(missing_ok=True)
        rows = _carry_over(path, fresh)
        if not rows:
            raise WorldFault(f"{path} is damaged and nothing in it can be read: {ADVICE}", file=str(path))
        for left in (path.with_name("store.db-wal"), path.with_name("store.db-shm"), aside):
            left.unlink(missing_ok=True)  # empty now; a reader may have kept them, and they fit no other file
        os.link(path, aside)
        os.replace(fresh, path)
        sync_directory(path.parent)
    except (apsw.Error, OSError) as error:
        raise WorldFault(
            f"{path} is damaged and nothing could be salvaged: {error}: {ADVICE}", file=str(path)
        ) from error
    return rows


def refuse_emptied(path: Path, *, was_unclean: bool) -> None:
    """A name without octets where a store was. To begin anew would forget its mail and sweep away its bodies.

    A first start that was killed before it wrote anything leaves such a file, too: then nothing else is
    there. Raises WorldFault, OSError.
    """
    if not path.exists() or path.stat().st_size:
        return
    beside = (path.with_name("reserve"), path.with_name("store.db-wal"))
    has_more = was_unclean or any(one.exists() and one.stat().st_size for one in beside)
    if has_more or any(BodyDirectory(path.with_name("bodies")).everything()):
        raise WorldFault(f"{path} is empty, and a store was here: {ADVICE}", file=str(path))


def advised(fault: WorldFault) -> WorldFault:
    """With what can be done about a file that SQLite does not know."""
    if isinstance(fault.__cause__, apsw.NotADBError):
        return WorldFault(f"{fault.reason}: {ADVICE}", fault.reply, **fault.facts)
    return fault


def _carry_over(path: Path, fresh: Path) -> int:
    damaged = _open_damaged(path)
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


def _open_damaged(path: Path) -> apsw.Connection:
    """As a store; one that is shorter than it says SQLite opens only for whoever says that it knows."""
    try:
        return open_writer(path)
    except WorldFault as fault:
        if not isinstance(fault.__cause__, apsw.CorruptError):
            raise advised(fault) from fault
    database = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE)
    database.execute("PRAGMA writable_schema = ON")
    return database


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
    except (apsw.CorruptError, apsw.IOError, apsw.SQLError):  # SQLError: the table is in no schema any more
        return
