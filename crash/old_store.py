"""Makes a store of today one of an older gatepost: its tables made by that version's migrations, its rows rewritten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from gatepost.adapters.sqlite_schema import APPLICATION_ID, MIGRATIONS, PAGE_BYTES, SCHEMA_VERSION

OLDEST: Final = 1
_TABLES: Final = ("mail", "recipient", "content", "record", "dossier", "note")
_REST_VALUES: Final = {1: 12, 2: 13}
"""How many values mail.rest had in each version but the newest."""
assert set(_REST_VALUES) == set(range(OLDEST, SCHEMA_VERSION)), (
    "a migration the crash run cannot go back from"
)


def make_old(store: Path, version: int = OLDEST) -> int:
    """Puts an old store in the place of store.db, which nobody may have open; returns the number of its mails.

    Its rows lie in its log (WAL), as after a death: what opens it has to read that, too.
    """
    old = store.with_name("store.old")
    database = apsw.Connection(str(old))
    try:
        database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        database.execute("PRAGMA journal_mode = WAL").fetchall()
        database.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in (statement for step in MIGRATIONS[:version] for statement in step):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {version}")
        database.create_scalar_function("rest_of_old", _rest_of(version), 1, deterministic=True)
        database.execute("ATTACH ? AS new", (str(store),))
        database.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            columns = [row[1] for row in database.execute(f"PRAGMA main.table_info({table})")]
            wanted = ["rest_of_old(rest)" if name == "rest" else name for name in columns]
            database.execute(
                f"INSERT INTO main.{table} ({', '.join(columns)}) SELECT {', '.join(wanted)} FROM new.{table}"
            )
        database.execute("COMMIT")
        database.execute("DETACH new")
        mails = int(str(database.execute("SELECT count(*) FROM mail").get))
        database.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    finally:
        database.close()
    _put_in_place(old, store)
    return mails


def version_of(store: Path) -> int:
    """What the file says."""
    database = apsw.Connection(str(store), apsw.SQLITE_OPEN_READONLY)
    try:
        return int(str(database.pragma("user_version")))
    finally:
        database.close()


def _rest_of(version: int) -> Callable[..., bytes]:
    """How mail.rest was written then: later versions have put values behind it."""

    def rest(*written: Any) -> bytes:
        values: Sequence[object] = msgspec.msgpack.decode(written[0])
        return msgspec.msgpack.encode(values[: _REST_VALUES[version]])

    return rest


def _put_in_place(old: Path, store: Path) -> None:
    for end in ("", "-wal"):
        Path(f"{old}{end}").replace(f"{store}{end}")
    for leftover in (f"{store}-shm", f"{old}-shm"):
        Path(leftover).unlink(missing_ok=True)
