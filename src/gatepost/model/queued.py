"""A mail we have promised to deliver, as the store keeps it: one state for each recipient."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

import msgspec

from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.envelope import BodyType, Envelope, Recipient, Ret
from gatepost.model.proof import NOT_PROVEN, ReturnPathProof


class MailState(Enum):
    """Where one recipient of a mail stands. queue/states.py has the table of what leads where."""

    __hash__ = object.__hash__  # looked up for every row: by identity, not by a Python function

    READY = "ready"
    LEASED = "leased"
    DEFERRED = "deferred"
    SUSPENDED = "suspended"
    UNREACHABLE = "unreachable"
    POISON = "poison"
    QUARANTINED = "quarantined"
    DEAD = "dead"
    DELIVERED = "delivered"
    FAILED = "failed"
    REMOVED = "removed"

    @property
    def is_final(self) -> bool:
        """Nothing is left on disk but records."""
        return self in (MailState.DELIVERED, MailState.FAILED, MailState.REMOVED)


class Priority(IntEnum):
    """Which mail leaves first of those that wait for one next hop. The number says how many leads it is ahead."""

    HIGH = 1
    NORMAL = 0
    LOW = -1
    NONE = -2
    """Mass mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedRecipient:
    """One recipient in the queue."""

    number: int
    """0-based, the position in the envelope; never changes."""
    recipient: Recipient
    next_hop: str
    """The routing key (routing.next_hop): mails with the same one may share a connection."""
    state: MailState = MailState.READY
    due_at: float = 0.0
    attempts: int = 0
    last_reply: str = ""
    """What the next hop (or we) said last: one line, control characters replaced, at most 500 octets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMail:
    """One mail with its own content and the recipients that share it. A split mail is several of these."""

    mail_id: int
    session_id: str
    received_at: float
    expires_at: float
    sender: Address
    body_type: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    require_tls: bool = False
    ret: Ret | None = None
    envid: str = ""
    recipients: tuple[QueuedRecipient, ...] = ()
    size_bytes: int = 0
    source: str = ""
    """"SMTP:internet", "DSN", "PICKUP", ...: Exchange's MessageSourceName."""
    client_ip: str = ""
    message_id: str = ""
    """The Message-ID field's value, for tracking; peer's text."""
    subject: str = ""
    scl: int = 0
    authenticated: bool = False
    """Its client logged in or is internal: the mail is ours to sign, to hurry, and to send notices about."""
    proof: ReturnPathProof = NOT_PROVEN
    """Of a stranger's mail: what shows that its return path is not forged, so that notices may go there."""
    is_notice: bool = False
    """Written by us (source DSN): expires earlier and is never answered by a notice."""
    priority: Priority = Priority.NORMAL

    @property
    def envelope(self) -> Envelope:
        """As it came, for the next hop."""
        return Envelope(
            sender=self.sender,
            recipients=tuple(r.recipient for r in self.recipients),
            body=self.body_type,
            smtputf8=self.smtputf8,
            require_tls=self.require_tls,
            ret=self.ret,
            envid=self.envid,
        )


class StoredRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record ready for the store: columns to search by, and the whole as JSON.

    A Struct, because every mail has several and it is made in a tenth of a dataclass's time.
    """

    kind: str
    """"track" or "agent"."""
    at: float
    event: str
    mail_id: int = 0
    sender: str = ""
    recipients: str = ""
    """Joined by ";"."""
    message_id: str = ""
    data: bytes = b"{}"


class Accept(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Change: take a mail in. Its recipients' states say whether it is queued or quarantined."""

    mail: QueuedMail
    content: Content


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one recipient."""

    number: int
    state: MailState
    due_at: float = 0.0
    attempts: int = 0
    last_reply: str = ""
    next_hop: str | None = None
    """A new next hop (re-routing); None leaves it."""


class Settle(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Change: new states of some recipients of one mail. When all are final the mail leaves the store."""

    mail_id: int
    settlements: tuple[Settlement, ...]
    expires_at: float | None = None
    """A new expiry for the mail (released after a long wait for a person); None leaves it."""


class KeepRecords(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Change: append records. Ride with the next transaction; alone, committed within a second."""

    records: tuple[StoredRecord, ...]


class KeepDossier(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Change: keep facts and verdicts of a mail (or of a refused transaction) for explain and replay."""

    mail_id: int
    at: float
    data: bytes


Change = Accept | Settle | KeepRecords | KeepDossier
