"""The trace fields we put on top of a mail: Received, Return-Path, and what a submission lacks (RFC 5321 §4.4)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gatepost.message.fields import date_text, field
from gatepost.message.headers import HeaderIndex
from gatepost.model.address import Address
from gatepost.model.envelope import Envelope
from gatepost.model.session import Rights, Session, TlsInfo

_HELO_LIMIT_CHARS: Final = 255
_PATH_LIMIT_CHARS: Final = 500
_DOMAIN: Final = re.compile(
    r"(?=[^\s]{1,255}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\.?", re.ASCII
)
_LITERAL: Final = re.compile(r"\[[A-Za-z0-9:.-]{1,80}\]", re.ASCII)
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9._:\[\]-]", re.ASCII)


def received_field(
    session: Session,
    envelope: Envelope,
    *,
    hostname: str,
    mail_id: str,
    now: float,
    recipient: Address | None,
    unverified: bool = False,
) -> bytes:
    """The Received field of a mail we take in, with CR LF.

    unverified: it is known that no name of the client's address leads back to it.
    recipient: named in the "for" clause; None when the mail has several (none learns of another).
    What the peer said appears only as far as it is plain: everything else is "?".
    It says neither our version nor our inside (threats S09).
    """
    clauses = [
        f"from {_from_clause(session.client_ip, session.helo, unverified)}",
        f"by {hostname}",
        f"with {_protocol(session, envelope)}{_tls_comment(session.tls)}",
        f"id {mail_id}",
        *_for_clause(envelope, recipient),
        *(_tls_clause(session.tls) if session.tls is not None else ()),
    ]
    return field("Received", " ".join(clauses) + f"; {date_text(now)}")


def completing_fields(
    index: HeaderIndex, session: Session, *, hostname: str, mail_id: str, now: float
) -> bytes:
    """Date and Message-ID for a submission that lacks them (RFC 6409 §8); b"" for anybody else's mail.

    Only our own users' and systems' mail is completed: what a stranger left out says something about it.
    """
    if not (session.user or Rights.INTERNAL in session.rights):
        return b""
    date = b"" if index.count(b"date") else field("Date", date_text(now))
    message_id = b"" if index.count(b"message-id") else field("Message-ID", f"<{mail_id}@{hostname}>")
    return date + message_id


def address_literal(ip: str) -> str:
    """ "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3)."""
    return f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"


@lru_cache(
    maxsize=256
)  # a session that stays sends many mails; a name of the peer has at most a few hundred octets
def _from_clause(client_ip: str, helo: str, unverified: bool) -> str:  # a key of the cache
    ip = address_literal(client_ip)
    mark = "unverified " if unverified else ""
    if _DOMAIN.fullmatch(helo) or _LITERAL.fullmatch(helo):
        return f"{helo} ({mark}{ip})"
    shown = _NOT_PLAIN.sub("?", helo[:_HELO_LIMIT_CHARS])
    clause = f"{ip} (HELO {shown})" if shown else ip
    return f"{clause} (unverified)" if unverified else clause


def _protocol(session: Session, envelope: Envelope) -> str:
    if not envelope.smtputf8:
        return session.protocol
    return session.protocol.replace("ESMTP", "UTF8SMTP")  # RFC 6531 §4.3


def _for_clause(envelope: Envelope, recipient: Address | None) -> tuple[str, ...]:
    if recipient is None or not (recipient.is_ascii or envelope.smtputf8):
        return ()
    path = str(recipient)
    return (f"for <{path}>",) if len(path) <= _PATH_LIMIT_CHARS else ()


def _tls_comment(tls: TlsInfo | None) -> str:
    """The version, and a cipher that has only its library's name."""
    if tls is None:
        return ""
    cipher = "" if tls.cipher.startswith("TLS_") else f" {_NOT_PLAIN.sub('?', tls.cipher)}"
    return f" ({_NOT_PLAIN.sub('?', tls.version)}{cipher})"


def _tls_clause(tls: TlsInfo | None) -> tuple[str, ...]:
    """The cipher by its registered name (RFC 8314 §4.3)."""
    registered = tls is not None and tls.cipher.startswith("TLS_")
    return (f"tls {_NOT_PLAIN.sub('?', tls.cipher)}",) if tls and registered else ()
