"""Every report that one mail or file holds, of whatever kind."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.model.kept_report import KeptReport
from gatepost.records.failure_reading import read_failure
from gatepost.records.report_reading import Arrived, read_reports
from gatepost.standards.report_files import Pause, UnreadableReport, documents, no_pause


@dataclass(frozen=True, slots=True)
class ReportsFound:
    """reports: at least one. unread: why other documents beside them were left."""

    reports: tuple[KeptReport, ...]
    unread: tuple[str, ...] = ()


def find_reports(
    data: bytes, arrived: Arrived, *, limit_bytes: int | None = None, pause: Pause = no_pause
) -> ReportsFound:
    """limit_bytes: of what is unpacked. Raises UnreadableReport when there is none."""
    failure = read_failure(data, arrived)
    if failure is not None:
        return ReportsFound((failure,))
    reports: list[KeptReport] = []
    unread: list[str] = []
    for document in documents(data, limit_bytes=limit_bytes, pause=pause):
        try:
            reports += read_reports(document, arrived, pause=pause)
        except UnreadableReport as why:
            unread.append(str(why))
    if not reports:
        raise UnreadableReport("; ".join(unread))
    return ReportsFound(tuple(reports), tuple(unread))
