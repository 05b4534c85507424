"""Counts what came in other domains' names, and sends yesterday's report to those that want one (RFC 9990)."""

from __future__ import annotations

import asyncio
import datetime
import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from gatepost.config.dmarc_report_settings import DmarcReports
from gatepost.config.settings import Settings
from gatepost.delivery.settling import WriteNotice
from gatepost.intake.dmarc_rows import seen_mail
from gatepost.main.dmarc_failures import KIND as FAILURE_KIND
from gatepost.main.dmarc_failures import FailureReporter, FailureWorld
from gatepost.main.lasting import Lasting
from gatepost.main.nightly_reports import NightlyReports
from gatepost.main.outbound_tls import FIRST_WORKER
from gatepost.main.places import state_directory
from gatepost.main.report_post import PostReport, content_post, report_post, source_of
from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.known import MailView
from gatepost.model.queued import Accept, QueuedMail, QueuedRecipient
from gatepost.notices.policy import Silence
from gatepost.notices.report_mail import ReportMail
from gatepost.policy.folding import MailOutcome
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Resolver
from gatepost.ports.shared import SharedState
from gatepost.ports.world import Clock, Randomness
from gatepost.protocol.addresses import parse_mailbox
from gatepost.records.dmarc_results import DmarcDay, DmarcResults, DomainMails
from gatepost.routing.next_hop import Router
from gatepost.standards.dmarc_destinations import accepted_address, consent_name
from gatepost.standards.dmarc_record import ReportAddress
from gatepost.standards.dmarc_report_writing import (
    ReportHead,
    SeenMail,
    file_name,
    subject,
    write_aggregate,
)

KIND: Final = "dmarc"
READERS_LIMIT: Final = 5
"""Addresses of one domain that get its report; more are not looked at."""
RESTING_SPACE: Final = "dmarc-report-addresses"
"""Shared: addresses that get no reports for a time, and why."""
WHY_LIMIT_CHARS: Final = 300
REPORT_TABLES: Final = (
    "dmarc_reports",
    "reports",
    "outbound_tls",
    "dns",
    "send_connectors",
    "server",
    "accepted_domains",
    "queue",
)
"""What a reporter is made of: it is kept at a reload that leaves these tables of the file alone."""
MAIL_BYTES: Final = 4096
"""What of the mail is not the packed report, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcWorld:
    """The ports, and who we are."""

    resolver: Resolver
    clock: Clock
    log: Log
    counters: Counters
    shared: SharedState
    post: PostReport
    hostname: str
    timeout_s: float


class DmarcReporter(NightlyReports[DmarcDay]):
    """One worker's counts; the first worker sends for all. Keeps the promise of intake.dmarc_rows.DmarcReports."""

    def __init__(
        self,
        settings: DmarcReports,
        world: DmarcWorld,
        directory: Path,
        number: int,
        *,
        sends: bool,
        failures: FailureReporter | None = None,
    ) -> None:
        """directory: shared by the workers. sends: this is the worker that sends. failures: tells of single mails."""
        self._settings = settings
        self._world = world
        self._failures = failures
        self._counts = DmarcResults(settings.domains, settings.rows)
        super().__init__(
            self._counts, directory, number, kind=KIND, clock=world.clock, log=world.log, sends=sends
        )

    # -- intake.dmarc_rows.DmarcReports ---------------------------------------------------------------

    def note(self, view: MailView, facts: Iterable[Any], outcome: MailOutcome) -> None:
        """A mail was judged."""
        if self._is_over:
            return
        if self._failures is not None:
            self._failures.note(view, facts, outcome)
        if (found := seen_mail(view, facts, outcome)) is None:
            return
        dmarc, seen = found
        self._turn()
        self._counts.count(dmarc.policy_domain, dmarc.published, dmarc.rua, seen)

    # -- sending --------------------------------------------------------------------------------------

    def refused(self, reader: Address, why: str) -> None:
        """A report to this address has failed for good: it is left alone for a time."""
        until = self._clock.now() + self._settings.address_rest_s
        value = why[:WHY_LIMIT_CHARS].encode("utf-8", "replace")
        self._world.shared.put(RESTING_SPACE, str(reader), value, expires_at=until)
        self._log.write(
            "warning", "dmarc-report-address-rests", address=str(reader), why=why[:WHY_LIMIT_CHARS]
        )

    async def _report(self, domain: str, day: str, results: DmarcDay) -> None:
        """To every place of the domain's record that takes it."""
        mails = results.domains[domain]
        rows = await asyncio.to_thread(mails.seen)
        told: set[Address] = set()
        for mailbox, limit_bytes in mails.rua[:READERS_LIMIT]:
            try:
                reader, most_bytes = await self._place(domain, ReportAddress(mailbox, limit_bytes))
                if reader in told:
                    continue
                if self._world.shared.get(RESTING_SPACE, str(reader)) is not None:
                    self._told(domain, "suppressed", str(reader))
                    continue
                told.add(reader)
                report = await asyncio.to_thread(
                    self._written, domain, day, mails, rows, reader, most_bytes, len(told)
                )
                self._world.post(report)
            except (WorldFault, PeerFault, ValueError) as fault:
                self._told(domain, "failed", f"{mailbox}: {getattr(fault, 'reason', '') or fault}")
            else:
                self._told(domain, "sent", str(reader))

    async def _place(self, domain: str, asked: ReportAddress) -> tuple[Address, int]:
        """Where to, and how large the mail may be. Raises ValueError, PeerFault, WorldFault."""
        host = parse_mailbox(unquote(asked.mailbox)).domain
        found = await accepted_address(
            domain, host, asked, self._world.resolver, timeout_s=self._world.timeout_s
        )
        if found is None:
            raise ValueError(f"{consent_name(domain, host)} does not say that it wants reports of {domain}")
        most_bytes = self._settings.size_limit_bytes
        limits = [limit for limit in (most_bytes, asked.limit_bytes, found.limit_bytes) if limit]
        return parse_mailbox(unquote(found.mailbox)), min(limits)

    def _written(
        self,
        domain: str,
        day: str,
        mails: DomainMails,
        rows: Sequence[tuple[SeenMail, int]],
        reader: Address,
        most_bytes: int,
        number: int,
    ) -> ReportMail:
        """Raises ValueError when nothing of it fits, or there is nothing."""
        settings, hostname = self._settings, self._world.hostname
        begin = int(datetime.datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())
        report_id = f"{day}.{domain}@{hostname}"
        head = ReportHead(
            organization=settings.organization or hostname,
            email=settings.sender,
            contact=settings.contact,
            report_id=report_id,
            begin=begin,
            end=begin + 86399,
            domain=domain,
            published=mails.published,
        )
        return ReportMail(
            sender=parse_mailbox(settings.sender),
            reader=reader,
            subject=subject(domain, hostname, report_id),
            message_id=f"<{number}.{report_id}>",
            text=f"What came to {hostname} in the name of {domain}.\n",
            packed=packed_to_fit(head, rows, mails.left_out, most_bytes),
            file_name=file_name(hostname, domain, begin, begin + 86399),
            media_type="application/gzip",
        )

    def _told(self, domain: str, result: str, what: str) -> None:
        self._world.counters.add("dmarc_reports", 1, result=result)
        level = "warning" if result == "failed" else "info"
        self._log.write(level, f"dmarc-report-{result}", domain=domain, what=what)


def packed_to_fit(
    head: ReportHead, rows: Sequence[tuple[SeenMail, int]], left_out: int, most_bytes: int
) -> bytes:
    """The report as gzip has it: all rows, or so many that the mail is no larger than this.

    rows: those of most mails first. Raises ValueError when not one fits, or there is none.
    """
    kept = len(rows)
    while True:
        without = left_out + sum(count for _, count in rows[kept:])
        packed = gzip.compress(write_aggregate(head, rows[:kept], left_out=without), mtime=0)
        mail_bytes = len(packed) * 78 // 57 + MAIL_BYTES
        if mail_bytes <= most_bytes:
            return packed
        if kept == 1:
            raise ValueError(f"a report of one row is larger than the {most_bytes} bytes that are wanted")
        # Towards what should fit, and always fewer.
        kept = max(1, min(kept - 1, kept * 9 // 10, kept * most_bytes // mail_bytes))


def dmarc_reporter(
    settings: Settings, lasting: Lasting, resolver: Resolver, router: Router, randomness: Randomness
) -> DmarcReporter | None:
    """Who counts for reports, and sends them; None when there are none."""
    if not settings.dmarc_reports.sender:
        return None
    world = DmarcWorld(
        resolver=resolver,
        clock=lasting.clock,
        log=lasting.log,
        counters=lasting.counters,
        shared=lasting.shared,
        post=report_post(settings, lasting, router, randomness, kind=KIND),
        hostname=settings.server.hostname,
        timeout_s=settings.dns.timeout_s,
    )
    directory = state_directory(settings) / "dmarc-results"
    return DmarcReporter(
        settings.dmarc_reports,
        world,
        directory,
        lasting.number,
        sends=lasting.number == FIRST_WORKER,
        failures=_failure_reporter(settings, lasting, resolver, router, randomness),
    )


def _failure_reporter(
    settings: Settings, lasting: Lasting, resolver: Resolver, router: Router, randomness: Randomness
) -> FailureReporter | None:
    reports = settings.dmarc_reports
    if reports.failure_reports == "off":
        return None
    machines = (reports.sender, settings.outbound_tls.reports.sender, *settings.reports.addresses)
    return FailureReporter(
        reports,
        FailureWorld(
            resolver=resolver,
            clock=lasting.clock,
            log=lasting.log,
            counters=lasting.counters,
            shared=lasting.shared,
            randomness=randomness,
            post=content_post(settings, lasting, router, kind=FAILURE_KIND),
            hostname=settings.server.hostname,
            timeout_s=settings.dns.timeout_s,
            resting=RESTING_SPACE,
            silent_for=frozenset(parse_mailbox(address).key for address in machines if address),
        ),
    )


def heeding_failures(write: WriteNotice, reporter: DmarcReporter | None) -> WriteNotice:
    """The writer of failure notices, which tells the reporter of readers that take no reports."""
    if reporter is None:
        return write

    def written(
        mail: QueuedMail, failed: Sequence[QueuedRecipient], content: Content
    ) -> Accept | Silence | None:
        if mail.source in (source_of(KIND), source_of(FAILURE_KIND)):
            for one in failed:
                reporter.refused(one.recipient.address, one.last_reply)
        return write(mail, failed, content)

    return written
