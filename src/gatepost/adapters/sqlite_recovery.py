"""What a store does after a death it did not choose: blame, sweep, isolate, go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import apsw
import msgspec

from gatepost.adapters.bodies import BodyDirectory
from gatepost.adapters.sqlite_rows import (
    DAMAGE,
    FIRST_FINAL_CODE,
    STATE_CODES,
    mail_from_row,
    recipient_from_row,
)
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import MailState

_POISON: Final = STATE_CODES[MailState.POISON]
_PUT_ASIDE: Final = "UPDATE recipient SET state = ?, last_reply = ? WHERE mail_id = ? AND state < ?"
# Rows that stand for what was lost, so that the rest of the mail can be seen and exported.
_LOST_MAIL: Final = (
    "INSERT OR REPLACE INTO mail "
    "(mail_id, received_at, expires_at, size_bytes, source, client_ip, sender, rest) "
    "VALUES (?, ?, ?, 0, 'DAMAGED', '', '', ?)"
)
_LOST_RECIPIENT: Final = (
    "INSERT OR IGNORE INTO recipient "
    "(mail_id, number, state, due_at, attempts, next_hop, address, options, last_reply) "
    "VALUES (?, 0, ?, 0, 0, '', 'unknown-recipient', NULL, ?)"
)
_MAIL: Final = (
    "SELECT mail_id, received_at, expires_at, size_bytes, source, client_ip, sender, rest FROM mail "
    "WHERE mail_id = ?"
)
_RECIPIENTS: Final = (
    "SELECT number, state, due_at, attempts, next_hop, address, options, last_reply FROM recipient "
    "WHERE mail_id = ?"
)
# Contents are most of a store, and to count them is to read it: once, and one more time only when something is wrong.
_HALVES: Final = "SELECT count(*), count(mail.mail_id) FROM content LEFT JOIN mail USING (mail_id)"
_MAILS: Final = "SELECT count(*) FROM mail"
_WITHOUT_CONTENT: Final = "SELECT mail_id FROM mail WHERE mail_id NOT IN (SELECT mail_id FROM content)"
_CONTENT_ALONE: Final = "SELECT mail_id FROM content WHERE mail_id NOT IN (SELECT mail_id FROM mail)"
_RECIPIENT_ALONE: Final = "SELECT mail_id FROM recipient WHERE mail_id NOT IN (SELECT mail_id FROM mail)"
_BODIES: Final = "SELECT path, mail_id, body_size_bytes FROM content WHERE path IS NOT NULL ORDER BY path"
_WITHOUT_RECIPIENT: Final = "SELECT mail_id FROM mail WHERE mail_id NOT IN (SELECT mail_id FROM recipient)"
_FOREVER_S: Final = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What the start found and did; counted in the log."""

    was_unclean: bool = False
    poisoned: tuple[int, ...] = ()
    """Mails that were in work at too many crashes (P01)."""
    isolated: tuple[int, ...] = ()
    """Mails with a part missing or damaged (O09, O10)."""
    orphan_bodies: int = 0
    """Body files nobody named, removed (after a salvage: set aside)."""
    log_missing: bool = False
    """After an unclean stop there was no write-ahead log: the last transactions may be gone."""


def put_aside(database: apsw.Connection, mail_id: int, reason: str) -> None:
    """Hold every recipient of a damaged mail as poison; rows that are lost are replaced by stand-ins."""
    database.execute(_PUT_ASIDE, (_POISON, reason[:500], mail_id, FIRST_FINAL_CODE))
    if not _readable(database, _RECIPIENTS, mail_id, recipient_from_row):
        database.execute("DELETE FROM recipient WHERE mail_id = ?", (mail_id,))
        database.execute(_LOST_RECIPIENT, (mail_id, _POISON, reason[:500]))
    if not _readable(database, _MAIL, mail_id, lambda row: mail_from_row(row, ())):
        _replace_envelope(database, mail_id)


def _replace_envelope(database: apsw.Connection, mail_id: int) -> None:
    """A mail row for a mail whose own is lost: null sender, so nobody is ever told anything."""
    received_at = (mail_id >> 20) / 1000
    rest = msgspec.msgpack.encode(
        (None, "", "7BIT", False, False, "", "", "", f"damaged mail {mail_id_text(mail_id)}", 0, False, True)
    )
    database.execute(_LOST_MAIL, (mail_id, received_at, received_at + _FOREVER_S, rest))


def blame(database: apsw.Connection, mail_ids: Iterable[int], crash_limit: int) -> tuple[int, ...]:
    """Count a crash for each mail that was in work; hold those that reached the limit (P01)."""
    held = []
    for mail_id in mail_ids:
        counted = database.execute(
            "UPDATE mail SET crashes = crashes + 1 WHERE mail_id = ? RETURNING crashes", (mail_id,)
        )
        if any(crashes >= crash_limit for (crashes,) in counted):
            put_aside(database, mail_id, f"in work at {crash_limit} or more crashes")
            held.append(mail_id)
    return tuple(held)


def isolate_incomplete(database: apsw.Connection) -> tuple[int, ...]:
    """Mails of which a part is missing (O10). Reads every key: for the start after an unclean stop."""
    isolated: set[int] = set()
    contents, whole = next(database.execute(_HALVES))
    (mails,) = next(database.execute(_MAILS))
    for is_needed, sql, reason in (
        (mails != whole, _WITHOUT_CONTENT, "the content is missing"),
        (contents != whole, _CONTENT_ALONE, "the envelope is missing"),
        (True, _RECIPIENT_ALONE, "the envelope is missing"),
        (True, _WITHOUT_RECIPIENT, "the recipients are missing"),
    ):
        found: list[int] = [row[0] for row in database.execute(sql)] if is_needed else []
        for mail_id in found:
            put_aside(database, mail_id, reason)
            isolated.add(mail_id)
    return tuple(sorted(isolated))


def match_bodies(
    database: apsw.Connection, bodies: BodyDirectory, *, salvaged: bool = False
) -> tuple[int, tuple[int, ...]]:
    """Remove body files nobody names, hold mails whose file is missing or has another size.

    salvaged: rows were lost, so a file nobody names may be the only part of a mail that is left: set aside.
    Returns (files removed, mails held). What is inside a file is checked when it is read. In memory is one
    directory of bodies at a time, of 256.
    """
    removed = 0
    put_away = _set_aside if salvaged else _remove
    held: list[int] = []
    unnamed = bodies.places()
    rows: Iterator[tuple[str, int, int]] = database.cursor().execute(_BODIES)
    for place, of_place in groupby(rows, key=lambda row: row[0].partition("/")[0]):
        # A row may say anything: only what is a directory of bodies is looked into, and tidied.
        stored = bodies.stored(place) if place in unnamed else {}
        unnamed.discard(place)
        named = set()
        for path, mail_id, size_bytes in of_place:
            named.add(path)
            if stored.get(path) != size_bytes:
                held.append(mail_id)
        removed += put_away(bodies, stored.keys() - named)
    for place in unnamed:
        removed += put_away(bodies, bodies.stored(place).keys())
    for mail_id in held:
        put_aside(database, mail_id, "the body file is missing or damaged")
    return removed, tuple(held)


def _remove(bodies: BodyDirectory, paths: Iterable[str]) -> int:
    gone = list(paths)
    bodies.remove(gone)
    return len(gone)


def _set_aside(bodies: BodyDirectory, paths: Iterable[str]) -> int:
    found = list(paths)
    if found:
        bodies.set_aside(found)
    return len(found)


def _readable(
    database: apsw.Connection, sql: str, mail_id: int, read: Callable[[Sequence[Any]], object]
) -> bool:
    """There are rows, and every one can be read."""
    rows = database.execute(sql, (mail_id,)).fetchall()
    try:
        for row in rows:
            read(row)
    except DAMAGE:
        return False
    return bool(rows)
