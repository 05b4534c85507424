"""What a message that came in becomes in the store: its mail, its content with our trace, its records. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from gatepost.config.delivery_settings import Delivery
from gatepost.config.settings import Settings
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.intake.transaction import Transaction
from gatepost.message.firewall import apply_edits, firewalled
from gatepost.message.headers import HeaderIndex
from gatepost.message.priority import priority_of
from gatepost.message.trace import completing_fields, received_field
from gatepost.message.words import text_of
from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.known import MailView
from gatepost.model.mail_id import mail_id_text
from gatepost.model.proof import NOT_PROVEN, ReturnPathProof
from gatepost.model.queued import MailState, Priority, QueuedMail, QueuedRecipient, StoredRecord
from gatepost.model.session import Rights, Session
from gatepost.model.verdict import Action, Disposition
from gatepost.policy.folding import Decision, Group
from gatepost.policy.hearing import Hearing
from gatepost.queue.schedule import Held
from gatepost.records import agent_log, tracking
from gatepost.routing.next_hop import SMTP_SOURCE, NextHop, Router

# Read for every mail: see policy.hearing.
_ROUTING: Final = Rights.ROUTING_HEADERS
_INTERNAL: Final = Rights.INTERNAL
_QUARANTINE: Final = Action.QUARANTINE
_DISCARD: Final = Action.DISCARD
_DEFERRED: Final = MailState.DEFERRED
SUBJECT_LIMIT_CHARACTERS: Final = 255
MESSAGE_ID_LIMIT_CHARACTERS: Final = 255
FROM_LIMIT_CHARACTERS: Final = 255
REASON_LIMIT_CHARACTERS: Final = 500


Route = Callable[[Address], NextHop]
HeldHops = Callable[[str], "Held | None"]
"""Of a next hop's key: why mail for it would only wait now; None when it may leave."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One message at its end of data, header firewall applied.

    hostname: ours at this door. authserv_id: ours in Authentication-Results.
    proof: of its return path, once it has been judged.
    """

    hostname: str
    authserv_id: str
    session: Session
    transaction: Transaction
    hearing: Hearing
    view: MailView
    content: Content
    index: HeaderIndex
    message_id: str = ""
    """The field's value, as records show it."""
    proof: ReturnPathProof = NOT_PROVEN

    is_authenticated: bool = False
    """Its client logged in or is internal."""


def is_authenticated(session: Session) -> bool:
    """As Arrival says it."""
    return bool(session.user) or _INTERNAL in session.rights


def queued_mail(
    arrival: Arrival,
    decisions: Sequence[Decision],
    mail_id: int,
    *,
    scl: int,
    state: MailState | None,
    settings: Settings,
    router: Router,
    held: HeldHops,
) -> QueuedMail:
    """The mail these recipients share.

    state: None lets the route decide: ready, unreachable, or deferred where the next hop takes nothing now.
    """
    envelope, view = arrival.transaction.envelope, arrival.view
    size_bytes, source = view.size_bytes, f"{SMTP_SOURCE}{arrival.session.connector}"
    route = partial(router.next_hop_for, size_bytes=size_bytes, source=source)
    subject = arrival.index.first(b"subject") if settings.records.subjects else None
    return QueuedMail(
        mail_id=mail_id,
        session_id=arrival.session.session_id,
        received_at=view.now,
        expires_at=view.now + settings.queue.expiry_s,
        sender=envelope.sender,
        body_type=envelope.body,
        smtputf8=envelope.smtputf8,
        require_tls=envelope.require_tls,
        ret=envelope.ret,
        envid=envelope.envid,
        recipients=_taken_back(decisions, state, route)
        if state is not None
        else _recipients(decisions, route, held, expires_at=view.now + settings.queue.expiry_s),
        size_bytes=size_bytes,
        source=source,
        client_ip=arrival.session.client_ip,
        message_id=arrival.message_id,
        subject=text_of(subject, SUBJECT_LIMIT_CHARACTERS) if subject else "",
        scl=scl,
        authenticated=arrival.is_authenticated,
        priority=_priority(arrival, settings.delivery),
        proof=arrival.proof,
    )


def _priority(arrival: Arrival, delivery: Delivery) -> Priority:
    """What the fields ask for, where they are heeded."""
    heeded = delivery.priority_from
    if heeded == "nobody" or (heeded == "authenticated" and not arrival.is_authenticated):
        return Priority.NORMAL
    asked = priority_of(arrival.index)
    too_large = arrival.content.size_bytes > delivery.high_priority_size_bytes
    return Priority.NORMAL if asked is Priority.HIGH and too_large else asked


def may_leave(mail: QueuedMail) -> QueuedMail | None:
    """The mail with the recipients that need not wait, for the scheduler; None when all must."""
    ready = tuple([r for r in mail.recipients if r.state is not _DEFERRED])
    if len(ready) == len(mail.recipients):
        return mail
    return replace(mail, recipients=ready) if ready else None


def content_with_trace(arrival: Arrival, group: Group, mail_id: int) -> Content:
    """The content as it leaves: edits applied, then Received on top of everything."""
    envelope = arrival.transaction.envelope
    name = mail_id_text(mail_id)
    only = envelope.recipients[0].address if len(envelope.recipients) == 1 else None
    trace = received_field(
        arrival.session,
        envelope,
        hostname=arrival.hostname,
        mail_id=name,
        now=arrival.view.now,
        recipient=only,
        unverified=_is_unverified(arrival),
    )
    completed = b""
    if arrival.is_authenticated:
        completed = completing_fields(
            arrival.index, arrival.session, hostname=arrival.hostname, mail_id=name, now=arrival.view.now
        )
    brought = arrival.content.head
    if _ROUTING not in arrival.session.rights:
        brought = firewalled(brought, arrival.session.rights, authserv_id=arrival.authserv_id)
    head = trace + completed + apply_edits(brought, group.edits)
    return Content(head=head, body=arrival.content.body, form=arrival.content.form)


def _is_unverified(arrival: Arrival) -> bool:
    """Somebody found out that no name of the client's address leads back to it; nobody waits to find out."""
    found = arrival.hearing.fact(ReverseDns)
    return (
        isinstance(found, ReverseDns)
        and found.address == arrival.session.client_ip
        and not (found.confirmed or found.unanswered)
    )


def group_records(
    arrival: Arrival, mail: QueuedMail, group: Group, *, hostname: str, parent_id: int, reply: str
) -> list[StoredRecord]:
    """RECEIVE, or TRANSFER for a mail split off another; QUARANTINE or DROP on top where that is its fate."""
    at = arrival.view.now
    if mail.mail_id == parent_id:
        sender = _text(arrival.index, b"sender", FROM_LIMIT_CHARACTERS) or _from(arrival)
        records = [
            tracking.received(
                mail, arrival.session, at=at, hostname=hostname, reply=reply, from_address=sender
            )
        ]
    else:
        records = [
            tracking.transferred(mail, at=at, parent_id=parent_id, reason="recipients' answers differ")
        ]
    said = group.decisions[0].disposition
    if group.action is _QUARANTINE:
        records.append(
            tracking.quarantined(mail, mail.recipients, at=at, agent=said.decided_by, reason=said.reason)
        )
    elif group.action is _DISCARD:
        records.append(
            tracking.dropped(mail, mail.recipients, at=at, agent=said.decided_by, reason=said.reason)
        )
    return records


def opinion_records(
    session: Session,
    transaction: Transaction,
    hearing: Hearing,
    *,
    at: float,
    index: HeaderIndex | None = None,
) -> Iterable[StoredRecord]:
    """The agent log of one mail: every opinion since MAIL that was more than a silent pass."""
    envelope = transaction.envelope
    for stage, recipient, disposition in hearing.verdict_log:
        if not agent_log.is_logged(disposition):
            continue
        about = agent_log.Subject(
            envelope=envelope,
            recipients=(recipient.address,) if recipient is not None else None,
            mail_id=transaction.mail_id,
            message_id=message_id_of(index) if index else "",
            from_addresses=(_text(index, b"from", FROM_LIMIT_CHARACTERS),) if index else (),
        )
        yield from agent_log.entries(session, stage, disposition, at=at, about=about)


def message_id_of(index: HeaderIndex) -> str:
    """As records show it; "" when there is none."""
    return _text(index, b"message-id", MESSAGE_ID_LIMIT_CHARACTERS)


def refused_recipients(decisions: Sequence[Decision], router: Router) -> tuple[QueuedRecipient, ...]:
    """Recipients that were refused while others were taken, as a notice names them."""
    return tuple(
        QueuedRecipient(
            number=number,
            recipient=decision.recipient,
            next_hop=router.next_hop_for(decision.recipient.address).key,
            state=MailState.FAILED,
            last_reply=str(decision.disposition.reply or "550 5.7.1 Refused"),
        )
        for number, decision in enumerate(decisions)
    )


def _recipients(
    decisions: Sequence[Decision], route: Route, held: HeldHops, *, expires_at: float
) -> tuple[QueuedRecipient, ...]:
    found = []
    for number, decision in enumerate(decisions):
        hop = route(decision.recipient.address)
        waits = held(hop.key)
        found.append(
            QueuedRecipient(
                number=number,
                recipient=decision.recipient,
                next_hop=hop.key,
                state=hop.first_state if waits is None else _DEFERRED,
                # 0: at once; and nobody waits past the time at which the sender is to be told
                due_at=0.0 if waits is None else min(waits.until_at, expires_at),
                last_reply="" if waits is None else waits.why,
            )
        )
    return tuple(found)


def _taken_back(decisions: Sequence[Decision], state: MailState, route: Route) -> tuple[QueuedRecipient, ...]:
    """Recipients that get nothing for now, or at all."""
    return tuple(
        QueuedRecipient(
            number=number,
            recipient=decision.recipient,
            next_hop=route(decision.recipient.address).key,
            state=state,
            last_reply=_reason(decision.disposition) if state is MailState.QUARANTINED else "",
        )
        for number, decision in enumerate(decisions)
    )


def _reason(disposition: Disposition) -> str:
    return f"{disposition.decided_by}: {disposition.reason}"[:REASON_LIMIT_CHARACTERS]


def _from(arrival: Arrival) -> str:
    return _text(arrival.index, b"from", FROM_LIMIT_CHARACTERS)


def _text(index: HeaderIndex | None, name: bytes, limit_characters: int) -> str:
    value = index.first(name) if index is not None else None
    return text_of(value, limit_characters) if value else ""
