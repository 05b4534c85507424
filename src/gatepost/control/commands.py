"""The words between the command line and a worker: typed commands, typed answers, as msgpack."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from gatepost.model.connector_state import ConnectorState

COMMAND_LIMIT_BYTES: Final = 1 << 20
TARGETS_LIMIT: Final = 5_000
"""Most mails in one command: the caller sends more in several commands."""
_RECIPIENTS_LIMIT: Final = 1_000
_TEXT_LIMIT: Final = 1_000

MailId = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
Number = Annotated[int, Meta(ge=0, le=100_000)]
Text = Annotated[str, Meta(max_length=_TEXT_LIMIT)]


class Target(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One mail, and which of its recipients by number; no numbers: all of them."""

    mail_id: MailId
    numbers: Annotated[tuple[Number, ...], Meta(max_length=_RECIPIENTS_LIMIT)] = ()


Targets = Annotated[tuple[Target, ...], Meta(max_length=TARGETS_LIMIT)]


class Command(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every command says: who asks, for the record."""

    by: Text = ""


class RetryMail(Command, frozen=True, tag="retry-mail"):
    """Try these mails now, whatever they wait for; unreachable, poison and dead mail goes back to the queue.

    via: the send connector they leave by, whatever address spaces say; "": as routing chooses.
    """

    targets: Targets
    via: Text = ""


class RetryHop(Command, frozen=True, tag="retry-hop"):
    """Try everything that waits for a next hop now; "" is every next hop."""

    next_hop: Text = ""


class SuspendHop(Command, frozen=True, tag="suspend-hop"):
    """Attempt nothing for this next hop until it is resumed or the worker restarts."""

    next_hop: Text


class ResumeHop(Command, frozen=True, tag="resume-hop"):
    """Go on with a next hop."""

    next_hop: Text


class SuspendMail(Command, frozen=True, tag="suspend-mail"):
    """Attempt these mails no more until they are resumed; survives a restart."""

    targets: Targets


class ResumeMail(Command, frozen=True, tag="resume-mail"):
    """Put suspended mails back into the queue, due now."""

    targets: Targets


class RemoveMail(Command, frozen=True, tag="remove-mail"):
    """Take mails out of the queue for good; with `notice` their senders are told (RFC 3464)."""

    targets: Targets
    notice: bool = False


class ReleaseQuarantine(Command, frozen=True, tag="release-quarantine"):
    """Deliver quarantined mail to its original recipients; it is not judged again."""

    targets: Targets


class DeleteQuarantine(Command, frozen=True, tag="delete-quarantine"):
    """Remove quarantined mail for good. Nobody is told."""

    targets: Targets


class AskStatus(Command, frozen=True, tag="status"):
    """How the worker is."""


class AskMetrics(Command, frozen=True, tag="metrics"):
    """Everything the worker counted."""


class ReopenLog(Command, frozen=True, tag="reopen-log"):
    """Close the log file and open the one of that name: for log rotation."""


class TakeConfiguration(Command, frozen=True, tag="take-configuration"):
    """Go on with this configuration, keeping sessions and deliveries. text: the file's, path: for messages."""

    path: str
    text: str


class SetConnector(Command, frozen=True, tag="set-connector"):
    """Have a receive connector run, pause, drain or stop."""

    name: Text
    state: ConnectorState


class ConfirmClock(Command, frozen=True, tag="confirm-clock"):
    """Believe the wall clock, however far it jumped (threats O17)."""


AnyCommand = (
    RetryMail
    | RetryHop
    | SuspendHop
    | ResumeHop
    | SuspendMail
    | ResumeMail
    | RemoveMail
    | ReleaseQuarantine
    | DeleteQuarantine
    | AskStatus
    | AskMetrics
    | ReopenLog
    | TakeConfiguration
    | SetConnector
    | ConfirmClock
)


class Skipped(Struct, frozen=True, array_like=True):
    """A mail that was not changed, and why."""

    mail_id: int
    reason: str


class Changed(Struct, frozen=True, tag="changed"):
    """It is done, and durable: how many mails and recipients were changed, and what was skipped."""

    mails: int = 0
    recipients: int = 0
    skipped: tuple[Skipped, ...] = ()
    notices: int = 0

    def __add__(self, other: Changed) -> Changed:
        return Changed(
            mails=self.mails + other.mails,
            recipients=self.recipients + other.recipients,
            skipped=self.skipped + other.skipped,
            notices=self.notices + other.notices,
        )


class Refused(Struct, frozen=True, tag="refused"):
    """It was not done, and nothing was changed."""

    reason: str


class HopState(Struct, frozen=True):
    """One next hop as the worker's scheduler sees it."""

    next_hop: str
    waiting: int = 0
    in_flight: int = 0
    connections: int = 0
    suspended: bool = False
    retry_at: float = 0.0
    """Until then the hop is left alone, because it could not be reached; 0: it is not."""
    last_reply: str = ""


class ConnectorStatus(Struct, frozen=True):
    """One receive connector of a worker. sessions: those that are open."""

    name: str
    state: ConnectorState
    sessions: int = 0


class CertificateState(Struct, frozen=True, array_like=True):
    """One certificate that a connector shows, as in model.certificate.OwnCertificate."""

    direction: str
    connector: str
    file: str
    names: tuple[str, ...] = ()
    issuer: str = ""
    expires_at: float = 0.0


class PlugInOff(Struct, frozen=True, array_like=True):
    """An agent or fact of a third party that is switched off, as in policy.fuses.OffPlugIn."""

    plug_in: str
    since: float
    faults: int
    error: str
    until: float = 0.0


LEVELS: Final = ("normal", "medium", "high")
"""Of a resource's back pressure."""


class ResourceState(Struct, frozen=True, array_like=True):
    """One watched resource of a worker."""

    resource: str
    level: str
    """One of LEVELS."""
    value: float
    marks: tuple[float, float, float]
    """In the order of LEVELS."""


class WorkerStatus(Struct, frozen=True, tag="status"):
    """How a worker is."""

    worker: int
    process_id: int
    started_at: float
    revision: str
    """Of the configuration in force."""
    sessions: int = 0
    not_accepting: str = ""
    """Why no new mail is taken; "" while it is."""
    hops: tuple[HopState, ...] = ()
    connectors: tuple[ConnectorStatus, ...] = ()
    """The enabled receive connectors."""
    clock_jump_s: float = 0.0
    """How far the wall clock is from the time the queue believes; 0: it is believed."""
    resources: tuple[ResourceState, ...] = ()
    stressed: tuple[str, ...] = ()
    """Receive connectors whose stress profile is in force."""
    shared_problem: str = ""
    """Why it knows nothing of what other workers count and list; "" while it does."""
    certificates: tuple[CertificateState, ...] = ()
    plug_ins_off: tuple[PlugInOff, ...] = ()


class Samples(Struct, frozen=True, tag="metrics"):
    """Counters and gauges: name, labels, value."""

    samples: tuple[tuple[str, tuple[tuple[str, str], ...], float], ...] = ()


AnyReply = Changed | Refused | WorkerStatus | Samples

_encoder: Final = msgspec.msgpack.Encoder()
_commands: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(AnyCommand)
_replies: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(AnyReply)


def encode(message: AnyCommand | AnyReply) -> bytes:
    """For the wire, at most COMMAND_LIMIT_BYTES for a command that its limits allow."""
    return _encoder.encode(message)


def decode_command(data: bytes) -> AnyCommand:
    """Raises ValueError for anything that is not a command: unknown tag, wrong type, too long, too many."""
    return decoded(_commands, data)  # type: ignore[no-any-return]


def decode_reply(data: bytes) -> AnyReply:
    """Raises ValueError for anything that is not an answer."""
    return decoded(_replies, data)  # type: ignore[no-any-return]


def decoded(decoder: msgspec.msgpack.Decoder[Any], data: bytes) -> Any:
    """Raises ValueError for octets that are not what the decoder knows."""
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not understood: {error}") from None
