"""Where reports of others are kept: one book for all workers and the command line, bounded, over restarts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gatepost.model.kept_report import FailureRow, KeptReport, ReportKind, SourceRow


class Entry(Enum):
    """What became of a report that was to be kept."""

    KEPT = "kept"
    DUPLICATE = "duplicate"
    """The same report of the same sender is there, or a proved one instead of this that nobody proved."""
    REPLACED = "replaced"
    """It took the place of the same report that nobody had proved."""
    TOO_LARGE = "too-large"
    """Alone it would take more than a quarter of the book, however well it is packed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFilter:
    """Which reports; every given condition must hold. only_counting: those about us that somebody stands behind."""

    domain: str = ""
    kind: ReportKind | None = None
    since_at: float | None = None
    only_counting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Sums over reports. reporters: who told of it, with the number of reports."""

    reports: int
    total: int
    failed: int
    reporters: Mapping[str, int]


class ReportBook(Protocol):
    """Every method blocks on the disk, and raises WorldFault when the book cannot be read or written."""

    def keep(self, report: KeptReport) -> Entry:
        """Once: organization, id and domain are what makes two reports the same."""

    def find(self, wanted: ReportFilter, *, limit: int) -> list[KeptReport]:
        """Newest first, without rows and document."""

    def one(self, number: int) -> KeptReport | None:
        """Whole; None when there is none (any more)."""

    def told(self, wanted: ReportFilter) -> Told:
        """Sums of the reports themselves."""

    def sources(self, wanted: ReportFilter, *, limit: int) -> list[SourceRow]:
        """Rows of DMARC reports that are alike as one, those of most mails first."""

    def failures(self, wanted: ReportFilter, *, limit: int) -> list[tuple[str, FailureRow]]:
        """Rows of TLS reports that are alike as one, with the organization that told of them; most sessions first."""

    def names(self, ips: Sequence[str]) -> dict[str, str]:
        """Names that were found for addresses; "" for those without one. Others are not there."""

    def unnamed(self, limit: int) -> list[str]:
        """Addresses that counting reports tell of and whose names nobody has looked up, the newest first."""

    def name(self, found: Mapping[str, str], *, at: float) -> None:
        """Remember names of addresses."""

    def prune(self, now: float) -> int:
        """Remove what is too old and what is too much; how many reports went."""
