"""Mail to the addresses of [reports]: looked into behind its acceptance, kept as a report, and led on or ended here.

What cannot be read is mail like any other: nothing that a stranger writes loses it (threats J39).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from gatepost.config.report_settings import Reports
from gatepost.delivery.load import Load
from gatepost.delivery.outcome import Attempt, Fate, Outcome, all_alike
from gatepost.delivery.report_proof import proof_of
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.kept_report import KeptReport, Proof
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import QueuedMail
from gatepost.ports.bodies import BodyFiles
from gatepost.ports.log import Counters, Log
from gatepost.ports.report_book import Entry, ReportBook
from gatepost.queue.active import Parcel
from gatepost.records.report_mails import ReportsFound, find_reports
from gatepost.records.report_reading import Arrived
from gatepost.standards.report_files import MAIL_LIMIT_BYTES, NoReport, Pause, UnreadableReport

TRIES: Final = 3
"""Attempts to keep a report before its mail goes on without."""
_KEPT: Final = "250 2.0.0 Kept as a report"
REST_FACTOR: Final = 3.0
"""Reading rests so many times as long as it works: strangers get a quarter of a processor in each worker at most."""
_REST_LIMIT_S: Final = 1.0
"""The longest rest in one pause."""


_TOLD: Final = {
    Entry.KEPT: ("kept", "info", "report-kept"),
    Entry.REPLACED: ("kept", "info", "report-kept"),
    Entry.DUPLICATE: ("duplicate", "info", "report-duplicate"),
    Entry.TOO_LARGE: ("unreadable", "warning", "report-too-large"),
}
"""Result in the metric, level and event of the log line."""


class Dossiers(Protocol):
    """What we need of the store."""

    def dossier(self, mail_id: int) -> bytes | None:
        """What was found out about a mail; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The ports. own_domain: whether a domain is ours.

    in_thread: runs in a thread that a stop does not wait for. thread_time: seconds it has worked; sleep: in it.
    """

    book: ReportBook
    dossiers: Dossiers
    bodies: BodyFiles
    body_path: Callable[[SpooledBody], str]
    own_domain: Callable[[str], bool]
    thread_time: Callable[[], float]
    sleep: Callable[[float], None]
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]
    counters: Counters
    log: Log


class ReportInbox:
    """Looks into one mail at a time."""

    def __init__(self, settings: Reports, around: Around) -> None:
        self._settings = settings
        self._around = around

    async def take(self, parcel: Parcel, content: Content) -> Attempt:
        """Keep what it reports. The mail goes on unless it was consumed, or its report is to be kept later."""
        mail = parcel.mail
        try:
            found = await self._read(mail, content)
            return await self._settle(parcel, found) if found.reports else _on()
        except WorldFault as fault:
            why = f"451 4.3.0 The stored mail cannot be read: {fault.reason}"
            return Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, why))
        except Exception as bug:  # noqa: BLE001  # the edge of a stranger's document: its mail goes on, whatever it is
            self._around.counters.add("bugs", 1, place="reports")
            self._log("error", "bug", mail, place="reports", error=repr(bug)[:500])
            return _on()

    async def _read(self, mail: QueuedMail, content: Content) -> ReportsFound:
        """No reports: why is in the log. Raises WorldFault when the stored mail cannot be read."""
        try:
            data = await self._whole(content)
            proof = proof_of(mail, self._around.dossiers.dossier(mail.mail_id))
            found: ReportsFound = await self._around.in_thread(partial(self._found_in, mail, proof, data))
        except NoReport as why:
            self._unread(mail, str(why), level="info", event="report-none")
            return ReportsFound(())
        except UnreadableReport as why:
            self._unread(mail, str(why))
            return ReportsFound(())
        for reason in found.unread:
            self._unread(mail, reason)
        return found

    def _unread(
        self, mail: QueuedMail, why: str, *, level: str = "warning", event: str = "report-unreadable"
    ) -> None:
        self._count("unreadable")
        self._log(level, event, mail, why=why)

    async def _settle(self, parcel: Parcel, found: ReportsFound) -> Attempt:
        """Keep them; what becomes of the mail."""
        mail, consumes = parcel.mail, self._settings.afterwards == "consume"
        try:
            entries: list[Entry] = await self._around.in_thread(partial(self._keep, found.reports))
        except WorldFault as fault:
            self._count("failed", found.reports[0].kind.value)
            self._log("error", "report-not-kept", mail, why=fault.reason)
            tried = max(recipient.attempts for recipient in parcel.recipients)
            if consumes and tried + 1 < TRIES:
                why = f"451 4.3.0 The report cannot be kept: {fault.reason}"
                return Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, why))
            return _on()
        for report, entry in zip(found.reports, entries, strict=True):
            self._tell(mail, report, entry)
        if found.unread or Entry.TOO_LARGE in entries or not consumes:
            return _on()
        ended = (Outcome(one, Fate.DELIVERED, _KEPT, we_report=True) for one in parcel.recipients)
        return Attempt(outcomes=tuple(ended), host="reports")

    async def _whole(self, content: Content) -> bytes:
        if content.size_bytes > MAIL_LIMIT_BYTES:
            raise UnreadableReport(f"larger than {MAIL_LIMIT_BYTES >> 20} MiB")
        load = Load(
            content=content, binary=False, bodies=self._around.bodies, body_path=self._around.body_path
        )
        return b"".join([piece async for piece in load.pieces()])

    def _found_in(self, mail: QueuedMail, proof: Proof, data: bytes) -> ReportsFound:
        """In a thread. Raises UnreadableReport when there is none."""
        pause = pause_within(
            self._settings.reading_limit_s, thread_time=self._around.thread_time, sleep=self._around.sleep
        )
        arrived = Arrived(
            received_at=mail.received_at,
            proof=proof,
            is_ours=self._around.own_domain,
            mail_id=mail_id_text(mail.mail_id),
        )
        return find_reports(data, arrived, limit_bytes=self._settings.document_limit_bytes, pause=pause)

    def _keep(self, reports: tuple[KeptReport, ...]) -> list[Entry]:
        """In a thread. Raises WorldFault."""
        return [self._around.book.keep(report) for report in reports]

    def _tell(self, mail: QueuedMail, report: KeptReport, entry: Entry) -> None:
        kind = report.kind.value
        result, level, event = _TOLD[entry]
        self._count(result, kind)
        self._log(
            level,
            event,
            mail,
            kind=kind,
            organization=report.organization,
            domain=report.domain,
            report_id=report.report_id,
            total=report.total,
            failed=report.failed,
            proved_by=str(report.proof),
            counts=report.counts,
        )

    def _count(self, result: str, kind: str = "none") -> None:
        self._around.counters.add("reports_received", 1, kind=kind, result=result)

    def _log(self, level: str, event: str, mail: QueuedMail, **fields: object) -> None:
        self._around.log.write(
            level, event, mail_id=mail_id_text(mail.mail_id), sender=str(mail.sender) or "<>", **fields
        )


def pause_within(
    limit_s: float, *, thread_time: Callable[[], float], sleep: Callable[[float], None]
) -> Pause:
    """Leaves the processor to others for longer than it worked; raises UnreadableReport after limit_s of work."""
    began = rested_at = thread_time()

    def pause() -> None:
        nonlocal rested_at
        now = thread_time()
        if now - began > limit_s:
            raise UnreadableReport(f"reading it takes longer than {limit_s:g} s")
        sleep(min(REST_FACTOR * (now - rested_at), _REST_LIMIT_S))
        rested_at = now

    return pause


def _on() -> Attempt:
    return Attempt(outcomes=(), goes_on=True)
