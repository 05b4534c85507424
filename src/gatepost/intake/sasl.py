"""The server's half of AUTH: responses in; challenges, or what the house has to check, out. Pure exchanges.

PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 with and without -PLUS (RFC 5802, 7677), OAUTHBEARER (RFC 7628), XOAUTH2,
EXTERNAL (RFC 4422 appendix A).
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.intake.auth_exchange import (
    CREDENTIAL_LIMIT_BYTES,
    CREDENTIALS_INVALID,
    MALFORMED,
    Challenge,
    Credentials,
    KeysWanted,
    Proven,
    Step,
    TokenShown,
    Vouched,
    challenge,
    no_other,
    text_of,
)
from gatepost.model.account import ScramKeys
from gatepost.model.fault import PeerFault
from gatepost.protocol import scram

TOKEN_LIMIT_BYTES: Final = 8192  # threats E14
_TOKEN_REFUSED: Final = b'{"status":"invalid_token"}'

_BEARER: Final = re.compile(rb"[Bb]earer +([A-Za-z0-9._~+/=-]+)")
_GS2_OF_TOKEN: Final = re.compile(rb"[ny],(?:a=([^,\0]*))?,")


class PlainExchange:
    """AUTH PLAIN: one response "authzid NUL authcid NUL password"."""

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        if response is None:
            return Challenge("")
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise PeerFault(MALFORMED, "AUTH PLAIN without its two separators")
        identity, user, password = (text_of(part) for part in parts)
        no_other(identity, user)
        return _credentials(user, password)


class LoginExchange:
    """AUTH LOGIN: the name, then the password, each asked for."""

    def __init__(self) -> None:
        self._user: str | None = None

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        if response is None:
            return challenge(b"Username:")
        if self._user is None:
            self._user = text_of(response)
            return challenge(b"Password:")
        return _credentials(self._user, text_of(response))


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
        return challenge(self._server_first.encode())

    def _begun(self, first: scram.ClientFirst) -> Step:
        if first.binding == "y" and self._plus_offered:
            raise PeerFault(CREDENTIALS_INVALID, "AUTH SCRAM: the client did not see the -PLUS we offered")
        if first.binding not in ((scram.BINDING,) if self._bound_to else ("", "y")):
            raise PeerFault(MALFORMED, "AUTH SCRAM: the channel binding does not go with the mechanism")
        no_other(first.identity, first.user)
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
        return challenge(scram.server_signature(self._keys, dialogue).encode())


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
        return challenge(_TOKEN_REFUSED)

    def _user(self, head: bytes) -> str:
        if self._is_google:
            if not head.startswith(b"user="):
                raise PeerFault(MALFORMED, "AUTH XOAUTH2 without a user")
            return text_of(head.removeprefix(b"user="))
        match = _GS2_OF_TOKEN.fullmatch(head)
        if match is None:
            raise PeerFault(MALFORMED, "AUTH OAUTHBEARER without a GS2 header")
        try:
            return scram.read_name(text_of(match[1] or b""))
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
        no_other(text_of(response), self._user)
        return Vouched(self._user)


def _credentials(user: str, password: str) -> Credentials:
    if not user or not password:
        raise PeerFault(CREDENTIALS_INVALID, "AUTH with an empty name or password")  # threats E09
    return Credentials(user, password)
