"""Questions to the DNS."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Mx:
    """One MX record: preference, and the host as lower-case A-labels without a final dot ("" is null MX)."""

    preference: int
    host: str


class Resolver(Protocol):
    """Asks the configured servers. Names go in as text, with or without a final dot; never searched.

    Each method returns an empty sequence when the name or the type does not exist
    (NXDOMAIN and NODATA alike: `exists` tells them apart) and raises WorldFault when
    the answer is unknown (timeout, SERVFAIL, REFUSED, malformed): not the same as none.
    A name that cannot be asked (too long, empty label) raises PeerFault.
    """

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        """A and AAAA, IPv4 first, CNAMEs followed (at most 8)."""

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        """MX, lowest preference first."""

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        """PTR of an IPv4 or IPv6 address, at most 10, lower case without a final dot."""

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        """TXT, each record's strings joined."""

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        """False for NXDOMAIN only."""


class QuestionBudget:
    """How many questions may still be sent for one mail. network: of the client that brings it; "": nobody's."""

    __slots__ = ("left", "network")

    def __init__(self, questions: int, network: str = "") -> None:
        self.left = questions
        self.network = network


ASKING_FOR: Final[ContextVar[QuestionBudget | None]] = ContextVar("asking_for", default=None)
"""Whose budget the questions of a task are counted against; None: nobody's. An empty one makes answers unknown."""


class RecordType(IntEnum):
    """What one may ask for (IANA's numbers)."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    MX = 15
    TXT = 16
    AAAA = 28
    TLSA = 52


@dataclass(frozen=True, slots=True, kw_only=True)
class Tlsa:
    """One TLSA record (RFC 6698 §2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedUp:
    """What the DNS said to one question, CNAMEs followed.

    records: text for A, AAAA, PTR, NS, CNAME; bytes for TXT (its strings joined); Mx; Tlsa. Empty: none of this type.
    exists:  False for NXDOMAIN only.
    is_secure: the validating resolver we trust said so (AD bit, RFC 4035 §3.2.3), for every answer on the way.
    """

    records: tuple[str | bytes | Mx | Tlsa, ...]
    exists: bool = True
    is_secure: bool = False
    ttl_s: int = 0


class Lookup(Protocol):
    """One question of one type, for those who must tell A from AAAA, none from no name, proven from not."""

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        """Raises WorldFault when the answer is unknown, PeerFault for a name that cannot be asked, as Resolver."""
