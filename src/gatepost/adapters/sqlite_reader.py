"""Looking into a store without changing it: for the worker itself, the command line and the console."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import apsw

from gatepost.adapters.bodies import BodyDirectory
from gatepost.adapters.sqlite_rows import (
    DAMAGE,
    FIRST_FINAL_CODE,
    STATE_CODES,
    STATES,
    content_from_row,
    mail_from_row,
    recipient_from_row,
    record_from_row,
    record_number,
)
from gatepost.adapters.sqlite_schema import HELD, SCHEMA_VERSION, open_for_reading
from gatepost.adapters.store_filters import address_text, like, mail_matches, record_matches, sender_text
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState, QueuedMail, QueuedRecipient, StoredRecord
from gatepost.ports.store import HopSummary, MailFilter, RecordFilter

_MAIL: Final = (
    "SELECT mail_id, received_at, expires_at, size_bytes, source, client_ip, sender, rest FROM mail "
    "WHERE mail_id = ?"
)
_RECIPIENTS: Final = (
    "SELECT number, state, due_at, attempts, next_hop, address, options, last_reply FROM recipient "
    "WHERE mail_id = ? AND state < 8"
)
_CONTENT: Final = (
    "SELECT crc32, form, path, body_size_bytes, body_crc32, head, body FROM content WHERE mail_id = ?"
)
_FIND: Final = "SELECT mail_id FROM mail WHERE mail_id > ?"
# CROSS JOIN: the order of the tables stays, so that the index leads and the queue's length does not count.
_FIND_HELD: Final = (
    "SELECT DISTINCT mail.mail_id FROM recipient r INDEXED BY recipient_held "
    "CROSS JOIN mail ON mail.mail_id = r.mail_id WHERE {held} AND r.state = {code} AND r.mail_id > ?"
)
_HELD_BYTES: Final = (
    "SELECT coalesce(sum(size_bytes), 0) FROM mail WHERE mail_id IN "
    "(SELECT mail_id FROM recipient INDEXED BY recipient_held WHERE {held} AND state = {code})"
)
_HELD_STATES: Final = frozenset(
    (MailState.UNREACHABLE, MailState.POISON, MailState.QUARANTINED, MailState.DEAD)
)
_HAS_RECIPIENT: Final = (
    " AND EXISTS (SELECT 1 FROM recipient r WHERE r.mail_id = mail.mail_id AND r.state < 8{conditions})"
)
_SUMMARY: Final = """
    SELECT r.next_hop, r.state, count(*), count(DISTINCT r.mail_id), min(m.received_at),
           min(CASE WHEN r.state < 3 THEN r.due_at END), max(r.attempts), r.last_reply
    FROM recipient r JOIN mail m USING (mail_id)
    WHERE r.state < 8 GROUP BY r.next_hop, r.state ORDER BY r.next_hop, r.state"""
_MAILS_OF_HOP: Final = """
    SELECT next_hop, count(DISTINCT mail_id) FROM recipient WHERE state < 8 GROUP BY next_hop"""
_DEPTHS: Final = "SELECT state, count(*), min(mail_id) FROM recipient WHERE state < 8 GROUP BY state"
_RECORDS: Final = (
    "SELECT kind, at, event, mail_id, sender, recipients, message_id, data FROM record "
    "WHERE number >= ? AND number < ?"
)
_DUE: Final = "SELECT mail_id, number FROM recipient WHERE state < 3 AND due_at <= ? ORDER BY due_at, mail_id"
_DUE_RECIPIENTS: Final = (
    "SELECT count(*) FROM (SELECT 1 FROM recipient WHERE state < 3 AND due_at <= ? LIMIT ?)"
)
_NEXT_DUE: Final = "SELECT min(due_at) FROM recipient WHERE state < 3"
_LIKE: Final = " LIKE ? ESCAPE '~'"


GREATEST_MAIL_ID: Final = (
    "SELECT max(coalesce((SELECT max(mail_id) FROM mail), 0), "
    "coalesce((SELECT max(mail_id) FROM dossier), 0), coalesce((SELECT max(mail_id) FROM record), 0), "
    "coalesce((SELECT value FROM note WHERE name = 'last-mail-id'), 0))"
)


class SqliteReader:
    """Keeps the promise of ports.store.StoreReader over one connection, used from one thread."""

    def __init__(
        self,
        database: apsw.Connection,
        bodies: BodyDirectory,
        *,
        damaged: Callable[[int, str], None] | None = None,
    ) -> None:
        """damaged: told of a mail that cannot be read, so that its owner can put it aside."""
        self._database = database
        self._bodies = bodies
        self._damaged = damaged or _ignore

    def mail(self, mail_id: int) -> QueuedMail | None:
        """With every recipient that is not final yet; None when it has left (or cannot be read)."""
        return self._mail(mail_id, None)

    def content(self, mail_id: int) -> Content:
        """Its bytes. Raises WorldFault when they are damaged or missing."""
        row = next(self._rows(_CONTENT, (mail_id,)), None)
        if row is None:
            raise WorldFault("the content of a mail is missing", mail_id=mail_id)
        try:
            return content_from_row(row)
        except DAMAGE as error:
            self._damaged(mail_id, f"content damaged: {error}")
            raise WorldFault("the content of a mail is damaged", mail_id=mail_id) from error

    def body_path(self, body: SpooledBody) -> str:
        """The absolute path of a spooled body."""
        return str(self._bodies.path(body))

    def find(self, wanted: MailFilter, *, limit: int, after: int = 0) -> list[QueuedMail]:
        """Mails in the order of their ids, above `after`. Raises ValueError for an endless search text."""
        sql, values = _find_sql(wanted, after)
        found: list[QueuedMail] = []
        with self._snapshot():
            for (mail_id,) in self._rows(sql, values):
                mail = self._mail(mail_id, None)
                if mail is not None and mail_matches(mail, wanted):
                    found.append(mail)
                    if len(found) >= limit:
                        break
        return found

    def held_bytes(self, state: MailState) -> int:
        """As StoreReader. Raises ValueError for another state."""
        if state not in _HELD_STATES:
            raise ValueError(f"{state.value} is no state of mail that is held")
        ((octets,),) = self._rows(_HELD_BYTES.format(held=HELD, code=STATE_CODES[state]), ())
        return int(octets)

    def summary(self) -> list[HopSummary]:
        """Every next hop that something waits for. Reads the whole queue."""
        mails: dict[str, int] = dict(self._rows(_MAILS_OF_HOP, ()))
        hops: dict[str, list[tuple[Any, ...]]] = {}
        for row in self._rows(_SUMMARY, ()):
            hops.setdefault(row[0], []).append(row)
        return [_hop_summary(hop, rows, mails) for hop, rows in hops.items()]

    def depths(self) -> list[tuple[str, int, float]]:
        """Of each state that recipients are in: its name, how many, and when the oldest was taken. Reads the queue."""
        return [
            (STATES[state].value, int(recipients), (oldest_id >> 20) / 1000)
            for state, recipients, oldest_id in self._rows(_DEPTHS, ())
            if state in STATES
        ]

    def records(self, wanted: RecordFilter, *, limit: int) -> list[StoredRecord]:
        """Newest first. Raises ValueError for an endless search text, and for a kind there is none of."""
        sql, values = _records_sql(wanted)
        found: list[StoredRecord] = []
        for row in self._rows(sql, values):
            record = record_from_row(row)
            if record_matches(record, wanted):
                found.append(record)
                if len(found) >= limit:
                    break
        return found

    def dossier(self, mail_id: int) -> bytes | None:
        """What KeepDossier kept; None when there is none."""
        row = next(self._rows("SELECT data FROM dossier WHERE mail_id = ?", (mail_id,)), None)
        return None if row is None else bytes(row[0])

    def due(self, *, now: float, limit: int, excluding: frozenset[int] = frozenset()) -> list[QueuedMail]:
        """As ports.store.Store.due: reads the index until `limit` mails are together."""
        numbers: dict[int, set[int]] = {}
        with self._snapshot():
            for mail_id, number in self._rows(_DUE, (now,)):
                if mail_id in excluding:
                    continue
                if mail_id not in numbers and len(numbers) >= limit:
                    break
                numbers.setdefault(mail_id, set()).add(number)
            mails = [self._mail(mail_id, wanted) for mail_id, wanted in numbers.items()]
        return [mail for mail in mails if mail is not None]

    def due_recipients(self, *, now: float, limit: int) -> int:
        """As ports.store.Store.due_recipients."""
        return int(next(self._rows(_DUE_RECIPIENTS, (now, limit)))[0])

    def next_due_at(self) -> float | None:
        """When the next recipient becomes due."""
        row = next(self._rows(_NEXT_DUE, ()))
        return None if row[0] is None else float(row[0])

    def greatest_mail_id(self) -> int:
        """Of everything that was ever stored, as far as it is known: mails, dossiers and records."""
        return int(next(self._rows(GREATEST_MAIL_ID, ()))[0])

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _mail(self, mail_id: int, numbers: set[int] | None) -> QueuedMail | None:
        row = next(self._rows(_MAIL, (mail_id,)), None)
        try:
            found = (recipient_from_row(r) for r in self._rows(_RECIPIENTS, (mail_id,)))
            wanted = [r for r in found if numbers is None or r.number in numbers]
            recipients = tuple(sorted(wanted, key=_number) if len(wanted) > 1 else wanted)
            if row is not None:
                return mail_from_row(row, recipients)
        except DAMAGE as error:
            self._damaged(mail_id, f"envelope damaged: {error}")
            return None
        if recipients:
            self._damaged(mail_id, "envelope missing")
        return None

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Several queries of one moment, under one lock."""
        for _ in self._rows("BEGIN", ()):
            pass
        try:
            yield
        finally:
            with contextlib.suppress(apsw.Error):  # a reading transaction has nothing to lose
                self._database.execute("COMMIT")

    def _rows(self, sql: str, values: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """Raises WorldFault when the store cannot be read."""
        try:
            yield from self._database.execute(sql, tuple(values))
        except apsw.Error as error:
            if isinstance(error, apsw.CorruptError):
                self._pages_damaged()
            raise WorldFault(f"the store cannot be read: {error}") from error

    def _pages_damaged(self) -> None:
        """The file itself is damaged; only its owner can do something about it."""


def open_reader(directory: Path | str) -> SqliteReader:
    """A reader of a worker's store (its directory), from any process. Raises WorldFault."""
    place = Path(directory)
    database = open_for_reading(place / "store.db")
    version = database.pragma("user_version")
    if version != SCHEMA_VERSION:
        database.close()
        advice = (
            "start the gateway, which brings it up to date"
            if version < SCHEMA_VERSION
            else "it was written by a newer gatepost: use that one"
        )
        raise WorldFault(f"{place} has version {version}, this gatepost reads {SCHEMA_VERSION}: {advice}")
    return SqliteReader(database, BodyDirectory(place / "bodies"))


def _find_sql(wanted: MailFilter, after: int) -> tuple[str, list[Any]]:
    """A superset of what is wanted: mail_matches has the last word."""
    mail_parts: list[tuple[str, Any]] = []
    if wanted.mail_id is not None:
        mail_parts.append((" AND mail.mail_id = ?", wanted.mail_id))
    if wanted.older_than_at is not None:
        mail_parts.append((" AND received_at < ?", wanted.older_than_at))
    if wanted.sender is not None:
        mail_parts.append((" AND sender" + _LIKE, like(sender_text(wanted.sender))))
    if wanted.source:
        mail_parts.append((" AND source" + _LIKE, like(wanted.source)))
    if wanted.client_ip:
        mail_parts.append((" AND client_ip" + _LIKE, like(wanted.client_ip)))
    parts: list[tuple[str, Any]] = []
    if wanted.next_hop:
        parts.append((" AND r.next_hop" + _LIKE, like(address_text(wanted.next_hop))))
    if wanted.recipient:
        parts.append((" AND r.address" + _LIKE, like(address_text(wanted.recipient))))
    mail_sql, recipient_sql = ("".join(part for part, _ in some) for some in (mail_parts, parts))
    values = [after, *(value for _, value in (*mail_parts, *parts))]
    if wanted.state in _HELD_STATES:
        held = _FIND_HELD.format(held=HELD, code=STATE_CODES[wanted.state])
        return f"{held}{mail_sql}{recipient_sql} ORDER BY r.mail_id", values
    if wanted.state is not None:
        recipient_sql += " AND r.state = ?"
        values.append(STATE_CODES.get(wanted.state, 0))
    return f"{_FIND}{mail_sql}{_HAS_RECIPIENT.format(conditions=recipient_sql)} ORDER BY mail_id", values


def _records_sql(wanted: RecordFilter) -> tuple[str, list[Any]]:
    """A superset of what is wanted: record_matches has the last word."""
    since_at, until_at = wanted.since_at, wanted.until_at
    first = record_number(wanted.kind, 0.0 if since_at is None else since_at)
    end = record_number(wanted.kind, math.inf if until_at is None else until_at) + (1 << 20)
    parts: list[tuple[str, Any]] = []
    if wanted.mail_id is not None:
        parts.append((" AND mail_id = ?", wanted.mail_id))
    if wanted.since_at is not None:
        parts.append((" AND at >= ?", wanted.since_at))
    if wanted.until_at is not None:
        parts.append((" AND at < ?", wanted.until_at))
    if wanted.event:
        parts.append((" AND event" + _LIKE, like(wanted.event)))
    if wanted.sender is not None:
        parts.append((" AND sender" + _LIKE, like(sender_text(wanted.sender))))
    if wanted.recipient:
        parts.append((" AND recipients" + _LIKE, like(f"*{address_text(wanted.recipient)}*")))
    if wanted.message_id:
        parts.append((" AND message_id" + _LIKE, like(wanted.message_id)))
    conditions = "".join(part for part, _ in parts)
    return f"{_RECORDS}{conditions} ORDER BY number DESC", [first, end, *(value for _, value in parts)]


def _hop_summary(hop: str, rows: list[tuple[Any, ...]], mails: Mapping[str, int]) -> HopSummary:
    """rows: of _SUMMARY, one a state."""
    due = [row[5] for row in rows if row[5] is not None]
    tried = max(rows, key=lambda row: row[6])
    return HopSummary(
        next_hop=hop,
        recipients=sum(row[2] for row in rows),
        mails=mails.get(hop, 0),
        oldest_at=min(row[4] for row in rows),
        next_due_at=min(due, default=0.0),
        states={STATES[row[1]].value: row[2] for row in rows if row[1] < FIRST_FINAL_CODE},
        last_reply=tried[7],
    )


def _number(recipient: QueuedRecipient) -> int:
    return recipient.number


def _ignore(_mail_id: int, _reason: str) -> None:
    """A reader that does not own the store can only tell its caller."""
