"""The agent log: one entry for each opinion that was more than a silent pass, with Exchange's field names."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from gatepost.model.address import Address
from gatepost.model.envelope import Envelope
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import StoredRecord
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.model.verdict import Action, Disposition, Stage, Verdict
from gatepost.records.tracking import iso_time
from gatepost.records.values import shown

ENGINE: Final = "protocol"
"""The Agent of refusals that no agent asked for: the protocol engine and the intake's own limits."""
SCORE: Final = "score"


class LoggedAction(Enum):
    """What was done (Exchange's Action)."""

    ACCEPT_MESSAGE = "AcceptMessage"
    DELETE_MESSAGE = "DeleteMessage"
    DELETE_RECIPIENTS = "DeleteRecipients"
    DISCONNECT = "Disconnect"
    QUARANTINE_MESSAGE = "QuarantineMessage"
    QUARANTINE_RECIPIENTS = "QuarantineRecipients"
    REJECT_AUTHENTICATION = "RejectAuthentication"
    REJECT_COMMAND = "RejectCommand"
    REJECT_CONNECTION = "RejectConnection"
    REJECT_MESSAGE = "RejectMessage"
    REJECT_RECIPIENTS = "RejectRecipients"


class AgentLogEntry(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One line of the agent log. The order of the fields is the order of the columns."""

    timestamp: str
    session_id: str
    local_endpoint: str
    remote_endpoint: str
    entered_org_from_ip: str = msgspec.field(name="EnteredOrgFromIP")
    message_id: str = ""
    p1_from_address: str = msgspec.field(name="P1FromAddress", default="")
    p2_from_addresses: tuple[str, ...] = msgspec.field(name="P2FromAddresses", default=())
    recipient: tuple[str, ...] = ()
    num_recipients: int = 0
    agent: str
    event: str
    action: LoggedAction
    smtp_response: str = ""
    reason: str = ""
    reason_data: str = ""
    diagnostics: str = ""
    network_message_id: str = ""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What the opinions were about, as far as it was known when they were given."""

    envelope: Envelope | None = None
    recipients: tuple[Address, ...] | None = None
    """Fewer than the envelope's, where the opinion was about some; None: all of them."""
    mail_id: int = 0
    message_id: str = ""
    from_addresses: tuple[str, ...] = ()


NOTHING_YET: Final = Subject()
_PASS: Final = Action.PASS
_encode = msgspec.json.Encoder().encode


def is_logged(disposition: Disposition) -> bool:
    """Whether `entries` makes any of it."""
    if disposition.action is not _PASS or disposition.decided_by == SCORE:
        return True
    return any(verdict.action is not _PASS or verdict.findings for verdict in disposition.verdicts)


def entries(
    session: Session, stage: Stage, disposition: Disposition, *, at: float, about: Subject = NOTHING_YET
) -> tuple[StoredRecord, ...]:
    """A record for each opinion but silent passes: passes with findings are in, as AcceptMessage.

    The score's decision, which is no agent's, has an entry of its own.
    """
    records = [
        _record(session, stage, verdict.agent, verdict.action, at=at, about=about, opinion=_words(verdict))
        for verdict in disposition.verdicts
        if verdict.action is not _PASS or verdict.findings
    ]
    if disposition.decided_by == SCORE:
        words = _Words(disposition.reply, disposition.reason, f"SCL={disposition.scl}")
        records.append(_record(session, stage, SCORE, disposition.action, at=at, about=about, opinion=words))
    return tuple(records)


def refused_by_engine(
    session: Session, stage: Stage, reply: Reply, reason: str, *, at: float, about: Subject = NOTHING_YET
) -> StoredRecord:
    """A refusal by the protocol engine or by a limit of the intake."""
    action = Action.DEFER if reply.is_temporary else Action.REJECT
    words = _Words(reply, reason, "")
    return _record(session, stage, ENGINE, action, at=at, about=about, opinion=words)


def decode(record: StoredRecord) -> AgentLogEntry:
    """The stored form read back. Raises msgspec.ValidationError or DecodeError when it is none of ours."""
    return msgspec.json.decode(record.data, type=AgentLogEntry)


class _Words(msgspec.Struct, frozen=True):
    reply: Reply | None
    reason: str
    data: str


def _words(verdict: Verdict) -> _Words:
    return _Words(verdict.reply, verdict.reason, ", ".join(finding.name for finding in verdict.findings))


_OF_CONNECTION: Final = frozenset({Stage.CONNECT})
_OF_COMMAND: Final = frozenset({Stage.HELO, Stage.STARTTLS, Stage.MAIL, Stage.DATA, Stage.RSET, Stage.REJECT})


def logged_action(stage: Stage, action: Action, *, some_recipients: bool, hangs_up: bool) -> LoggedAction:
    """Exchange's word for what an opinion meant at a stage.

    some_recipients: it was about some of the mail's recipients only. hangs_up: the connection was closed with it.
    """
    if action in (Action.PASS, Action.TAG):
        return LoggedAction.ACCEPT_MESSAGE
    if action is Action.QUARANTINE:
        return LoggedAction.QUARANTINE_RECIPIENTS if some_recipients else LoggedAction.QUARANTINE_MESSAGE
    if action is Action.DISCARD:
        return LoggedAction.DELETE_RECIPIENTS if some_recipients else LoggedAction.DELETE_MESSAGE
    return _refusal(stage, some_recipients=some_recipients, hangs_up=hangs_up)


def _refusal(stage: Stage, *, some_recipients: bool, hangs_up: bool) -> LoggedAction:
    if stage in _OF_CONNECTION:
        return LoggedAction.REJECT_CONNECTION
    if stage is Stage.DISCONNECT or (hangs_up and stage in _OF_COMMAND):
        return LoggedAction.DISCONNECT
    if stage is Stage.AUTH:
        return LoggedAction.REJECT_AUTHENTICATION
    if stage in _OF_COMMAND:
        return LoggedAction.REJECT_COMMAND
    if stage is Stage.RCPT or some_recipients:
        return LoggedAction.REJECT_RECIPIENTS
    return LoggedAction.REJECT_MESSAGE


def _record(
    session: Session, stage: Stage, agent: str, action: Action, *, at: float, about: Subject, opinion: _Words
) -> StoredRecord:
    everyone = tuple(r.address for r in about.envelope.recipients) if about.envelope else ()
    addresses = everyone if about.recipients is None else about.recipients
    names = tuple([shown(str(address)) for address in addresses])
    sender = shown(str(about.envelope.sender)) if about.envelope else ""
    message_id = shown(about.message_id)
    logged = logged_action(
        stage,
        action,
        some_recipients=about.recipients is not None and len(addresses) < len(everyone),
        hangs_up=opinion.reply is not None and opinion.reply.hangs_up,
    )
    entry = AgentLogEntry(
        timestamp=iso_time(at),
        session_id=session.session_id,
        local_endpoint=_endpoint(session.local_ip, session.local_port),
        remote_endpoint=_endpoint(session.client_ip, session.client_port),
        entered_org_from_ip=session.origin_ip,
        message_id=message_id,
        p1_from_address=sender,
        p2_from_addresses=tuple([shown(text) for text in about.from_addresses]),
        recipient=names,
        num_recipients=len(names),
        agent=agent,
        event=_EVENT_NAMES[stage],
        action=logged,
        smtp_response=shown(str(opinion.reply)) if opinion.reply else "",
        reason=shown(opinion.reason),
        reason_data=shown(opinion.data),
        diagnostics=f"proxy={session.proxy_ip}" if session.proxy_ip else "",
        network_message_id=mail_id_text(about.mail_id) if about.mail_id else "",
    )
    return StoredRecord(
        kind="agent",
        at=at,
        event=logged.value,
        mail_id=about.mail_id,
        sender=sender,
        recipients=";".join(names),
        message_id=message_id,
        data=_encode(entry),
    )


def _endpoint(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


_EVENT_NAMES: Final = {
    Stage.CONNECT: "OnConnect",
    Stage.HELO: "OnEhlo",
    Stage.STARTTLS: "OnStartTls",
    Stage.AUTH: "OnAuth",
    Stage.MAIL: "OnMailCommand",
    Stage.RCPT: "OnRcptCommand",
    Stage.DATA: "OnDataCommand",
    Stage.END_OF_HEADERS: "OnEndOfHeaders",
    Stage.END_OF_DATA: "OnEndOfData",
    Stage.REJECT: "OnReject",
    Stage.RSET: "OnRset",
    Stage.DISCONNECT: "OnDisconnect",
}
