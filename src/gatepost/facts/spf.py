"""Fact: what SPF says of the return path's domain (RFC 7208)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfResult:
    """One check, of MAIL FROM or, for the null sender, of HELO."""

    name: ClassVar[str] = "spf"

    result: str
    domain: str = ""
    identity: str = "mailfrom"
    ip: str = ""
    term: str = ""
    record_domain: str = ""
    path: tuple[str, ...] = ()
    explanation: str = ""
    problem: str = ""
