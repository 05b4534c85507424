"""An account: under which name it is known, and what is kept of its password besides a hash."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ScramKeys:
    """What a server keeps to prove a password by SCRAM-SHA-256 without knowing it (RFC 5802 §3)."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def folded_user(user: str) -> str:
    """The name an account is known by: one Unicode form, case of ASCII letters ignored."""
    text = unicodedata.normalize("NFC", user)
    return text.lower() if text.isascii() else text


def prepared(password: str) -> str:
    """One form for one password, however the keyboard composed it (RFC 8265 §4.2: NFC, blanks alike)."""
    return unicodedata.normalize(
        "NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    )
