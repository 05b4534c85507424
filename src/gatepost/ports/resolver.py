"""Questions to the DNS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


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
