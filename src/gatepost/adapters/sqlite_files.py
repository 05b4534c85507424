"""Files of SQLite that several processes share: made for whoever has the directory, set aside when damaged."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from gatepost.adapters.sqlite_schema import migrate
from gatepost.model.fault import WorldFault


class DamagedFile(WorldFault):
    """The file is no database, or no longer a sound one."""


def set_aside(path: Path, inode: int, *, now: float) -> Path | None:
    """Give a damaged file another name, with what belongs to it; None when another process did already.

    inode: of the file that was found damaged. Raises OSError.
    """
    with open(path.with_suffix(".lock"), "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if inode and path.stat().st_ino != inode:
                return None
        except FileNotFoundError:
            return None
        aside = path.with_name(f"{path.name}.damaged-{int(now)}")
        for ending in ("-wal", "-shm", ""):  # the log first: a new file must never meet it
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{ending}", f"{aside}{ending}")
        return aside


def make(path: Path) -> None:
    """An empty file (0600) of whoever has the directory, so that root's command line keeps nobody out."""
    if path.exists():
        return
    for place in (path.parent, path):
        if place is path:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        else:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            owner = place.parent.stat()
            os.chown(place, owner.st_uid, owner.st_gid)


def set_up(
    database: apsw.Connection,
    *,
    application_id: int,
    migrations: Sequence[Sequence[str]],
    busy_ms: int,
    checkpoint_pages: int,
    what: str,
) -> None:
    """Make it ready, or brand-new. what: "a file of ..." for whoever gives another. Raises what SQLite does."""
    database.set_busy_timeout(busy_ms)
    fresh = database.pragma("user_version") == 0 and database.pragma("application_id") == 0
    if not fresh and database.pragma("application_id") != application_id:
        raise DamagedFile(f"it is not {what}")
    if fresh:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}").fetchall()
    _prepare(database, application_id, migrations)


def _prepare(database: apsw.Connection, application_id: int, migrations: Sequence[Sequence[str]]) -> None:
    """Two processes may find a new file at the same moment: one makes the tables."""
    if database.pragma("user_version") == len(migrations):
        return
    database.execute("BEGIN IMMEDIATE")
    database.execute(f"PRAGMA application_id = {application_id}")
    database.execute("COMMIT")
    try:
        migrate(database, migrations)
    except apsw.SQLError:
        if database.pragma("user_version") != len(migrations):
            raise


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Whatever SQLite or the disk says as a fault of ours. Raises DamagedFile or WorldFault."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error
    except (apsw.Error, OSError) as error:
        raise WorldFault(f"{path} cannot be used: {error}") from error
