"""How we log in at a smart host: which mechanism, and with which secret. Only ever called under TLS (N12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gatepost.model.fault import WorldFault
from gatepost.model.session import TlsInfo
from gatepost.protocol import scram
from gatepost.protocol.sasl_client import (
    BY_CERTIFICATE,
    BY_PASSWORD,
    BY_TOKEN,
    BearerClient,
    ClientExchange,
    ExternalClient,
    LoginClient,
    PlainClient,
    ScramClient,
)

INTEGRATED: Final = frozenset({"GSSAPI", "NTLM"})


@dataclass(frozen=True, slots=True)
class Credentials:
    """For AUTH at a smart host: a password, or a token that is read for each login (it changes every hour)."""

    user: str
    password: str = field(default="", repr=False)
    token: Callable[[], str] | None = None
    """Raises WorldFault when there is none."""
    nonce: Callable[[], str] | None = None
    """Chance for SCRAM; without it SCRAM is not used."""
    integrated: Callable[[str, str], ClientExchange] | None = None
    """(mechanism, host) -> what speaks GSSAPI or NTLM; without it neither is used."""
    has_certificate: bool = False
    """TLS shows a certificate of ours, and EXTERNAL may stand on it."""


def choose(
    wanted: Sequence[str], offered: Sequence[str], credentials: Credentials, tls: TlsInfo
) -> str | None:
    """The first mechanism of ours that the server offers and our secret is good for; None: there is none."""
    usable = (
        BY_TOKEN if credentials.token is not None else BY_PASSWORD if credentials.password else frozenset()
    )
    if credentials.has_certificate:
        usable = usable | BY_CERTIFICATE
    if credentials.nonce is None:
        usable = usable - {scram.MECHANISM, scram.MECHANISM_PLUS}
    if not tls.server_end_point:
        usable = usable - {scram.MECHANISM_PLUS}
    if credentials.integrated is not None:
        usable = usable | INTEGRATED
    return next((m for m in wanted if m in usable and m in offered), None)


def exchange_for(
    mechanism: str, offered: Sequence[str], credentials: Credentials, tls: TlsInfo, *, host: str = ""
) -> ClientExchange:
    """What speaks it. host: the smart host's name. Raises WorldFault when there is no token."""
    user, password = credentials.user, credentials.password
    match mechanism:
        case "PLAIN":
            return PlainClient(user, password)
        case "LOGIN":
            return LoginClient(user, password)
        case scram.MECHANISM | scram.MECHANISM_PLUS if credentials.nonce is not None:
            # "y" tells the server that we saw no -PLUS: true only if it offered none (RFC 5802 §6).
            can_bind = scram.MECHANISM_PLUS not in offered or mechanism == scram.MECHANISM_PLUS
            return ScramClient(
                user,
                password,
                nonce=credentials.nonce(),
                end_point=tls.server_end_point if can_bind else b"",
                plus=mechanism == scram.MECHANISM_PLUS,
            )
        case "EXTERNAL":
            return ExternalClient(user)
        case "OAUTHBEARER" | "XOAUTH2" if credentials.token is not None:
            return BearerClient(user, credentials.token(), is_google=mechanism == "XOAUTH2")
        case "GSSAPI" | "NTLM" if credentials.integrated is not None:
            return credentials.integrated(mechanism, host)
        case _:
            raise WorldFault(f"there is no secret for AUTH {mechanism}")
