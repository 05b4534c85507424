"""Counts how TLS with other domains goes, and sends yesterday's report to those that want one (RFC 8460)."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from gatepost.adapters.state_file import StateFile
from gatepost.config.outbound_tls_settings import TlsReports
from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.https_url import parse_https_url
from gatepost.ports.https import HttpsClient, HttpsRequest
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Resolver
from gatepost.ports.world import Clock
from gatepost.protocol.addresses import parse_mailbox
from gatepost.records.tls_results import (
    FILE_LIMIT_BYTES,
    WHY_LIMIT_CHARS,
    DayResults,
    Failures,
    TlsResults,
    merged,
    restored,
    stored,
)
from gatepost.routing.link_policies import PublishedPolicy
from gatepost.standards.tlsrpt import mailbox_of, record_name, report_of, uris_of

SENT_AFTER_S: Final = 1800.0
"""After midnight (UTC), so that every worker has written its day."""
SPREAD_S: Final = 4 * 3600.0
"""Reports leave within so much time (RFC 8460 §4.1), so that nobody's host is met by everybody's at once."""
DAYS_KEPT: Final = 3
"""Days whose report could not be sent are given up after so many."""
ANSWER_LIMIT_BYTES: Final = 64 * 1024
POST_TIMEOUT_S: Final = 60.0

TakeIn = Callable[[Address, Content, str], None]
"""Puts a mail of ours into the queue: its reader, the mail, its Message-ID."""
ComposeReport = Callable[[str, bytes, Address, str, str], Content]
"""Domain, packed report, reader, report's id, file name -> the mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportWorld:
    """The ports, and who we are."""

    resolver: Resolver
    https: HttpsClient
    clock: Clock
    log: Log
    counters: Counters
    take_in: TakeIn
    compose: ComposeReport
    hostname: str
    timeout_s: float


class TlsReporter:
    """One worker's results; the first worker sends for all. Keeps the promise of delivery.courier.Results."""

    def __init__(
        self, settings: TlsReports, world: ReportWorld, directory: Path, number: int, *, sends: bool
    ) -> None:
        """directory: shared by the workers. sends: this is the worker that sends."""
        self._settings = settings
        self._world = world
        self._directory = directory
        self._number = number
        self._sends = sends
        self._results = TlsResults(settings.domains)
        self._is_read = False
        self._is_over = False

    # -- delivery.courier.Results -------------------------------------------------------------------

    def note(
        self,
        *,
        domain: str,
        published: PublishedPolicy,
        result: str,
        host: str,
        ip: str,
        local_ip: str,
        why: str,
    ) -> None:
        """One connection."""
        if self._is_over:
            return
        failure = None
        if result:
            failure = Failures(
                result=result, host=host, ip=ip, local_ip=local_ip, why=why[:WHY_LIMIT_CHARS], count=1
            )
        self._turn()
        self._results.count(domain, published.kind, published.strings, published.mx, failure)

    # -- once a minute --------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Write what is new, and send what is due."""
        if not self._is_read:
            self._is_read = True
            await asyncio.to_thread(self._read)
        self._turn()
        if self._results.has_news:
            self._results.has_news = False
            await asyncio.to_thread(self._write, self._results.today.day, stored(self._results.today))
        if self._sends:
            for day, results, files in await asyncio.to_thread(self._ended):
                await self._send_due(day, results, files)

    def stop(self) -> None:
        """Keep what was counted, and count no more: another one may go on with the file."""
        self._is_over = True
        if not self._is_read:
            self._is_read = True
            self._read()
        if self._results.has_news:
            self._write(self._results.today.day, stored(self._results.today))

    def _turn(self) -> None:
        ended = self._results.turn(_day_of(self._world.clock.now()))
        if ended is not None:
            self._write(ended.day, stored(ended))

    def _file(self, name: str) -> StateFile:
        return StateFile(self._directory / name, limit_bytes=FILE_LIMIT_BYTES)

    def _write(self, day: str, data: bytes) -> None:
        try:
            self._file(f"{day}.{self._number}.json").write(data)
        except WorldFault as fault:
            self._world.log.write("error", "tls-results-failed", why=fault.reason)

    def _read(self) -> None:
        """Today's own results from before a restart."""
        day = _day_of(self._world.clock.now())
        found = self._restored(self._file(f"{day}.{self._number}.json"))
        if found is not None and found.day == day:
            self._turn()
            self._results.today.merge(found)

    def _restored(self, file: StateFile) -> DayResults | None:
        try:
            data = file.read()
            return None if data is None else restored(data)
        except (WorldFault, ValueError) as fault:
            self._world.log.write("error", "tls-results-failed", file=str(file.path), why=str(fault))
            return None

    # -- sending --------------------------------------------------------------------------------------

    def _ended(self) -> Iterator[tuple[str, DayResults, list[StateFile]]]:
        """Days that are over and written by every worker."""
        now = self._world.clock.now()
        if now % 86400 < SENT_AFTER_S:
            return iter(())
        today = _day_of(now)
        files: dict[str, list[StateFile]] = {}
        for path in sorted(self._directory.glob("????-??-??.*.json")):
            if path.name[:10] < today:
                files.setdefault(path.name[:10], []).append(self._file(path.name))
        oldest = _day_of(now - DAYS_KEPT * 86400)
        ready = []
        for day, parts in files.items():
            found = [one for part in parts if (one := self._restored(part)) is not None and one.day == day]
            together = merged(found).get(day)
            if together is None or day < oldest:
                self._drop(parts)
            else:
                ready.append((day, together, parts))
        return iter(ready)

    async def _send_due(self, day: str, results: DayResults, files: list[StateFile]) -> None:
        """Each domain at its moment of the night; what is left is written back."""
        passed_s = self._world.clock.now() % 86400 - SENT_AFTER_S
        is_yesterday = day == _day_of(self._world.clock.now() - 86400)
        due = [d for d in results.domains if not is_yesterday or _moment_s(d) <= passed_s]
        if not due:
            return
        left = DayResults(day=day, domains={d: p for d, p in results.domains.items() if d not in set(due)})
        # First taken off the disk: a report that is sent twice is worse than one that a crash loses.
        await asyncio.to_thread(self._replace, files, left)
        for domain in due:
            await self._report(domain, day, results)

    def _replace(self, files: list[StateFile], left: DayResults) -> None:
        self._drop(files[1:])
        if left.domains:
            try:
                files[0].write(stored(left))
            except WorldFault as fault:
                self._world.log.write("error", "tls-results-failed", why=fault.reason)
        else:
            self._drop(files[:1])

    def _drop(self, files: list[StateFile]) -> None:
        for file in files:
            try:
                file.remove()
            except WorldFault as fault:
                self._world.log.write("error", "tls-results-failed", why=fault.reason)

    async def _report(self, domain: str, day: str, results: DayResults) -> None:
        """To the first place of the domain's record that takes it."""
        world = self._world
        try:
            texts = await world.resolver.texts(record_name(domain), timeout_s=world.timeout_s)
        except (WorldFault, PeerFault) as fault:
            self._told(domain, "failed", f"{record_name(domain)}: {fault.reason}")
            return
        uris = uris_of(texts)
        if not uris:
            return
        submitter = self._settings.organization or world.hostname
        report_id = f"{day}.{domain}@{world.hostname}"
        report = report_of(
            domain,
            results.results_of(domain),
            organization=submitter,
            contact=self._settings.contact or self._settings.sender,
            report_id=report_id,
            day=datetime.date.fromisoformat(day),
        )
        packed = await asyncio.to_thread(partial(gzip.compress, msgspec.json.encode(report), mtime=0))
        why = ""
        for uri in uris:
            try:
                await self._deliver(domain, day, uri, packed, report_id)
            except (WorldFault, PeerFault, ValueError) as fault:
                why = f"{uri}: {getattr(fault, 'reason', '') or fault}"
                continue
            self._told(domain, "sent", uri)
            return
        self._told(domain, "failed", why)

    async def _deliver(self, domain: str, day: str, uri: str, packed: bytes, report_id: str) -> None:
        if uri.lower().startswith("https:"):
            request = HttpsRequest(
                url=parse_https_url(uri),
                body=packed,
                body_type="application/tlsrpt+gzip",
                accept="*/*",
                answer_limit_bytes=ANSWER_LIMIT_BYTES,
                timeout_s=POST_TIMEOUT_S,
                public_only=True,
            )
            await self._world.https.ask(request)
            return
        reader = parse_mailbox(mailbox_of(uri))
        start = int(datetime.datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())
        name = f"{self._world.hostname}!{domain}!{start}!{start + 86399}.json.gz"
        self._world.take_in(
            reader, self._world.compose(domain, packed, reader, report_id, name), f"<{report_id}>"
        )

    def _told(self, domain: str, result: str, what: str) -> None:
        self._world.counters.add("tls_reports", 1, result=result)
        level = "info" if result == "sent" else "warning"
        self._world.log.write(level, f"tls-report-{result}", domain=domain, what=what)


def _day_of(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, tz=datetime.UTC).date().isoformat()


def _moment_s(domain: str) -> float:
    """When in the spread a domain's report leaves: always the same, so that a restart sends none twice."""
    return zlib.crc32(domain.encode()) / 2**32 * SPREAD_S
