"""What all mechanisms of AUTH share: what an exchange may ask of the house, and what is said of broken responses."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gatepost.model.account import folded_user
from gatepost.model.fault import PeerFault
from gatepost.model.reply import Reply

CREDENTIAL_LIMIT_BYTES: Final = 1024  # threats E09: longer ones are nobody's password
USER_LIMIT_CHARACTERS: Final = 255
MALFORMED: Final = Reply(501, "5.5.2", "Malformed AUTH response")
CREDENTIALS_INVALID: Final = Reply(535, "5.7.8", "Authentication credentials invalid")


@dataclass(frozen=True, slots=True)
class Challenge:
    """Answer 334 with this text, base64 already applied."""

    text: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who the client says it is; the password is to be checked."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """Look up the user's keys and tell them to the exchange (`ScramExchange.know`)."""

    user: str


@dataclass(frozen=True, slots=True)
class TokenShown:
    """Somebody else's word for the client. user: who it wants to be; "" when it leaves that to the token."""

    user: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proven:
    """The client knows the password of this user: nothing is left to check."""

    user: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """Somebody we trust knows this user, who just showed us that: only a disabled account stands against it."""

    user: str


@dataclass(frozen=True, slots=True)
class NtlmShown:
    """The answer to our NTLM challenge. is_good: compares it with what the user's hash gives; raises WorldFault."""

    user: str
    is_good: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class GssShown:
    """The next message of GSSAPI. look: has it examined; raises PeerFault (501, 535) and WorldFault."""

    look: Callable[[], Awaitable[Challenge | Vouched]]


Step = Challenge | Credentials | KeysWanted | TokenShown | Proven | Vouched | NtlmShown | GssShown


class Exchange(Protocol):
    """One AUTH."""

    def respond(self, response: bytes | None) -> Step:
        """response: decoded; None when there was no initial one. Raises PeerFault (501, 535)."""


def no_other(identity: str, user: str) -> None:
    """Threats E05. Raises PeerFault."""
    if identity and folded_user(identity) != folded_user(user):
        raise PeerFault(CREDENTIALS_INVALID, "AUTH asks to act as somebody else", user=user)


def challenge(data: bytes) -> Challenge:
    """With base64 applied."""
    return Challenge(b64encode(data).decode("ascii"))


def text_of(data: bytes) -> str:
    """A name or a password. Raises PeerFault."""
    if len(data) > CREDENTIAL_LIMIT_BYTES:
        raise PeerFault(CREDENTIALS_INVALID, "AUTH with an overlong name or password")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise PeerFault(MALFORMED, "AUTH response is not UTF-8") from None


def is_name(user: str) -> bool:
    """Whether this can be the name of a user somebody else vouches for."""
    return 0 < len(user) <= USER_LIMIT_CHARACTERS and user.isprintable() and user == user.strip()
