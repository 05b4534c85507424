"""Who our recipients are, and who may authenticate."""

from __future__ import annotations

from typing import Protocol

from gatepost.model.account import ScramKeys
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

    def scram_keys(self, user: str) -> ScramKeys:
        """Of this user's password. For nobody: keys that fit no password, with a salt that stays the same.

        Raises WorldFault as check does.
        """

    def is_disabled(self, user: str) -> bool:
        """The user has an account and it was disabled: no proof of any kind lets it in. Raises WorldFault."""


class TokenKeys(Protocol):
    """The public keys of those who issue access tokens, as JWKS text."""

    def read(self) -> bytes:
        """The same object as long as nothing changed. Answers at once. Raises WorldFault."""


class NtHashes(Protocol):
    """What NTLM knows of passwords."""

    def nt_hash(self, user: str) -> bytes | None:
        """16 octets; None for nobody and for disabled accounts. Answers at once. Raises WorldFault."""
