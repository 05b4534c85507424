"""What shows that a mail comes from whom its return path names: recorded with the mail, asked when a notice is due."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar

import msgspec


class ProvenBy(Enum):
    """What vouches for a return path."""

    SPF = "spf"
    """Its domain lets the client send for it (RFC 7208)."""
    DKIM = "dkim"
    """A signature of its domain, or of one above it, passes (RFC 6376)."""
    CLIENT = "client"
    """We know the client: it may relay, or it is in notices.proven-networks."""
    NOTHING = "nothing"


class ReturnPathProof(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact about mail of strangers. detail: what passed, or what did not and so proves nothing."""

    name: ClassVar[str] = "return-path-proof"

    by: ProvenBy = ProvenBy.NOTHING
    detail: str = ""

    @property
    def holds(self) -> bool:
        """The sender may be told what became of the mail."""
        return self.by is not ProvenBy.NOTHING

    def __str__(self) -> str:
        by = f"proven by {self.by.value}" if self.holds else "not proven"
        return f"{by}: {self.detail}" if self.detail else by


NOT_PROVEN = ReturnPathProof()
