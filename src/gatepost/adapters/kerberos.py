"""Kerberos through pyspnego (the extra `kerberos`): logins at our doors, in threads, because the library waits."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.gssapi import GssStep

if TYPE_CHECKING:
    from spnego import ContextProxy

STEPS_AT_ONCE: Final = 4
STEPS_WAITING: Final = 200
_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")
_SPNEGO: Final = bytes.fromhex("06062b0601050502")
"""The object identifier of SPNEGO as it stands near the front of its first token (RFC 4178 §4.2)."""
_FRONT_BYTES: Final = 16

T = TypeVar("T")


class KerberosAcceptor:
    """Keeps the promise of ports.gssapi.GssAcceptor.

    One a process: the library takes the keytab from the environment.
    """

    def __init__(self, keytab_file: str) -> None:
        """Raises WorldFault when the extra is not installed."""
        load_extra("spnego", "gssapi", "krb5")
        os.environ["KRB5_KTNAME"] = f"FILE:{keytab_file}"
        self._slots = asyncio.Semaphore(STEPS_AT_ONCE)
        self._waiting = 0

    def begin(self) -> KerberosContext:
        """For one login."""
        return KerberosContext(self)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What it returns. Raises WorldFault when too many wait already."""
        if self._waiting >= STEPS_WAITING:
            raise WorldFault("too many Kerberos logins are being looked at", _UNAVAILABLE)
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


class KerberosContext:
    """Keeps the promise of ports.gssapi.GssContext."""

    def __init__(self, acceptor: KerberosAcceptor) -> None:
        self._acceptor = acceptor
        self._context: ContextProxy | None = None

    async def step(self, token: bytes) -> GssStep:
        """Look at the client's token."""
        return await self._acceptor.in_thread(lambda: self._step(token))

    async def wrap(self, data: bytes) -> bytes:
        """Signed, not encrypted."""
        return await self._acceptor.in_thread(lambda: self._established().wrap(data, encrypt=False).data)

    async def unwrap(self, data: bytes) -> bytes:
        """Whatever the client did to it."""
        return await self._acceptor.in_thread(lambda: guarded(lambda: self._established().unwrap(data).data))

    def _step(self, token: bytes) -> GssStep:
        if self._context is None:
            self._context = _new_context(is_spnego=_SPNEGO in token[:_FRONT_BYTES])
        context = self._context
        answer = guarded(lambda: context.step(token)) or b""
        if not context.complete:
            return GssStep(answer, "")
        # SPNEGO can be told by the client that it is complete: only what Kerberos knows counts.
        principal = guarded(lambda: context.client_principal)
        if context.negotiated_protocol != "kerberos" or not principal:
            raise ValueError("it ended without Kerberos")
        return GssStep(answer, principal)

    def _established(self) -> ContextProxy:
        assert self._context is not None, "nothing was established"
        return self._context


def load_extra(*modules: str) -> None:
    """Before privileges are dropped and before anybody waits for them. Raises WorldFault when one is not there."""
    try:
        for module in modules:
            importlib.import_module(module)
    except ImportError as error:
        raise WorldFault(f"pip install 'gatepost[kerberos]': {error}") from error


def _new_context(*, is_spnego: bool) -> ContextProxy:
    """Raises WorldFault when our own keys cannot be used."""
    import spnego

    try:
        plain = spnego.server(protocol="kerberos")
    except spnego.exceptions.SpnegoError as error:
        raise WorldFault(f"users.gssapi.keytab-file: {error.message}", _UNAVAILABLE) from error
    return spnego.server(protocol="negotiate") if is_spnego else plain


def guarded(work: Callable[[], T]) -> T:
    """What it returns. Raises ValueError: whatever the peer's octets make the library raise, nobody has logged in."""
    try:
        return work()
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}"[:300]) from error
