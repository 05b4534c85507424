"""Who our recipients are, and who may authenticate."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from gatepost.model.account import ScramKeys
from gatepost.model.address import Address


@dataclass(frozen=True, slots=True)
class Entry:
    """What a directory says of one recipient."""

    listed: bool
    needs_authentication: bool = False
    """Only authenticated senders may write to it."""
    source: str = ""
    """The directory that listed it."""


NOT_LISTED = Entry(False)


class RecipientDirectory(Protocol):
    """Known recipients. Answers from memory where it can: it is asked at every RCPT."""

    def look_up(self, recipient: Address) -> Entry | Coroutine[Any, Any, Entry]:
        """Whether the mailbox exists; a coroutine when somebody else has to be asked.

        Raises WorldFault, at once or when awaited, when that is unknown: source missing, never loaded, no answer.
        """


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


class SendingAccounts(Protocol):
    """Which addresses belong to an account."""

    def addresses_of(self, user: str) -> frozenset[str] | Coroutine[Any, Any, frozenset[str]]:
        """Their keys; a coroutine when the directory has to be asked. Raises WorldFault when it cannot tell."""


class TokenKeys(Protocol):
    """The public keys of those who issue access tokens, as JWKS text."""

    def read(self) -> bytes:
        """The same object as long as nothing changed. Answers at once. Raises WorldFault."""


class NtHashes(Protocol):
    """What NTLM knows of passwords."""

    def nt_hash(self, user: str) -> bytes | None:
        """16 octets; None for nobody and for disabled accounts. Answers at once. Raises WorldFault."""
