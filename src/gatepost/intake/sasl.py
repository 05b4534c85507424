"""The server's half of AUTH: responses in; challenges, or what the house has to check, out. Pure exchanges.

PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 with and without -PLUS (RFC 5802, 7677), OAUTHBEARER (RFC 7628), XOAUTH2,
EXTERNAL (RFC 4422 appendix A).
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Final, Protocol

from gatepost.model.account import ScramKeys, folded_user
from gatepost.model.fault import PeerFault
from gatepost.model.reply import Reply
from gatepost.protocol import scram

CREDENTIAL_LIMIT_BYTES: Final = 1024  # threats E09: longer ones are nobody's password
TOKEN_LIMIT_BYTES: Final = 8192  # threats E14
MALFORMED: Final = Reply(501, "5.5.2", "Malformed AUTH response")
CREDENTIALS_INVALID: Final = Reply(535, "5.7.8", "Authentication credentials invalid")
_TOKEN_REFUSED: Final = b'{"status":"invalid_token"}'

_BEARER: Final = re.compile(rb"[Bb]earer +([A-Za-z0-9._~+/=-]+)")
_GS2_OF_TOKEN: Final = re.compile(rb"[ny],(?:a=([^,\0]*))?,")


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
    """The client's certificate says that it is this user; whether the account is open is left to check."""

    user: str


Step = Challenge | Credentials | KeysWanted | TokenShown | Proven | Vouched


class Exchange(Protocol):
    """One AUTH."""

    def respond(self, response: bytes | None) -> Step:
        """response: decoded; None when there was no initial one. Raises PeerFault (501, 535)."""


class PlainExchange:
    """AUTH PLAIN: one response "authzid NUL authcid NUL password"."""

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        if response is None:
            return Challenge("")
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise PeerFault(MALFORMED, "AUTH PLAIN without its two separators")
        identity, user, password = (_text(part) for part in parts)
        _no_other(identity, user)
        return _credentials(user, password)


class LoginExchange:
    """AUTH LOGIN: the name, then the password, each asked for."""

    def __init__(self) -> None:
        self._user: str | None = None

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        if response is None:
            return _challenge(b"Username:")
        if self._user is None:
            self._user = _text(response)
            return _challenge(b"Password:")
        return _credentials(self._user, _text(response))


class ScramExchange:
    """AUTH SCRAM-SHA-256: the password is proven, never sent.

    nonce: ours, printable ASCII without comma, that nobody can guess. bound_to: what -PLUS
    binds the proof to; b"" for the mechanism without -PLUS. plus_offered: for the client
    that says we did not offer it (RFC 5802 §6: somebody took it out of our EHLO).
    """

    def __init__(self, *, nonce: str, bound_to: bytes, plus_offered: bool) -> None:
        self._nonce = nonce
        self._bound_to = bound_to
        self._plus_offered = plus_offered
        self._first: scram.ClientFirst | None = None
        self._keys: ScramKeys | None = None
        self._server_first = ""
        self._is_proven = False

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        try:
            if response is None and self._first is None:
                return Challenge("")
            if self._first is None:
                return self._begun(scram.read_client_first(response or b""))
            if not self._is_proven:
                return self._proof(self._first, scram.read_client_final(response or b""))
        except ValueError as error:
            raise PeerFault(MALFORMED, f"AUTH SCRAM: {error}") from error
        if response:
            raise PeerFault(MALFORMED, "AUTH SCRAM goes on after its end")
        return Proven(self._first.user)

    def know(self, keys: ScramKeys) -> Challenge:
        """The answer to KeysWanted; what to say to the client."""
        if self._first is None:
            raise ValueError("the client did not say who it is")
        self._keys = keys
        self._server_first = scram.server_first(nonce=self._first.nonce + self._nonce, keys=keys)
        return _challenge(self._server_first.encode())

    def _begun(self, first: scram.ClientFirst) -> Step:
        if first.binding == "y" and self._plus_offered:
            raise PeerFault(CREDENTIALS_INVALID, "AUTH SCRAM: the client did not see the -PLUS we offered")
        if first.binding not in ((scram.BINDING,) if self._bound_to else ("", "y")):
            raise PeerFault(MALFORMED, "AUTH SCRAM: the channel binding does not go with the mechanism")
        _no_other(first.identity, first.user)
        if not first.user or len(first.user.encode()) > CREDENTIAL_LIMIT_BYTES:
            raise PeerFault(CREDENTIALS_INVALID, "AUTH with an empty or overlong name")
        self._first = first
        return KeysWanted(first.user)

    def _proof(self, first: scram.ClientFirst, final: scram.ClientFinal) -> Step:
        if self._keys is None:
            raise ValueError("no keys were told")
        dialogue = f"{first.bare},{self._server_first},{final.bare}"
        bound = final.binding == first.gs2.encode() + self._bound_to
        same_nonce = final.nonce == first.nonce + self._nonce
        if not (scram.proof_is_good(self._keys, dialogue, final.proof) and bound and same_nonce):
            raise PeerFault(CREDENTIALS_INVALID, "AUTH SCRAM: the proof does not hold")
        self._is_proven = True
        return _challenge(scram.server_signature(self._keys, dialogue).encode())


class BearerExchange:
    """AUTH OAUTHBEARER and XOAUTH2: one response with a token. is_google: XOAUTH2, which came before the RFC."""

    def __init__(self, *, is_google: bool) -> None:
        self._is_google = is_google
        self._is_refused = False

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        if self._is_refused:  # RFC 7628 §3.2.3: the client has seen why, now comes the 535
            raise PeerFault(CREDENTIALS_INVALID, "AUTH with a token that does not count")
        if response is None:
            return Challenge("")
        head, *pairs = response.split(b"\x01")
        user = self._user(head)
        said = [pair.partition(b"=")[2] for pair in pairs if pair.lower().startswith(b"auth=")]
        match = _BEARER.fullmatch(said[0]) if len(said) == 1 else None
        if match is None or pairs[-2:] != [b"", b""]:
            raise PeerFault(MALFORMED, "AUTH without a bearer token")
        if len(match[1]) > TOKEN_LIMIT_BYTES:
            raise PeerFault(CREDENTIALS_INVALID, "AUTH with a token that is too long")
        return TokenShown(user, match[1].decode("ascii"))

    def refuse(self) -> Challenge:
        """The token does not count: tell the client why; its next response, whatever it is, gets the 535."""
        self._is_refused = True
        return _challenge(_TOKEN_REFUSED)

    def _user(self, head: bytes) -> str:
        if self._is_google:
            if not head.startswith(b"user="):
                raise PeerFault(MALFORMED, "AUTH XOAUTH2 without a user")
            return _text(head.removeprefix(b"user="))
        match = _GS2_OF_TOKEN.fullmatch(head)
        if match is None:
            raise PeerFault(MALFORMED, "AUTH OAUTHBEARER without a GS2 header")
        try:
            return scram.read_name(_text(match[1] or b""))
        except ValueError as error:
            raise PeerFault(MALFORMED, "AUTH OAUTHBEARER with a stray = in the name") from error


class ExternalExchange:
    """AUTH EXTERNAL: TLS has proven who the client is; it may only be that. user: who."""

    def __init__(self, user: str) -> None:
        self._user = user

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        if response is None:
            return Challenge("")
        _no_other(_text(response), self._user)
        return Vouched(self._user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an exchange needs to know of the session. offered: the mechanisms; end_point: RFC 5929 §4, or b"".

    vouched_user: whom the client's certificate lets it be; "" for nobody.
    """

    nonce: str
    end_point: bytes
    offered: tuple[str, ...]
    vouched_user: str = ""


def exchange_for(mechanism: str, around: Circumstances) -> Exchange:
    """A new exchange. The engine lets only offered mechanisms through; others raise PeerFault (504)."""
    match mechanism.upper():
        case "PLAIN":
            return PlainExchange()
        case "LOGIN":
            return LoginExchange()
        case scram.MECHANISM | scram.MECHANISM_PLUS as name:
            return ScramExchange(
                nonce=around.nonce,
                bound_to=around.end_point if name == scram.MECHANISM_PLUS else b"",
                plus_offered=scram.MECHANISM_PLUS in around.offered,
            )
        case "OAUTHBEARER" | "XOAUTH2" as name:
            return BearerExchange(is_google=name == "XOAUTH2")
        case "EXTERNAL" if around.vouched_user:
            return ExternalExchange(around.vouched_user)
        case _:
            raise PeerFault(Reply(504, "5.5.4", "Mechanism not offered"), "AUTH mechanism not offered")


def _no_other(identity: str, user: str) -> None:
    """Threats E05. Raises PeerFault."""
    if identity and folded_user(identity) != folded_user(user):
        raise PeerFault(CREDENTIALS_INVALID, "AUTH asks to act as somebody else", user=user)


def _credentials(user: str, password: str) -> Credentials:
    if not user or not password:
        raise PeerFault(CREDENTIALS_INVALID, "AUTH with an empty name or password")  # threats E09
    return Credentials(user, password)


def _challenge(data: bytes) -> Challenge:
    return Challenge(b64encode(data).decode("ascii"))


def _text(data: bytes) -> str:
    if len(data) > CREDENTIAL_LIMIT_BYTES:
        raise PeerFault(CREDENTIALS_INVALID, "AUTH with an overlong name or password")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise PeerFault(MALFORMED, "AUTH response is not UTF-8") from None
