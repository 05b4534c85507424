"""The tables of a store, as numbered migrations; and a connection that keeps the promise of durability."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from gatepost.model.fault import WorldFault

APPLICATION_ID: Final = 0x47615031  # "GaP1"
PAGE_BYTES: Final = 4096
BUSY_MS: Final = 200

# The states that mail is seldom in (sqlite_rows.STATE_CODES): unreachable, poison, quarantined, dead. Waiting mail and
# mail of a suspended next hop, of which there may be a million, costs nothing.
HELD: Final = "state > 3 AND state < 8"

# Each entry brings the store one version up, in one transaction: never change one that was released.
# State numbers are in sqlite_rows.STATE_CODES; below 3 is what waits for an attempt.
# A record's number is its kind and its time (sqlite_rows.record_number), so time needs no index.
MIGRATIONS: Final[Sequence[Sequence[str]]] = (
    (
        """CREATE TABLE mail (
            mail_id INTEGER PRIMARY KEY,
            received_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            size_bytes INTEGER NOT NULL,
            crashes INTEGER NOT NULL DEFAULT 0,
            source TEXT NOT NULL,
            client_ip TEXT NOT NULL,
            sender TEXT NOT NULL,
            rest BLOB NOT NULL)""",
        """CREATE TABLE recipient (
            mail_id INTEGER NOT NULL,
            number INTEGER NOT NULL,
            state INTEGER NOT NULL,
            due_at REAL NOT NULL,
            attempts INTEGER NOT NULL,
            next_hop TEXT NOT NULL,
            address TEXT NOT NULL,
            options BLOB,
            last_reply TEXT NOT NULL,
            PRIMARY KEY (mail_id, number)) WITHOUT ROWID""",
        "CREATE INDEX recipient_due ON recipient (due_at, mail_id, number) WHERE state < 3",
        """CREATE TABLE content (
            mail_id INTEGER PRIMARY KEY,
            crc32 INTEGER NOT NULL,
            form BLOB NOT NULL,
            path TEXT,
            body_size_bytes INTEGER,
            body_crc32 INTEGER,
            head BLOB NOT NULL,
            body BLOB)""",
        "CREATE INDEX content_path ON content (path) WHERE path IS NOT NULL",
        """CREATE TABLE record (
            number INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            at REAL NOT NULL,
            event TEXT NOT NULL,
            mail_id INTEGER NOT NULL,
            sender TEXT NOT NULL,
            recipients TEXT NOT NULL,
            message_id TEXT NOT NULL,
            data BLOB NOT NULL)""",
        "CREATE INDEX record_mail ON record (mail_id)",
        "CREATE TABLE dossier (mail_id INTEGER PRIMARY KEY, at REAL NOT NULL, data BLOB NOT NULL)",
        "CREATE TABLE note (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    ),
    # The last value of mail.rest is the priority: no table changes, but an older gatepost could not read it.
    (),
    # What every start and every hour asks for (mail without a way out, dead letters), beside a queue of any length.
    (f"CREATE INDEX recipient_held ON recipient (state, mail_id) WHERE {HELD}",),
)
SCHEMA_VERSION: Final = len(MIGRATIONS)


def open_writer(path: Path, *, vfs: str = "") -> apsw.Connection:
    """The connection that writes. Raises WorldFault when the file is not a store of ours or not durable.

    WAL with synchronous=FULL: a transaction is on stable storage when COMMIT returns.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    try:
        database = apsw.Connection(str(path), flags, vfs=vfs or None, statementcachesize=64)
        _set_up(database, exclusive=bool(vfs))
        return database
    except apsw.Error as error:
        raise WorldFault(f"{path} cannot be opened: {error}", file=str(path)) from error


def open_for_reading(path: Path) -> apsw.Connection:
    """A connection that cannot write; works beside the worker. Raises WorldFault."""
    try:
        return _reading(path, str(path), 0)
    except apsw.CantOpenError as error:
        if why := _why_closed(path):
            raise WorldFault(f"{path} cannot be read: {why}") from error
        if not _is_all(path):
            raise WorldFault(f"{path} cannot be read: its directory cannot be written: {error}") from error
        # A file system that became read-only: nobody changes the file, and all of it is there.
        return _reading(path, f"{path.absolute().as_uri()}?immutable=1", apsw.SQLITE_OPEN_URI)
    except apsw.Error as error:
        raise WorldFault(f"{path} cannot be read: {error}", file=str(path)) from error


def _reading(path: Path, name: str, flags: int) -> apsw.Connection:
    database = apsw.Connection(name, apsw.SQLITE_OPEN_READONLY | flags, statementcachesize=64)
    database.set_busy_timeout(BUSY_MS)
    _refuse_foreign(database, path)
    return database


def _why_closed(path: Path) -> str:
    """What the system says of reading the file; "" when it can be read."""
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _is_all(path: Path) -> bool:
    """Whether nothing of the store is in its log only."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size == 0
    except FileNotFoundError:
        return True
    except OSError:
        return False


def migrate(database: apsw.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> int:
    """Bring the store to the newest version; returns the version it had.

    Each migration is one transaction with its number: killed anywhere, the next start goes
    on from the last whole one (O14). Raises WorldFault for a store of a newer gatepost.
    """
    found = _number(database, "user_version")
    if found > len(migrations):
        raise WorldFault(f"the store has version {found}, this gatepost knows {len(migrations)}: upgrade it")
    for version in range(found, len(migrations)):
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[version]:
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {version + 1}")
            database.execute("COMMIT")
        except apsw.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
    return found


def quick_check(database: apsw.Connection) -> str:
    """The first thing wrong with the tables that hold the queue, "" when nothing is.

    Contents are not looked at: each has a checksum that every reading verifies.
    """
    for table in ("mail", "recipient"):
        try:
            found = str(database.pragma("quick_check", table))
        except apsw.Error as error:
            return f"{table}: {error}"
        if found != "ok":
            return f"{table}: {found}"
    return ""


def _set_up(database: apsw.Connection, *, exclusive: bool) -> None:
    database.set_busy_timeout(BUSY_MS)
    if exclusive:  # a file system of the tests has no shared memory
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
    fresh = _number(database, "user_version") == 0 and _number(database, "application_id") == 0
    if fresh:
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    _say(database, "journal_mode", "wal", "wal")
    _say(database, "synchronous", "FULL", 2)
    _say(database, "wal_autocheckpoint", "0", 0)
    _say(database, "secure_delete", "OFF", 0)
    _say(database, "cache_size", "-16384", -16384)
    if fresh:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _refuse_foreign(database, Path(database.filename))


def _say(database: apsw.Connection, name: str, value: str, expected: object) -> None:
    database.execute(f"PRAGMA {name} = {value}").fetchall()
    found = database.pragma(name)
    if found != expected:
        raise WorldFault(f"SQLite answers {name} = {found!r}, the store needs {expected!r}")


def _refuse_foreign(database: apsw.Connection, path: Path) -> None:
    if _number(database, "application_id") != APPLICATION_ID:
        raise WorldFault(f"{path} is not a store of gatepost", file=str(path))


def _number(database: apsw.Connection, pragma: str) -> int:
    found = database.pragma(pragma)
    if not isinstance(found, int):
        raise WorldFault(f"SQLite answers {pragma} = {found!r}")
    return found
