"""Fact: whether the mail's ARC chain holds, and whether somebody we trust sealed it (RFC 8617)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcResult:
    """One chain."""

    name: ClassVar[str] = "arc"

    result: str
    sealers: tuple[str, ...] = ()
    trusted_by: str = ""
    payload: str = ""
    reason: str = ""
