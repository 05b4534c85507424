"""A store with many mails that wait, made quickly: one mail that came in over SMTP, written again and again.

The rows are written by the store's own code (sqlite_rows), with everything that accepting writes: envelope,
content, recipient, tracking, agent log and dossier. Filled stores are kept below build/ for the next run.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from bench.gatepost_server import Gatepost
from bench.load import offer
from bench.measures import Scenario
from gatepost.adapters.sqlite_reader import SqliteReader, open_reader
from gatepost.adapters.sqlite_rows import apply
from gatepost.adapters.sqlite_schema import SCHEMA_VERSION, migrate, open_writer
from gatepost.model.content import Content
from gatepost.model.mail_id import MailIds
from gatepost.model.queued import (
    Accept,
    Change,
    KeepDossier,
    KeepRecords,
    MailState,
    QueuedMail,
    StoredRecord,
)
from gatepost.ports.store import MailFilter, RecordFilter
from gatepost.queue.states import settled

BODY_BYTES: Final = 1024
FRESH_S: Final = 6 * 3600.0
"""Older ones are filled again: what is written in them has an age."""
_BATCH_MAILS: Final = 2000
_SPAN_S: Final = 3600.0
"""The mails came within an hour, and are due within one."""
_DUE_IN_S: Final = 30 * 86400.0
_FAR_S: Final = 90 * 86400.0
_REPLY: Final = "451 4.4.1 no connection: Connection refused"


@dataclass(frozen=True, slots=True)
class _Pattern:
    """All that accepting one mail wrote."""

    mail: QueuedMail
    content: Content
    records: tuple[StoredRecord, ...]
    dossier: bytes


def filled(mails: int, directory: Path, *, kept: Path) -> Path:
    """A state directory with one worker's store of so many mails that are deferred, made or found below `kept`.

    directory: where a gateway may run for the pattern. It is not to be changed: copy it.
    """
    place = kept / f"{mails}-of-{BODY_BYTES}-version-{SCHEMA_VERSION}"
    stamp = place / "filled"
    if stamp.exists() and time.time() - stamp.stat().st_mtime < FRESH_S:
        return place
    shutil.rmtree(place, ignore_errors=True)
    with Gatepost(directory / "pattern", workers=1) as gatepost:
        offer(Scenario(1, False, 1, size_bytes=BODY_BYTES), gatepost)
    store = place / "worker-0"
    place.mkdir(mode=0o700, parents=True)
    shutil.copytree(directory / "pattern" / "state" / "worker-0", store)
    _fill(store, mails)
    stamp.touch()
    return place


def _fill(store: Path, mails: int) -> None:
    reader = open_reader(store)
    pattern = _pattern_of(reader)
    reader.close()
    database = open_writer(store / "store.db")
    try:
        migrate(database)
        for table in ("mail", "recipient", "content", "record", "dossier"):
            database.execute(f"DELETE FROM {table}")
        batch: list[Change] = []
        cursor = database.cursor()
        for number, changes in enumerate(_copies(pattern, mails), 1):
            batch += changes
            if number % _BATCH_MAILS == 0 or number == mails:
                cursor.execute("BEGIN IMMEDIATE")
                for change in batch:
                    apply(cursor, change, settled)
                cursor.execute("COMMIT")
                database.wal_checkpoint()
                batch.clear()
    finally:
        database.close()


def _pattern_of(reader: SqliteReader) -> _Pattern:
    (mail,) = reader.find(MailFilter(), limit=2)
    wanted = [reader.records(RecordFilter(kind=kind), limit=100) for kind in ("track", "agent")]
    records = tuple(record for found in wanted for record in found if record.mail_id == mail.mail_id)
    return _Pattern(mail, reader.content(mail.mail_id), records, reader.dossier(mail.mail_id) or b"")


def _copies(pattern: _Pattern, mails: int) -> Iterator[tuple[Change, ...]]:
    began_at = time.time() - _SPAN_S
    ids = MailIds(0)
    for number in range(mails):
        at = began_at + _SPAN_S * number / mails
        mail_id = ids.next(at)
        recipients = tuple(
            replace(one, state=MailState.DEFERRED, due_at=at + _DUE_IN_S, attempts=3, last_reply=_REPLY)
            for one in pattern.mail.recipients
        )
        mail = replace(
            pattern.mail, mail_id=mail_id, received_at=at, expires_at=at + _FAR_S, recipients=recipients
        )
        records = tuple(msgspec.structs.replace(one, mail_id=mail_id, at=at) for one in pattern.records)
        yield (
            Accept(mail=mail, content=pattern.content),
            KeepRecords(records=records),
            KeepDossier(mail_id=mail_id, at=at, data=pattern.dossier),
        )
