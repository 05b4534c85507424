"""What a store does after a death it did not choose: blame, sweep, isolate, go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
_WITHOUT_CONTENT: Final = "SELECT mail_id FROM mail WHERE mail_id NOT IN (SELECT mail_id FROM content)"
_WITHOUT_MAIL: Final = (
    "SELECT mail_id FROM content WHERE mail_id NOT IN (SELECT mail_id FROM mail) "
    "UNION SELECT mail_id FROM recipient WHERE mail_id NOT IN (SELECT mail_id FROM mail)"
)
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
    """Body files nobody named, removed."""
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
    for sql, reason in (
        (_WITHOUT_CONTENT, "the content is missing"),
        (_WITHOUT_MAIL, "the envelope is missing"),
        (_WITHOUT_RECIPIENT, "the recipients are missing"),
    ):
        found: list[int] = [row[0] for row in database.execute(sql)]
        for mail_id in found:
            put_aside(database, mail_id, reason)
            isolated.add(mail_id)
    return tuple(sorted(isolated))


def match_bodies(database: apsw.Connection, bodies: BodyDirectory) -> tuple[int, tuple[int, ...]]:
    """Remove body files nobody names, hold mails whose file is missing or has another size.

    Returns (files removed, mails held). What is inside a file is checked when it is read.
    """
    named: dict[str, tuple[int, int]] = {
        path: (mail_id, size_bytes)
        for path, mail_id, size_bytes in database.execute(
            "SELECT path, mail_id, body_size_bytes FROM content WHERE path IS NOT NULL"
        )
    }
    removed = 0
    whole = set()
    for path, size_bytes in bodies.stored():
        if path not in named:
            bodies.remove([path])
            removed += 1
        elif named[path][1] == size_bytes:
            whole.add(path)
    held = tuple(mail_id for path, (mail_id, _) in named.items() if path not in whole)
    for mail_id in held:
        put_aside(database, mail_id, "the body file is missing or damaged")
    return removed, held


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
