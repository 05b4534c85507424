"""What each side saw: the client its answers, the sink its copies, the killer its kills, the store its settlements."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Answer(Enum):
    """How far the client came with one recipient of one message. Each message is offered exactly once."""

    STARTED = "started"
    """The end of the data was never written: nothing may arrive."""
    DATA_SENT = "data-sent"
    """The end of the data was given to the kernel; no answer yet."""
    ACKNOWLEDGED = "acknowledged"
    """2xx to the end of the data: must arrive."""
    REFUSED = "refused"
    """4xx or 5xx to the recipient or to the message: nothing may arrive."""
    UNKNOWN = "unknown"
    """The connection was lost between DATA_SENT and the answer: may arrive (RFC 1047)."""


@dataclass(slots=True)
class Sending:
    """One message of the client's side. The client changes it as the conversation goes on; nobody else does."""

    message: str
    digest: str
    size_bytes: int
    answers: dict[str, Answer]
    """Recipient -> answer."""
    code: int = 0
    """The reply code that ended it; 0: none came."""
    answered_at: float = 0.0
    queued_as: str = ""
    """The mail's id as the 250 named it."""

    def all_become(self, answer: Answer, *, code: int = 0, at: float = 0.0) -> None:
        """Every recipient that was not refused alone shares the fate of the message."""
        for recipient, was in self.answers.items():
            if was is not Answer.REFUSED:
                self.answers[recipient] = answer
        self.code, self.answered_at = code, at


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One message for one recipient as the sink took it. Times are of the harness's steady clock, in seconds."""

    message: str
    recipient: str
    token: str
    """Our queue name in the 250: the gateway's record of the settlement repeats it."""
    digest: str
    received_at: float
    answered_at: float | None
    """None: the sink hung up instead of answering, on purpose."""
    worker: int | None = None
    """Whose store it came from, told by the id in the gateway's Received field; None: not known."""


@dataclass(frozen=True, slots=True)
class Death:
    """A process that owned a store was killed. worker None: all of them were."""

    at: float
    worker: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The whole of a run, for the judge."""

    sendings: tuple[Sending, ...]
    copies: tuple[Copy, ...]
    deaths: tuple[Death, ...] = ()
    settled: frozenset[str] | None = None
    """Tokens of copies whose settlement is in the store; None: the server keeps no such record."""
    lag_s: float = 0.0
    """How late the harness itself was at worst: its sink may have read so late."""
    left: frozenset[tuple[str, str]] = field(default=frozenset())
    """(message, recipient) still in the queue after the time to empty it."""
