"""What everybody did and saw, in order: the evidence for the judge, and a digest by which two runs are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gatepost.model.queued import MailState, QueuedMail
from sim.loop import EPOCH_AT
from sim.network import Transport

LINES_KEPT: Final = 200_000


class Answer(Enum):
    """How a message ended for the client that sent it."""

    STARTED = "started"
    """The end of the data was never written whole."""
    UNKNOWN = "unknown"
    """It was, and the connection ended before an answer."""
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"


@dataclass
class Sent:
    """One message as its client saw it."""

    name: str
    sender: str
    taken: set[str] = field(default_factory=set)
    """Recipients that were answered 250."""
    unanswered: set[str] = field(default_factory=set)
    answer: Answer = Answer.STARTED
    part: bytes = b""
    """From the mark to the end."""
    signed: str = ""
    """What a check of its DKIM signature must come to; "": it has none."""


@dataclass
class Kept:
    """One mail that became durable in the store."""

    mail: QueuedMail
    name: str
    """Of the ledger; "" for a notice."""
    digest: str
    """SHA-256 of the whole content."""
    at: float
    addresses: tuple[str, ...] = ()
    ends: dict[int, list[MailState]] = field(default_factory=dict)
    """Final states by recipient, in the order they became durable."""
    states: dict[int, MailState] = field(default_factory=dict)
    held_for_crashes: int = 0
    """Deaths during which it was in work."""


@dataclass
class Copy:
    """One mail that a next hop took for one recipient."""

    digest: str
    recipient: str
    token: str
    at: float
    wire: Transport | None
    end: int
    """How many octets of the hop had arrived with its 2xx; -1: it said none."""

    @property
    def was_answered(self) -> bool:
        """The 2xx reached a gateway that was alive."""
        return self.wire is not None and 0 <= self.end <= self.wire.delivered


@dataclass(frozen=True)
class Said:
    """One reply of a next hop, under the token in its text."""

    token: str
    code: int
    stage: str
    recipient: str
    sender: str
    at: float


class Journal:
    """Everything of one run."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._hash = hashlib.sha256()
        self.lines: list[str] = []
        self.sent: dict[str, Sent] = {}
        self.kept: dict[int, Kept] = {}
        self.by_digest: dict[str, int] = {}
        self.copies: dict[tuple[str, str], list[Copy]] = {}
        self.said: dict[str, Said] = {}
        self.settled: dict[str, float] = {}
        """Tokens in durable settlements, and when that became so."""
        self.deaths: list[tuple[float, int]] = []
        """When a worker died, and its number."""
        self.revisions: list[tuple[float, int]] = []
        """When which revision of the configuration may have come into force."""
        self.listed: frozenset[str] = frozenset()
        """The recipients the gateway is told of."""
        self.srs = False
        """Return paths of strangers are rewritten for the partners."""
        self.pointers: dict[str, set[tuple[str, ...]]] = {}
        """Every answer the DNS gave about the names of an address."""
        self.answers: dict[str, set[tuple[object, ...]]] = {}
        """Every answer the DNS gave to a name, whatever the type."""
        self.unanswered: set[str] = set()
        """Names of which the DNS said nothing, once at least."""
        self.findings: list[str] = []
        self.counts: dict[str, int] = {}

    def tell(self, what: str) -> None:
        """One line: part of the digest."""
        line = f"{self.now():.6f} {what}"
        self._hash.update(line.encode("utf-8", "backslashreplace") + b"\n")
        if len(self.lines) < LINES_KEPT:
            self.lines.append(line)

    def died(self, first: float, last: float, worker: int | None = None) -> bool:
        """Whether this worker, or anyone, died in this time."""
        return any(first <= at <= last and worker in (None, number) for at, number in self.deaths)

    def wall_at(self) -> float:
        """Seconds since the epoch."""
        return EPOCH_AT + self.now()

    def count(self, what: str, by: int = 1) -> None:
        """For the report."""
        self.counts[what] = self.counts.get(what, 0) + by

    def find(self, what: str) -> None:
        """Something that must not be."""
        self.findings.append(f"{self.now():.3f} {what}")
        self.tell(f"FINDING {what}")

    def copy(self, made: Copy) -> None:
        """A next hop has taken a mail."""
        self.copies.setdefault((made.digest, made.recipient), []).append(made)

    @property
    def digest(self) -> str:
        """Of every line so far."""
        return self._hash.hexdigest()
