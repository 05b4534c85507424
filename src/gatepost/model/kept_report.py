"""A report of others about our mail or our TLS, as it is kept: who says it, who that was proved to be, what it says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ReportKind(Enum):
    """Of what it tells."""

    DMARC = "dmarc"
    """Aggregate reports: who sent in a domain's name in a day (RFC 9990, RFC 7489)."""
    TLS = "tls"
    """How TLS with a domain's mail servers went (RFC 8460)."""
    FAILURE = "failure"
    """One mail that failed DMARC (RFC 9991, RFC 6591)."""


class ProvedBy(Enum):
    """How we know who sent the mail with the report."""

    DMARC = "dmarc"
    DKIM = "dkim"
    SPF = "spf"
    INTERNAL = "internal"
    """A client or account of ours brought it, or we wrote it ourselves."""
    FILE = "file"
    """An administrator imported it."""
    NOBODY = "nobody"
    """Anyone may have written it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """Mails of one address that came to the same. ip: "" for those of addresses that are kept in no row.

    done: none, quarantine, reject or pass.  why: types of overrides.  signers: "example.com pass, ...".
    """

    ip: str
    mails: int
    dkim: bool
    spf: bool
    done: str = ""
    author: str = ""
    sender: str = ""
    why: str = ""
    signers: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """Sessions that failed alike. what: the result type of RFC 8460."""

    what: str
    host: str
    ip: str
    reason: str
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who sent the report. name: the proved domain, or what is known instead."""

    by: ProvedBy = ProvedBy.NOBODY
    name: str = ""

    def __str__(self) -> str:
        return f"{self.by.value} {self.name}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReport:
    """One report about one domain. Texts are a stranger's, on one line and bounded; times are seconds since the epoch.

    number:    ours; 0 before it is kept.
    begin, end: as the report says.  at: the time it counts for: its end, or when it came where that makes no sense.
    total:     mails, or sessions.  failed: those that neither SPF nor DKIM proved, or whose TLS failed.
    is_ours:   the domain is one of ours.
    mail_id:   of the mail it came in, or the file's name.
    """

    kind: ReportKind
    organization: str
    email: str
    report_id: str
    domain: str
    policy: str
    begin: int
    end: int
    at: float
    received_at: float
    total: int
    failed: int
    proof: Proof = Proof()
    is_ours: bool = False
    mail_id: str = ""
    number: int = 0
    sources: tuple[SourceRow, ...] = ()
    failures: tuple[FailureRow, ...] = ()
    document: bytes = b""

    @property
    def counts(self) -> bool:
        """It is about us and somebody stands behind it: only such reports are summed up."""
        return self.is_ours and self.proof.by is not ProvedBy.NOBODY
