"""Counts how TLS with other domains goes, and sends yesterday's report to those that want one (RFC 8460)."""

from __future__ import annotations

import asyncio
import datetime
import gzip
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from gatepost.config.outbound_tls_settings import TlsReports
from gatepost.main.nightly_reports import NightlyReports
from gatepost.main.report_post import PostReport
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.https_url import parse_https_url
from gatepost.notices.tls_report import tls_report_mail
from gatepost.ports.https import HttpsClient, HttpsRequest
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Resolver
from gatepost.ports.world import Clock
from gatepost.protocol.addresses import parse_mailbox
from gatepost.records.tls_results import WHY_LIMIT_CHARS, DayResults, Failures, TlsResults
from gatepost.routing.link_policies import PublishedPolicy
from gatepost.standards.tlsrpt import mailbox_of, record_name, report_of, uris_of

ANSWER_LIMIT_BYTES: Final = 64 * 1024
POST_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportWorld:
    """The ports, and who we are."""

    resolver: Resolver
    https: HttpsClient
    clock: Clock
    log: Log
    counters: Counters
    post: PostReport
    hostname: str
    timeout_s: float


class TlsReporter(NightlyReports[DayResults]):
    """One worker's results; the first worker sends for all. Keeps the promise of delivery.courier.Results."""

    def __init__(
        self, settings: TlsReports, world: ReportWorld, directory: Path, number: int, *, sends: bool
    ) -> None:
        """directory: shared by the workers. sends: this is the worker that sends."""
        self._settings = settings
        self._world = world
        self._counts = TlsResults(settings.domains)
        super().__init__(
            self._counts, directory, number, kind="tls", clock=world.clock, log=world.log, sends=sends
        )

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
        self._counts.count(domain, published.kind, published.strings, published.mx, failure)

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
        self._world.post(
            tls_report_mail(
                domain,
                packed,
                sender=parse_mailbox(self._settings.sender),
                reader=reader,
                submitter=self._settings.organization or self._world.hostname,
                report_id=report_id,
                file_name=name,
            )
        )

    def _told(self, domain: str, result: str, what: str) -> None:
        self._world.counters.add("tls_reports", 1, result=result)
        level = "info" if result == "sent" else "warning"
        self._world.log.write(level, f"tls-report-{result}", domain=domain, what=what)
