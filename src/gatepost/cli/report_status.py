"""What the reports of the last days say of mail in our name and of TLS to us: lines for `gatepost status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gatepost.cli.front import Face
from gatepost.model.fault import WorldFault
from gatepost.model.kept_report import KeptReport, ReportKind
from gatepost.ports.report_book import ReportFilter

DAYS: Final = 7
REPORTS_LIMIT: Final = 10_000
DOMAINS_SHOWN: Final = 10
_WHAT: Final = {
    ReportKind.DMARC: "mails in the name of {} were not proved",
    ReportKind.TLS: "sessions with the mail servers of {} had no good TLS",
}


def report_lines(face: Face) -> Iterator[str]:
    """The domains of most failures; nothing where no reports are read, or none fails."""
    settings = face.configuration.settings
    if not settings.reports.addresses:
        return
    wanted = ReportFilter(since_at=face.world.now() - DAYS * 86400.0, only_counting=True)
    try:
        reports = face.world.reports(settings).book.find(wanted, limit=REPORTS_LIMIT)
    except WorldFault as fault:
        yield f"reports of others cannot be read: {fault.reason}"
        return
    for kind, said in _WHAT.items():
        for domain, (failed, total) in _sums(reports, kind)[:DOMAINS_SHOWN]:
            yield (
                f"reports of {DAYS} days: {failed} of {total} {said.format(domain)} "
                f"(gatepost reports summary {domain})"
            )


def _sums(reports: list[KeptReport], kind: ReportKind) -> list[tuple[str, tuple[int, int]]]:
    sums: dict[str, tuple[int, int]] = {}
    for report in reports:
        if report.kind is kind:
            failed, total = sums.get(report.domain, (0, 0))
            sums[report.domain] = (failed + report.failed, total + report.total)
    return sorted((one for one in sums.items() if one[1][0]), key=lambda one: -one[1][0])
