"""A certificate as far as we decide by it: whose it is, and its fingerprints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_HEX_DIGITS: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCertificate:
    """What the other side showed, and proved to have the key of. Its words are the authority's that signed them."""

    subject: str
    """As RFC 4514 writes it, "CN=relay.example.org,O=Example"."""
    dns_names: tuple[str, ...] = ()
    """Lower case."""
    emails: tuple[str, ...] = ()
    fingerprints: frozenset[str] = frozenset()
    """SHA-256 of the certificate and of its public key (SubjectPublicKeyInfo), 64 lower-case hex digits each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """One that a connector of ours shows. direction: "receive" or "send"."""

    direction: str
    connector: str
    file: str
    names: tuple[str, ...] = ()
    """The DNS names it is for: clients that ask for one of them (SNI) are shown it."""
    issuer: str = ""
    expires_at: float = 0.0
    """Seconds since the epoch."""


def plain_fingerprint(text: str) -> str:
    """64 lower-case hex digits from what tools print ("AB:CD:..."). Raises ValueError."""
    plain = text.replace(":", "").replace(" ", "").lower()
    if not _HEX_DIGITS.fullmatch(plain):
        raise ValueError(f"{text!r} is no SHA-256 fingerprint: 64 hex digits, with colons or without")
    return plain
