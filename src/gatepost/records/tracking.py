"""Message tracking: one function an event, each makes a record with Exchange's field names, all of them always there.

Every function returns a StoredRecord for KeepRecords. `at` is seconds since the epoch; texts
of the peer are cut and escaped here. `hostname` is ours. A recipient's status is its last_reply
as it is after the attempt, else `reply`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Final, TypedDict, Unpack

import msgspec

from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import QueuedMail, QueuedRecipient, StoredRecord
from gatepost.model.session import Session
from gatepost.records.values import all_shown, shown

SCHEMA_VERSION: Final = "gatepost-1"


class Event(Enum):
    """What happened (Exchange's event-id)."""

    RECEIVE = "RECEIVE"
    SEND = "SEND"
    DELIVER = "DELIVER"
    DEFER = "DEFER"
    FAIL = "FAIL"
    DROP = "DROP"
    DSN = "DSN"
    TRANSFER = "TRANSFER"
    BADMAIL = "BADMAIL"
    POISONMESSAGE = "POISONMESSAGE"
    RESUBMIT = "RESUBMIT"
    QUARANTINE = "QUARANTINE"
    """Ours: Exchange has no event for it."""
    RELEASE = "RELEASE"
    """Ours: let out of quarantine by a person."""
    REMOVE = "REMOVE"
    """Ours: taken out of the queue or the quarantine by a person."""


class Source(Enum):
    """Which part of the gateway caused it (Exchange's source)."""

    SMTP = "SMTP"
    AGENT = "AGENT"
    QUEUE = "QUEUE"
    ROUTING = "ROUTING"
    DNS = "DNS"
    DSN = "DSN"
    ADMIN = "ADMIN"
    POISONMESSAGE = "POISONMESSAGE"


class Tracking(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One tracking record, as it is stored and exported. The order of the fields is the order of the columns."""

    date_time: str
    client_ip: str = ""
    client_hostname: str = ""
    server_ip: str = ""
    server_hostname: str = ""
    source_context: str = ""
    connector_id: str = ""
    source: Source
    event_id: Event
    internal_message_id: str
    message_id: str
    network_message_id: str
    recipient_address: tuple[str, ...] = ()
    recipient_status: tuple[str, ...] = ()
    total_bytes: int = 0
    recipient_count: int = 0
    related_recipient_address: str = ""
    reference: str = ""
    message_subject: str = ""
    sender_address: str = ""
    return_path: str = ""
    message_info: str = ""
    directionality: str = ""
    original_client_ip: str = ""
    original_server_ip: str = ""
    custom_data: str = ""
    schema_version: str = SCHEMA_VERSION


class Peer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The other side of a delivery attempt, as far as there was one."""

    connector: str = ""
    """The send connector's name."""
    host: str = ""
    ip: str = ""


class _Columns(TypedDict, total=False):
    """The columns that differ between events; the others follow from the mail."""

    client_ip: str
    client_hostname: str
    server_ip: str
    server_hostname: str
    source_context: str
    connector_id: str
    reference: str
    sender_address: str
    message_info: str
    original_client_ip: str
    original_server_ip: str
    custom_data: str


NOBODY: Final = Peer()
_encode = msgspec.json.Encoder().encode


def received(
    mail: QueuedMail, session: Session, *, at: float, hostname: str, reply: str = "", from_address: str = ""
) -> StoredRecord:
    """RECEIVE: a mail was taken in. from_address: of the Sender field, else From, for the record only."""
    helo, from_address, reply = all_shown((session.helo, from_address, reply))
    return _record(
        mail,
        mail.recipients,
        Event.RECEIVE,
        Source.SMTP,
        at,
        client_ip=session.client_ip,
        client_hostname=helo,
        server_ip=session.local_ip,
        server_hostname=hostname,
        connector_id=session.connector,
        source_context=session.session_id,
        original_client_ip=session.origin_ip,
        original_server_ip=session.proxy_ip,
        sender_address=from_address,
        custom_data=reply,
        message_info=iso_time(mail.received_at),
    )


def sent(
    mail: QueuedMail,
    recipients: Sequence[QueuedRecipient],
    *,
    at: float,
    hostname: str,
    peer: Peer,
    reply: str,
    into_mailbox: bool = False,
) -> StoredRecord:
    """SEND: the next hop has taken the mail for these recipients; DELIVER when it was a mailbox (LMTP, maildir)."""
    return _with_peer(
        mail,
        recipients,
        Event.DELIVER if into_mailbox else Event.SEND,
        Source.SMTP,
        at,
        hostname,
        peer,
        reply,
    )


def deferred(
    mail: QueuedMail,
    recipients: Sequence[QueuedRecipient],
    *,
    at: float,
    hostname: str,
    peer: Peer = NOBODY,
    reply: str,
    due_at: float,
    source: Source = Source.SMTP,
) -> StoredRecord:
    """DEFER: an attempt failed for now; due_at is the next one."""
    return _with_peer(
        mail,
        recipients,
        Event.DEFER,
        source,
        at,
        hostname,
        peer,
        reply,
        custom_data=f"next attempt {iso_time(due_at)}",
    )


def failed(
    mail: QueuedMail,
    recipients: Sequence[QueuedRecipient],
    *,
    at: float,
    hostname: str,
    peer: Peer = NOBODY,
    reply: str,
    source: Source = Source.SMTP,
) -> StoredRecord:
    """FAIL: these recipients are given up; reply: the last one's words, for all that have none of their own."""
    return _with_peer(mail, recipients, Event.FAIL, source, at, hostname, peer, reply)


def dsn(notice: QueuedMail, about: QueuedMail, *, at: float, hostname: str) -> StoredRecord:
    """DSN: we wrote a notice; reference is the mail it is about."""
    return _record(
        notice,
        notice.recipients,
        Event.DSN,
        Source.DSN,
        at,
        server_hostname=hostname,
        reference=shown(about.message_id),
        custom_data=f"about {mail_id_text(about.mail_id)}",
    )


def told_of_delay(
    mail: QueuedMail, recipients: Sequence[QueuedRecipient], *, at: float, notice: QueuedMail
) -> StoredRecord:
    """DSN, beside the mail itself: its sender was told that it waits; reference is the notice."""
    return _record(
        mail,
        recipients,
        Event.DSN,
        Source.DSN,
        at,
        status=_status_of(recipients, ""),
        reference=shown(notice.message_id),
        custom_data=f"delayed, told by {mail_id_text(notice.mail_id)}",
    )


def dropped(
    mail: QueuedMail, recipients: Sequence[QueuedRecipient], *, at: float, agent: str, reason: str
) -> StoredRecord:
    """DROP: accepted and thrown away in silence, because an agent said so."""
    return _by_agent(mail, recipients, Event.DROP, at, agent, reason)


def quarantined(
    mail: QueuedMail, recipients: Sequence[QueuedRecipient], *, at: float, agent: str, reason: str
) -> StoredRecord:
    """QUARANTINE: the mail waits for a person."""
    return _by_agent(mail, recipients, Event.QUARANTINE, at, agent, reason)


def transferred(mail: QueuedMail, *, at: float, parent_id: int, reason: str = "") -> StoredRecord:
    """TRANSFER: recipients were split off into a mail of their own; reference is the mail they came from."""
    return _record(
        mail,
        mail.recipients,
        Event.TRANSFER,
        Source.ROUTING,
        at,
        reference=mail_id_text(parent_id),
        custom_data=shown(reason),
    )


def dead(
    mail: QueuedMail, recipients: Sequence[QueuedRecipient], *, at: float, reply: str, reason: str
) -> StoredRecord:
    """BADMAIL: undeliverable, and nobody may be told: kept for the administrator."""
    return _record(
        mail,
        recipients,
        Event.BADMAIL,
        Source.DSN,
        at,
        status=_status_of(recipients, reply),
        custom_data=shown(reason),
    )


def poison(mail: QueuedMail, *, at: float, crashes: int) -> StoredRecord:
    """POISONMESSAGE: held because delivering it killed the worker `crashes` times."""
    return _record(
        mail, mail.recipients, Event.POISONMESSAGE, Source.POISONMESSAGE, at, custom_data=f"crashes={crashes}"
    )


def released(mail: QueuedMail, recipients: Sequence[QueuedRecipient], *, at: float, by: str) -> StoredRecord:
    """RELEASE: a person let these recipients have their mail. by: who."""
    return _by_admin(mail, recipients, Event.RELEASE, at, by)


def removed(mail: QueuedMail, recipients: Sequence[QueuedRecipient], *, at: float, by: str) -> StoredRecord:
    """REMOVE: a person took the mail away from these recipients. by: who."""
    return _by_admin(mail, recipients, Event.REMOVE, at, by)


def resubmitted(
    mail: QueuedMail, recipients: Sequence[QueuedRecipient], *, at: float, by: str, reason: str = ""
) -> StoredRecord:
    """RESUBMIT: routed again, after a change of the configuration or because a person asked. by: who."""
    return _by_admin(mail, recipients, Event.RESUBMIT, at, by, reason)


def decode(record: StoredRecord) -> Tracking:
    """The stored form read back. Raises msgspec.ValidationError or DecodeError when it is none of ours."""
    return msgspec.json.decode(record.data, type=Tracking)


@lru_cache(maxsize=64)
def iso_time(at: float) -> str:
    """ "2026-11-22T13:05:00.123Z"; times no calendar has are the epoch. One moment is often written twice."""
    if not 0.0 <= at < _LAST_AT:
        at = 0.0
    whole = int(at)
    return f"{_second(whole)}.{int((at - whole) * 1000):03}Z"


_LAST_AT: Final = 253402300799.0  # 9999-12-31T23:59:59


@lru_cache(maxsize=64)
def _second(whole: int) -> str:
    """Kept for a while: thousands of records fall into one second, and making the text is their dearest part."""
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _with_peer(
    mail: QueuedMail,
    recipients: Sequence[QueuedRecipient],
    event: Event,
    source: Source,
    at: float,
    hostname: str,
    peer: Peer,
    reply: str,
    custom_data: str = "",
) -> StoredRecord:
    return _record(
        mail,
        recipients,
        event,
        source,
        at,
        status=_status_of(recipients, reply),
        client_hostname=hostname,
        server_ip=peer.ip,
        server_hostname=shown(peer.host),
        connector_id=peer.connector,
        source_context=shown(reply),
        custom_data=custom_data,
    )


def _by_agent(
    mail: QueuedMail, recipients: Sequence[QueuedRecipient], event: Event, at: float, agent: str, reason: str
) -> StoredRecord:
    return _record(
        mail, recipients, event, Source.AGENT, at, source_context=shown(agent), custom_data=shown(reason)
    )


def _by_admin(
    mail: QueuedMail,
    recipients: Sequence[QueuedRecipient],
    event: Event,
    at: float,
    by: str,
    reason: str = "",
) -> StoredRecord:
    return _record(
        mail, recipients, event, Source.ADMIN, at, source_context=shown(by), custom_data=shown(reason)
    )


def _status_of(recipients: Sequence[QueuedRecipient], reply: str) -> tuple[str, ...]:
    """The words about each recipient, in their order: its own where it has any."""
    return tuple([shown(r.last_reply or reply) for r in recipients])


def _record(
    mail: QueuedMail,
    recipients: Sequence[QueuedRecipient],
    event: Event,
    source: Source,
    at: float,
    *,
    status: tuple[str, ...] = (),
    **columns: Unpack[_Columns],
) -> StoredRecord:
    addresses = [str(r.recipient.address) for r in recipients]
    return_path, message_id, subject, *addresses = all_shown(
        (str(mail.sender), mail.message_id, mail.subject, *addresses)
    )
    names = tuple(addresses)
    if "original_client_ip" not in columns:
        columns["original_client_ip"] = mail.client_ip
    if not columns.get("sender_address"):
        columns["sender_address"] = return_path
    tracking = Tracking(
        date_time=iso_time(at),
        source=source,
        event_id=event,
        internal_message_id=mail_id_text(mail.mail_id),
        message_id=message_id,
        network_message_id=_network_message_id(mail),
        recipient_address=names,
        recipient_status=status,
        total_bytes=mail.size_bytes,
        recipient_count=len(names),
        message_subject=subject,
        return_path=return_path,
        directionality="Originating" if mail.authenticated or mail.is_notice else "Incoming",
        **columns,
    )
    return StoredRecord(
        kind="track",
        at=at,
        event=event._value_,
        mail_id=mail.mail_id,
        sender=return_path,
        recipients=";".join(names),
        message_id=message_id,
        data=_encode(tracking),
    )


def _network_message_id(mail: QueuedMail) -> str:
    """The same for every part of a split mail: the session and the moment it was received in."""
    return f"{mail.session_id}-{int(mail.received_at * 1000):x}"
