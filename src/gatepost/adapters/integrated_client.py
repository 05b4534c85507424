"""Our logins at smart hosts by GSSAPI and NTLM, through pyspnego (the extra `kerberos`). They wait: for a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from gatepost.adapters.kerberos import guarded
from gatepost.model.fault import WorldFault

if TYPE_CHECKING:
    from spnego import ContextProxy

T = TypeVar("T")


class NtlmClient:
    """Keeps the promise of protocol.sasl_client.ClientExchange."""

    initial: bytes | None = None

    def __init__(self, user: str, password: str) -> None:
        """user: with the domain before it, as OFFICE\\\\ann, or without one."""
        self._begin = lambda: _client(user, password, protocol="ntlm")
        self._context: ContextProxy | None = None

    def answer(self, challenge: bytes) -> bytes:
        """The opening, whatever the server says first; then the answer to its challenge. Raises WorldFault."""
        if self._context is None:
            self._context = context = _checked("NTLM", self._begin)
            return _checked("NTLM", context.step) or b""
        context = self._context
        if context.complete:
            raise WorldFault("AUTH NTLM goes on after its end")
        return _checked("NTLM", lambda: context.step(challenge)) or b""

    def accepted(self) -> None:
        """The server proves nothing in NTLM: its certificate has to."""


class GssapiClient:
    """Keeps the promise of protocol.sasl_client.ClientExchange: RFC 4752 with Kerberos, no security layer.

    user: a principal. host: the smart host's name, of which the key distribution centre has smtp/host.
    """

    initial: bytes | None = None

    def __init__(self, user: str, password: str, *, host: str) -> None:
        self._begin = lambda: _client(user, password, protocol="kerberos", host=host)
        self._context: ContextProxy | None = None
        self._is_proven = False

    def answer(self, challenge: bytes) -> bytes:
        """Our ticket, then that we want no layer. Asks the key distribution centre. Raises WorldFault."""
        if self._context is None:
            self._context = context = _checked("GSSAPI", self._begin)
            return _checked("GSSAPI", context.step) or b""
        context = self._context
        if not context.complete:
            return _checked("GSSAPI", lambda: context.step(challenge)) or b""
        if self._is_proven:
            raise WorldFault("AUTH GSSAPI goes on after its end")
        layers = _checked("GSSAPI", lambda: context.unwrap(challenge)).data
        if len(layers) != 4 or not layers[0] & 1:
            raise WorldFault("AUTH GSSAPI: the server wants a security layer, and TLS is there already")
        self._is_proven = True
        return _checked("GSSAPI", lambda: context.wrap(b"\x01\0\0\0", encrypt=False)).data

    def accepted(self) -> None:
        """A server that says yes without knowing its key may be anybody. Raises WorldFault."""
        if not self._is_proven:
            raise WorldFault("the server took our ticket without proving that it is the one it was for")


def _client(user: str, password: str, *, protocol: str, host: str = "") -> ContextProxy:
    import spnego

    return spnego.client(user, password, hostname=host or "unspecified", service="smtp", protocol=protocol)


def _checked(mechanism: str, work: Callable[[], T]) -> T:
    try:
        return guarded(work)
    except ValueError as error:
        raise WorldFault(f"AUTH {mechanism} cannot go on: {error}") from error
