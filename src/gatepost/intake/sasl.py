"""The server's half of AUTH PLAIN (RFC 4616) and AUTH LOGIN: responses in, challenges or credentials out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gatepost.model.fault import PeerFault
from gatepost.model.reply import Reply

CREDENTIAL_LIMIT_BYTES: Final = 1024  # threats E09: longer ones are nobody's password
_MALFORMED: Final = Reply(501, "5.5.2", "Malformed AUTH response")
_NO: Final = Reply(535, "5.7.8", "Authentication credentials invalid")


@dataclass(frozen=True, slots=True)
class Challenge:
    """Answer 334 with this text, base64 already applied."""

    text: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who the client says it is."""

    user: str
    password: str = field(repr=False)


class PlainExchange:
    """AUTH PLAIN: one response "authzid NUL authcid NUL password"."""

    def respond(self, response: bytes | None) -> Challenge | Credentials:
        """response: decoded; None when there was no initial one. Raises PeerFault (501, 535)."""
        if response is None:
            return Challenge("")
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise PeerFault(_MALFORMED, "AUTH PLAIN without its two separators")
        identity, user, password = (_text(part) for part in parts)
        if identity not in ("", user):
            raise PeerFault(_NO, "AUTH PLAIN asks to act as somebody else", user=user)  # threats E05
        return _credentials(user, password)


class LoginExchange:
    """AUTH LOGIN: the name, then the password, each asked for."""

    def __init__(self) -> None:
        self._user: str | None = None

    def respond(self, response: bytes | None) -> Challenge | Credentials:
        """As PlainExchange.respond."""
        if response is None:
            return Challenge("VXNlcm5hbWU6")  # "Username:"
        if self._user is None:
            self._user = _text(response)
            return Challenge("UGFzc3dvcmQ6")  # "Password:"
        return _credentials(self._user, _text(response))


def exchange_for(mechanism: str) -> PlainExchange | LoginExchange:
    """A new exchange. The engine lets only offered mechanisms through; others raise PeerFault (504)."""
    match mechanism.upper():
        case "PLAIN":
            return PlainExchange()
        case "LOGIN":
            return LoginExchange()
        case _:
            raise PeerFault(Reply(504, "5.5.4", "Mechanism not offered"), "AUTH mechanism not offered")


def _credentials(user: str, password: str) -> Credentials:
    if not user or not password:
        raise PeerFault(_NO, "AUTH with an empty name or password")  # threats E09
    return Credentials(user, password)


def _text(data: bytes) -> str:
    if len(data) > CREDENTIAL_LIMIT_BYTES:
        raise PeerFault(_NO, "AUTH with an overlong name or password")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise PeerFault(_MALFORMED, "AUTH response is not UTF-8") from None
