"""How a change becomes rows, and rows become mails again."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import apsw
import msgspec

from gatepost.model.address import Address
from gatepost.model.content import BodyForm, Content, SpooledBody
from gatepost.model.envelope import BodyType, Notify, Recipient, Ret
from gatepost.model.proof import NOT_PROVEN, ProvenBy, ReturnPathProof
from gatepost.model.queued import (
    Accept,
    Change,
    KeepDossier,
    KeepRecords,
    MailState,
    Priority,
    QueuedMail,
    QueuedRecipient,
    Settle,
    StoredRecord,
)

Executes = apsw.Connection | apsw.Cursor
"""What runs a statement. A cursor that is kept does it for half of what a connection takes, which makes one each time.

Of a kept cursor the rows of one statement are gone when the next begins: read them first."""

Settled = Callable[[MailState, MailState], MailState | None]
"""queue.states.settled: what a stored state becomes when a settlement asks for another; None: it cannot."""

STATE_CODES: Final = {
    MailState.READY: 1,
    MailState.DEFERRED: 2,
    MailState.SUSPENDED: 3,
    MailState.UNREACHABLE: 4,
    MailState.POISON: 5,
    MailState.QUARANTINED: 6,
    MailState.DEAD: 7,
    MailState.DELIVERED: 8,
    MailState.FAILED: 9,
    MailState.REMOVED: 10,
}
"""What the state column holds. LEASED is never stored."""
STATES: Final = {code: state for state, code in STATE_CODES.items()}
FIRST_FINAL_CODE: Final = STATE_CODES[MailState.DELIVERED]

_PUT_MAIL: Final = (
    "INSERT INTO mail (mail_id, received_at, expires_at, size_bytes, source, client_ip, sender, rest) "
    "VALUES (?,?,?,?,?,?,?,?)"
)
_PUT_CONTENT: Final = (
    "INSERT INTO content (mail_id, crc32, form, path, body_size_bytes, body_crc32, head, body) "
    "VALUES (?,?,?,?,?,?,?,?)"
)
_PUT_RECIPIENT: Final = (
    "INSERT INTO recipient (mail_id, number, state, due_at, attempts, next_hop, address, options, last_reply) "
    "VALUES (?,?,?,?,?,?,?,?,?)"
)
_PUT_RECORD: Final = (
    "INSERT INTO record (number, kind, at, event, mail_id, sender, recipients, message_id, data) "
    "VALUES ((SELECT coalesce(max(number) + 1, ?1) FROM record WHERE number BETWEEN ?1 AND ?1 + 1048575), "
    "?2,?3,?4,?5,?6,?7,?8,?9)"
)
_PUT_DOSSIER: Final = "INSERT OR REPLACE INTO dossier (mail_id, at, data) VALUES (?,?,?)"
_STATES_OF: Final = "SELECT number, state FROM recipient WHERE mail_id = ?"
_SETTLE: Final = (
    "UPDATE recipient SET state = ?, due_at = ?, attempts = ?, last_reply = ?, "
    "next_hop = coalesce(?, next_hop) WHERE mail_id = ? AND number = ?"
)
_DROP_RECIPIENTS: Final = "DELETE FROM recipient WHERE mail_id = ?"
_DROP_MAIL: Final = "DELETE FROM mail WHERE mail_id = ?"
_STILL_NAMED: Final = "SELECT 1 FROM content WHERE path = ? LIMIT 1"
_PATH_OF: Final = (
    "SELECT path FROM content WHERE mail_id = ?"  # and not RETURNING, which takes twice the time
)
_DROP_CONTENT: Final = "DELETE FROM content WHERE mail_id = ?"

DAMAGE: Final = (ValueError, TypeError, msgspec.DecodeError)
"""What reading a row raises when its bytes are not what was written."""

_DEFAULT: Final = Notify.DEFAULT
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder().decode


class RefusedChange(ValueError):
    """A change that cannot be: a bug of the caller, told to it alone."""


def apply(database: Executes, change: Change, settled: Settled) -> str | None:
    """Write one change inside the open transaction.

    Returns the path of a body that is to be deleted after the commit, None when there is none.
    Raises RefusedChange, or apsw.Error; the caller rolls back.
    """
    match change:
        case Accept(mail=mail, content=content):
            _put_mail(database, mail, content)
        case Settle():
            return _settle(database, change, settled)
        case KeepRecords(records=records):
            for r in records:
                database.execute(
                    _PUT_RECORD,
                    (
                        record_number(r.kind, r.at),
                        r.kind,
                        r.at,
                        r.event,
                        r.mail_id,
                        r.sender,
                        r.recipients,
                        r.message_id,
                        r.data,
                    ),
                )
        case KeepDossier(mail_id=mail_id, at=at, data=data):
            database.execute(_PUT_DOSSIER, (mail_id, at, data))
    return None


def _put_mail(database: Executes, mail: QueuedMail, content: Content) -> None:
    sender = str(mail.sender)
    database.execute(
        _PUT_MAIL,
        (
            mail.mail_id,
            mail.received_at,
            mail.expires_at,
            mail.size_bytes,
            mail.source,
            mail.client_ip,
            sender,
            _rest(mail, _unusual(mail.sender, sender)),
        ),
    )
    _put_content(database, mail.mail_id, content)
    for r in mail.recipients:
        database.execute(_PUT_RECIPIENT, (mail.mail_id, *_recipient_values(r)))


def _put_content(database: Executes, mail_id: int, content: Content) -> None:
    body, form = content.body, content.form
    shape = _pack((form.size_bytes, form.has_nul, form.has_8bit, form.bare_newlines, form.longest_line_bytes))
    crc32 = zlib.crc32(content.head)
    if isinstance(body, SpooledBody):
        named = (body.path, body.size_bytes, body.crc32, content.head, None)
        database.execute(_PUT_CONTENT, (mail_id, crc32, shape, *named))
    else:
        inside = (None, None, None, content.head, body)
        database.execute(_PUT_CONTENT, (mail_id, zlib.crc32(body, crc32), shape, *inside))


def _settle(database: Executes, change: Settle, settled: Settled) -> str | None:
    mail_id = change.mail_id
    stored: dict[int, int] = dict(database.execute(_STATES_OF, (mail_id,)))
    if not stored:
        return None  # it has left: removed by an administrator, or settled before
    updates = []
    for wish in change.settlements:
        code = stored.get(wish.number)
        if code is None or code >= FIRST_FINAL_CODE:
            continue
        state = settled(STATES[code], wish.state)
        if state is None:
            raise RefusedChange(
                f"mail {mail_id}: a recipient that is {STATES[code].value} cannot become {wish.state.value}"
            )
        stored[wish.number] = STATE_CODES[state]
        updates.append(
            (
                STATE_CODES[state],
                wish.due_at,
                wish.attempts,
                wish.last_reply,
                wish.next_hop,
                mail_id,
                wish.number,
            )
        )
    if min(stored.values()) >= FIRST_FINAL_CODE:
        return drop(database, mail_id)
    for update in updates:
        database.execute(_SETTLE, update)
    if change.expires_at is not None:
        database.execute("UPDATE mail SET expires_at = ? WHERE mail_id = ?", (change.expires_at, mail_id))
    return None


def drop(database: Executes, mail_id: int) -> str | None:
    """Remove a mail with everything but its records; returns its body's path when it has one."""
    key = (mail_id,)
    database.execute(_DROP_RECIPIENTS, key)
    database.execute(_DROP_MAIL, key)
    found = database.execute(_PATH_OF, key).fetchone()
    database.execute(_DROP_CONTENT, key)
    if found is None or not isinstance(found[0], str):
        return None
    # Mails that were split from one message share its body file: the last one takes it along.
    return None if database.execute(_STILL_NAMED, found).fetchone() else found[0]


def _rest(mail: QueuedMail, unusual: tuple[str, str] | None) -> bytes:
    return _pack(
        (
            unusual,
            mail.session_id,
            mail.body_type._value_,
            mail.smtputf8,
            mail.require_tls,
            mail.ret.value if mail.ret else "",
            mail.envid,
            mail.message_id,
            mail.subject,
            mail.scl,
            mail.authenticated,
            mail.is_notice,
            int(mail.priority),
            mail.proof.by.value,
            mail.proof.detail,
        )
    )


def mail_from_row(row: Sequence[Any], recipients: tuple[QueuedRecipient, ...]) -> QueuedMail:
    """row: mail_id, received_at, expires_at, size_bytes, source, client_ip, sender, rest.

    Raises one of DAMAGE."""
    mail_id, received_at, expires_at, size_bytes, source, client_ip, sender, rest = row
    (
        unusual,
        session_id,
        body_type,
        smtputf8,
        require_tls,
        ret,
        envid,
        message_id,
        subject,
        scl,
        sure,
        notice,
        *since_version_2,
    ) = _unpack(rest)
    return QueuedMail(
        mail_id=mail_id,
        session_id=session_id,
        received_at=received_at,
        expires_at=expires_at,
        sender=_address(sender, unusual),
        body_type=BodyType(body_type),
        smtputf8=smtputf8,
        require_tls=require_tls,
        ret=Ret(ret) if ret else None,
        envid=envid,
        recipients=recipients,
        size_bytes=size_bytes,
        source=source,
        client_ip=client_ip,
        message_id=message_id,
        subject=subject,
        scl=scl,
        authenticated=sure,
        is_notice=notice,
        priority=Priority(since_version_2[0]) if since_version_2 else Priority.NORMAL,
        proof=_proof(*since_version_2[1:3]),
    )


def _proof(by: str = ProvenBy.NOTHING.value, detail: str = "") -> ReturnPathProof:
    """Of mail from before it was recorded: none. Raises ValueError."""
    return ReturnPathProof(by=ProvenBy(by), detail=detail) if detail else NOT_PROVEN


def _recipient_values(r: QueuedRecipient) -> tuple[Any, ...]:
    who = r.recipient
    address = str(who.address)
    unusual = _unusual(who.address, address)
    plain = unusual is None and not who.orcpt and who.notify is _DEFAULT
    options = None if plain else _pack((unusual, who.notify.value, who.orcpt))
    return (
        r.number,
        STATE_CODES[r.state],
        r.due_at,
        r.attempts,
        r.next_hop,
        address,
        options,
        r.last_reply,
    )


def recipient_from_row(row: Sequence[Any]) -> QueuedRecipient:
    """row: number, state, due_at, attempts, next_hop, address, options, last_reply.

    Raises one of DAMAGE."""
    number, code, due_at, attempts, next_hop, address, options, last_reply = row
    unusual, notify, orcpt = (None, 0, "") if options is None else _unpack(options)
    if code not in STATES:
        raise ValueError(f"{code} is not a state")
    return QueuedRecipient(
        number=number,
        recipient=Recipient(address=_address(address, unusual), notify=Notify(notify), orcpt=orcpt),
        next_hop=next_hop,
        state=STATES[code],
        due_at=due_at,
        attempts=attempts,
        last_reply=last_reply,
    )


def content_from_row(row: Sequence[Any]) -> Content:
    """row: crc32, form, path, body_size_bytes, body_crc32, head, body. Raises one of DAMAGE."""
    crc32, form, path, size_bytes, body_crc32, head, body = row
    found = zlib.crc32(head)
    if path is None:
        found = zlib.crc32(body, found)
    if found != crc32:
        raise ValueError("the checksum is wrong")
    size, has_nul, has_8bit, bare_newlines, longest = _unpack(form)
    return Content(
        head=head,
        body=body if path is None else SpooledBody(path, size_bytes, body_crc32),
        form=BodyForm(
            size_bytes=size,
            has_nul=has_nul,
            has_8bit=has_8bit,
            bare_newlines=bare_newlines,
            longest_line_bytes=longest,
        ),
    )


_RECORD_KINDS: Final = {"agent": 0, "track": 1 << 62}
_LAST_RECORD_AT: Final = 4398046511.0  # 2109, the last second whose milliseconds fit in 42 bits


def record_number(kind: str, at: float) -> int:
    """The first number of the records of a kind and a millisecond: kind, milliseconds, 20 bits to count within it.

    The order of the numbers is the order in time. Raises RefusedChange for a kind nobody knows.
    """
    if kind not in _RECORD_KINDS:
        raise RefusedChange(f"{kind!r} is no kind of record")
    if not 0.0 <= at <= _LAST_RECORD_AT:
        at = 0.0 if at < 0.0 else _LAST_RECORD_AT
    return _RECORD_KINDS[kind] | int(at * 1000) << 20


def record_from_row(row: Sequence[Any]) -> StoredRecord:
    """row: kind, at, event, mail_id, sender, recipients, message_id, data."""
    kind, at, event, mail_id, sender, recipients, message_id, data = row
    return StoredRecord(
        kind=kind,
        at=at,
        event=event,
        mail_id=mail_id,
        sender=sender,
        recipients=recipients,
        message_id=message_id,
        data=data,
    )


def _unusual(address: Address, text: str) -> tuple[str, str] | None:
    """Both parts, when the text between the brackets does not simply split at its @: then it is quoted."""
    return (address.local, address.domain) if '"' in text else None


def _address(text: str, unusual: Sequence[str] | None) -> Address:
    if unusual is not None:
        return Address(unusual[0], unusual[1])
    local, _, domain = text.partition("@")
    return Address(local, domain)
