"""Mails and records as rows and as JSON: the same fields, under the same names, in every command."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from gatepost.cli.output import octets, when
from gatepost.model.address import Address
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import QueuedMail, QueuedRecipient, StoredRecord
from gatepost.records.tracking import Event

MAIL_HEADS: Final = (
    "ID",
    "TAKEN",
    "SIZE",
    "SENDER",
    "RECIPIENT",
    "STATE",
    "NEXT HOP",
    "TRIES",
    "NEXT TRY",
    "LAST REPLY",
)
RECORD_HEADS: Final = ("TIME", "EVENT", "ID", "SENDER", "RECIPIENTS", "WHAT", "MESSAGE-ID")
_REPLY_SHOWN: Final = 60
_WHAT_SHOWN: Final = 120


def mail_row(mail: QueuedMail) -> tuple[object, ...]:
    """One line a mail: its first recipient stands for the others."""
    first = mail.recipients[0]
    more = f" (+{len(mail.recipients) - 1})" if len(mail.recipients) > 1 else ""
    return (
        mail_id_text(mail.mail_id),
        when(mail.received_at),
        octets(mail.size_bytes),
        address_text(mail.sender),
        f"{first.recipient.address}{more}",
        first.state.value,
        first.next_hop,
        first.attempts,
        when(first.due_at),
        first.last_reply[:_REPLY_SHOWN],
    )


def mail_json(mail: QueuedMail) -> dict[str, Any]:
    """Everything but the content."""
    return {
        "id": mail_id_text(mail.mail_id),
        "session": mail.session_id,
        "received": when(mail.received_at),
        "expires": when(mail.expires_at),
        "sender": address_text(mail.sender),
        "size_bytes": mail.size_bytes,
        "source": mail.source,
        "client_ip": mail.client_ip,
        "message_id": mail.message_id,
        "subject": mail.subject,
        "scl": mail.scl,
        "return_path": who_vouches(mail),
        "notice": mail.is_notice,
        "priority": mail.priority.name.lower(),
        "recipients": [_recipient_json(r) for r in mail.recipients],
    }


def mail_lines(mail: QueuedMail) -> list[tuple[str, str]]:
    """Name and value of everything about one mail, for people."""
    lines = [
        ("id", mail_id_text(mail.mail_id)),
        (
            "taken",
            f"{when(mail.received_at)} from {mail.client_ip or '-'} ({mail.source or '-'}), session {mail.session_id}",
        ),
        ("given up", when(mail.expires_at)),
        ("sender", address_text(mail.sender)),
        ("message-id", mail.message_id or "-"),
        ("subject", mail.subject or "-"),
        ("size", octets(mail.size_bytes)),
        ("scl", str(mail.scl)),
        ("return path", who_vouches(mail)),
        ("priority", mail.priority.name.lower()),
    ]
    for r in mail.recipients:
        lines.append(
            (f"recipient {r.number}", f"{r.recipient.address} {r.state.value}, next hop {r.next_hop or '-'}")
        )
        lines.append(("", f"{r.attempts} attempts, next {when(r.due_at)}"))
        if r.last_reply:
            lines.append(("", r.last_reply))
    return lines


def who_vouches(mail: QueuedMail) -> str:
    """Whether notices may go to the mail's return path, and why."""
    if not mail.sender.domain:
        return "there is nobody to tell"
    return "of a client that is known" if mail.authenticated else str(mail.proof)


def why_silent(records: Iterable[StoredRecord]) -> Iterator[str]:
    """Of dead letters: why nobody was told."""
    for record in records:
        if record.event == Event.BADMAIL.value:
            why = record_json(record).get("custom-data")
            yield f"{when(record.at)}: {why or 'nobody remembers why'}"


def _recipient_json(recipient: QueuedRecipient) -> dict[str, Any]:
    return {
        "number": recipient.number,
        "address": str(recipient.recipient.address),
        "state": recipient.state.value,
        "next_hop": recipient.next_hop,
        "due": when(recipient.due_at),
        "attempts": recipient.attempts,
        "last_reply": recipient.last_reply,
    }


def record_row(record: StoredRecord) -> tuple[object, ...]:
    """One line a record."""
    return (
        when(record.at),
        record.event,
        mail_id_text(record.mail_id) if record.mail_id else "-",
        record.sender or "<>",
        record.recipients,
        record_what(record)[:_WHAT_SHOWN],
        record.message_id,
    )


def record_what(record: StoredRecord) -> str:
    """What a record says beyond its event: whose words, from where, why."""
    fields = record_json(record)
    context, data, reference = (
        str(fields.get(name, "")) for name in ("source-context", "custom-data", "reference")
    )
    match record.event:
        case Event.RECEIVE.value:
            return f"from {fields.get('client-ip', '')} by {fields.get('connector-id', '')}"
        case Event.TRANSFER.value:
            return f"split off {reference}: {data}"
        case Event.QUARANTINE.value | Event.DROP.value:
            return f"{context}: {data}"
        case Event.RELEASE.value | Event.REMOVE.value | Event.RESUBMIT.value:
            return f"by {context}" + (f": {data}" if data else "")
        case Event.DSN.value | Event.POISONMESSAGE.value:
            return data
    statuses = fields.get("recipient-status")
    said = "; ".join(dict.fromkeys(map(str, statuses))) if isinstance(statuses, list) else ""
    host = str(fields.get("server-hostname", "") or fields.get("server-ip", ""))
    return ", ".join(part for part in (f"{host}: {said}" if host and said else said or host, data) if part)


def record_json(record: StoredRecord) -> dict[str, Any]:
    """The record's own fields."""
    try:
        fields = json.loads(record.data)
    except ValueError:
        fields = None  # damaged: what the columns say is still true
    shown = dict(fields) if isinstance(fields, dict) else {}
    return {
        "time": when(record.at),
        "event": record.event,
        "id": mail_id_text(record.mail_id) if record.mail_id else "",
        **shown,
    }


def address_text(address: Address) -> str:
    """As between angle brackets; <> for the null sender."""
    return str(address) or "<>"
