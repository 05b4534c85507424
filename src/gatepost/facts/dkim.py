"""Fact: what the mail's DKIM signatures prove (RFC 6376)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimSignature:
    """One signature."""

    result: str
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    key_bits: int = 0
    testing: bool = False
    covers_whole_body: bool = True
    signed_fields: tuple[str, ...] = ()
    reason: str = ""
    signature_start: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimResults:
    """All that were checked."""

    name: ClassVar[str] = "dkim"

    signatures: tuple[DkimSignature, ...] = ()
