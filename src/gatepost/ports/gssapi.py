"""Logins that a Kerberos key distribution centre vouches for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class GssStep:
    """What came of one token. answer: what the client is to be told, b"" for nothing."""

    answer: bytes = field(repr=False)
    principal: str
    """Who it is, as name@REALM, once that is established; "" before."""


class GssContext(Protocol):
    """One login. Every method raises ValueError for a token that does not count, WorldFault when that is unknown."""

    async def step(self, token: bytes) -> GssStep:
        """The client's next token; not to be called once a principal is known."""

    async def wrap(self, data: bytes) -> bytes:
        """Protected against change, not hidden."""

    async def unwrap(self, data: bytes) -> bytes:
        """What the client wrapped."""


class GssAcceptor(Protocol):
    """Our side of Kerberos: the keys the key distribution centre gave us."""

    def begin(self) -> GssContext:
        """For one login. Costs nothing."""
