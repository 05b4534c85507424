"""Who our recipients are, and who may authenticate."""

from __future__ import annotations

from typing import Protocol

from gatepost.model.address import Address


class RecipientDirectory(Protocol):
    """Known recipients. Answers from memory: may be called on every RCPT."""

    def knows(self, recipient: Address) -> bool:
        """Whether the mailbox exists. Raises WorldFault when that is unknown (source missing, never loaded)."""


class Accounts(Protocol):
    """Who may authenticate (AUTH)."""

    async def check(self, user: str, password: str) -> bool:
        """True when the password is the user's. Takes the same time for an unknown user.

        Raises WorldFault when that cannot be told (file unreadable).
        """
