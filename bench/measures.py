"""What is measured, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

OURS: Final = "Gatepost"
THEIRS: Final = "Postfix"
FILTERED: Final = "Postfix+rspamd"
MESSAGE_BYTES: Final = 4096
LARGE_BYTES: Final = 65536
DOMAIN: Final = "bench.test"
RECIPIENT: Final = f"user500@{DOMAIN}"
SENDER: Final = "load@sender.test"
RECIPIENTS: Final = tuple(f"user{n}@{DOMAIN}" for n in range(1000))


LISTED: Final = {"by-list": "127.0.0.20", "by-provider": "127.0.0.30"}
"""Work -> the client's address, which is on the list."""
NETWORKS: Final = tuple(f"127.{n}" for n in range(96, 104))
"""Of by-new-provider: each session has another address in one of them, and the provider lists them all."""


class Work(Enum):
    """What is done with each message."""

    ACCEPT = "accept"
    """Taken in and kept."""
    TLS = "tls"
    """Taken in under TLS: a STARTTLS handshake for each."""
    REFUSED = "refused"
    """Its only recipient is unknown; "messages" are sessions."""
    BY_LIST = "by-list"
    """Its client is on the block list, and refused at RCPT; "messages" are sessions."""
    BY_PROVIDER = "by-provider"
    """The same, by a DNS list provider whose answer is in the cache."""
    BY_NEW_PROVIDER = "by-new-provider"
    """The same, and nobody has asked the provider about the client before."""
    RELAY = "relay"
    """Taken in and delivered to a sink: the time ends when the sink has the last one."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    sessions: int
    kept: bool
    """Whether the sender keeps its connections; else one message a connection."""
    messages: int
    work: Work = Work.ACCEPT
    size_bytes: int = MESSAGE_BYTES

    @property
    def title(self) -> str:
        """For the table."""
        sessions = "session" if self.sessions == 1 else "sessions"
        how = _TITLES.get(self.work, "kept open" if self.kept else "a message each")
        size = "" if self.size_bytes == MESSAGE_BYTES else f", {self.size_bytes // 1024} KiB"
        return f"{self.sessions} {sessions}, {how}{size}"

    @property
    def is_large(self) -> bool:
        """Beyond what is usual."""
        return self.size_bytes > MESSAGE_BYTES


REFUSALS: Final = frozenset({Work.REFUSED, Work.BY_LIST, Work.BY_PROVIDER, Work.BY_NEW_PROVIDER})
_TITLES: Final = {
    Work.TLS: "STARTTLS each",
    Work.REFUSED: "refused",
    Work.BY_LIST: "refused by a list",
    Work.BY_PROVIDER: "refused by a provider, cached",
    Work.BY_NEW_PROVIDER: "refused by a provider, asked",
    Work.RELAY: "relayed to a sink",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One server under one load, once."""

    messages: int
    seconds: float
    cpu_s: float
    """User and system time of all the server's processes."""
    memory_bytes: int
    """Proportional set size of all the server's processes at the end of the load."""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds a message, or seconds for a thousand."""
        return 1000 * self.cpu_s / self.messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One session of our own client, once: seconds from the first command of a message to its 250."""

    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Several rounds of one figure."""

    median: float
    lowest: float
    highest: float


def spread_of(values: Sequence[float]) -> Spread:
    """Raises ValueError when there are none."""
    return Spread(percentile(values, 0.5), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of them lie, between neighbours by proportion."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Round by round, ours divided by theirs: what disturbs one round disturbs both."""
    return spread_of([one / other for one, other in zip(ours, theirs, strict=True)])
