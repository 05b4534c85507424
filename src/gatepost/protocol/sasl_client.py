"""The client's half of AUTH at a smart host: challenges in, responses out. Pure; no chance, no clock."""

from __future__ import annotations

from typing import Final, Protocol

from gatepost.model.account import prepared
from gatepost.model.fault import WorldFault
from gatepost.protocol import scram

BY_PASSWORD: Final = frozenset({scram.MECHANISM_PLUS, scram.MECHANISM, "PLAIN", "LOGIN"})
BY_CERTIFICATE: Final = frozenset({"EXTERNAL"})
BY_TOKEN: Final = frozenset({"OAUTHBEARER", "XOAUTH2"})


class ClientExchange(Protocol):
    """One AUTH. initial: what goes with the command; None: nothing does."""

    initial: bytes | None

    def answer(self, challenge: bytes) -> bytes:
        """The response to a decoded challenge. May cost a second (SCRAM). Raises WorldFault."""

    def accepted(self) -> None:
        """The server said yes. Raises WorldFault when it did not prove what it owes us first."""


class PlainClient:
    """PLAIN (RFC 4616)."""

    def __init__(self, user: str, password: str) -> None:
        self.initial: bytes | None = f"\0{user}\0{password}".encode()

    def answer(self, challenge: bytes) -> bytes:  # noqa: ARG002  # the protocol's
        """Nothing more may be asked."""
        raise WorldFault("AUTH PLAIN goes on after its end")

    def accepted(self) -> None:
        """The server owes nothing."""


class LoginClient:
    """LOGIN: the name, then the password."""

    initial: bytes | None = None

    def __init__(self, user: str, password: str) -> None:
        self._answers = [user.encode(), password.encode()]

    def answer(self, challenge: bytes) -> bytes:  # noqa: ARG002  # the protocol's
        """Whatever the words of the question are: they differ from server to server."""
        if not self._answers:
            raise WorldFault("AUTH LOGIN goes on after its end")
        return self._answers.pop(0)

    def accepted(self) -> None:
        """The server owes nothing."""


class ExternalClient:
    """EXTERNAL (RFC 4422 appendix A): TLS has shown our certificate; only the name is said."""

    def __init__(self, user: str) -> None:
        self.initial: bytes | None = user.encode()

    def answer(self, challenge: bytes) -> bytes:  # noqa: ARG002  # the protocol's
        """Nothing more may be asked."""
        raise WorldFault("AUTH EXTERNAL goes on after its end")

    def accepted(self) -> None:
        """The server owes nothing."""


class BearerClient:
    """OAUTHBEARER (RFC 7628) and XOAUTH2."""

    def __init__(self, user: str, token: str, *, is_google: bool) -> None:
        head = f"user={user}" if is_google else f"n,a={scram.write_name(user)},"
        self.initial: bytes | None = f"{head}\x01auth=Bearer {token}\x01\x01".encode()
        self._last_word = b"" if is_google else b"\x01"
        self._is_over = False

    def answer(self, challenge: bytes) -> bytes:  # noqa: ARG002  # the protocol's
        """The challenge says why the token was refused; the 535 comes after our acknowledgement (§3.2.3)."""
        if self._is_over:
            raise WorldFault("AUTH with a token goes on after its end")
        self._is_over = True
        return self._last_word

    def accepted(self) -> None:
        """The server owes nothing."""


class ScramClient:
    """SCRAM-SHA-256: the password does not leave us, and the server proves that it knows it.

    nonce: printable ASCII without comma. end_point: of the server's certificate, b"" when
    there is none to bind to. plus: the server offers -PLUS, and it was chosen.
    """

    def __init__(self, user: str, password: str, *, nonce: str, end_point: bytes, plus: bool) -> None:
        flag = f"p={scram.BINDING}" if plus else ("y" if end_point else "n")
        self._gs2 = f"{flag},,"
        self._bound_to = end_point if plus else b""
        self._bare = f"n={scram.write_name(user)},r={nonce}"
        self._nonce = nonce
        self._password = prepared(password)
        self._expected = ""
        self._is_proven = False
        self.initial: bytes | None = (self._gs2 + self._bare).encode()

    def answer(self, challenge: bytes) -> bytes:
        """First the proof of the password, then nothing more than a nod to the server's proof."""
        if not self._expected:
            return self._proof(challenge)
        if self._is_proven or challenge != self._expected.encode():
            raise WorldFault("the server does not know our password: AUTH SCRAM without its proof")
        self._is_proven = True
        return b""

    def accepted(self) -> None:
        """A server that says yes without a proof may be anybody. Raises WorldFault."""
        if not self._is_proven:
            raise WorldFault("the server took our login without proving that it knows the password")

    def _proof(self, challenge: bytes) -> bytes:
        try:
            first = scram.read_server_first(challenge)
        except ValueError as error:
            raise WorldFault(f"AUTH SCRAM cannot go on: {error}") from error
        if not first.nonce.startswith(self._nonce) or first.nonce == self._nonce:
            raise WorldFault("AUTH SCRAM was answered for somebody else's login")
        bare = scram.final_without_proof(binding=self._gs2.encode() + self._bound_to, nonce=first.nonce)
        proof, self._expected = scram.client_proof(self._password, first, f"{self._bare},{first.text},{bare}")
        return f"{bare},p={proof}".encode()
