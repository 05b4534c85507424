"""Reports of others: the book they are kept in, who reads them out of mail, who looks after them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Final

from gatepost.adapters.report_store import ReportStore
from gatepost.cli.world import ReportDesk
from gatepost.config.settings import Settings
from gatepost.delivery.report_inbox import Around, ReportInbox
from gatepost.facts.reverse_dns import HOST_NAME
from gatepost.main.directories import in_own_thread
from gatepost.main.lasting import Lasting
from gatepost.main.outbound_tls import FIRST_WORKER
from gatepost.main.places import reports_file
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.log import Log
from gatepost.ports.report_book import ReportBook
from gatepost.ports.resolver import Resolver
from gatepost.ports.world import Clock
from gatepost.routing.accepted import canonical_domain

PRUNE_S: Final = 3600.0
NAMES_AT_ONCE: Final = 20
"""Addresses looked up in one minute."""
NAMES_TRIED: Final = 3
"""Names of one address that are looked up in turn."""
UNANSWERED_LIMIT: Final = 10_000
UNVERIFIED: Final = "?"
"""Behind a name that does not lead back to its address: whoever has the address may write anything there."""
_in_thread = partial(in_own_thread, name="reports")


def report_store(settings: Settings, log: Log) -> ReportStore:
    """The book, with its bounds."""
    reports = settings.reports
    return ReportStore(reports_file(settings), age_s=reports.age_s, size_bytes=reports.size_bytes, log=log)


def report_desk(settings: Settings) -> ReportDesk:
    """For the command line."""
    return ReportDesk(book=report_store(settings, _Terminal()), own_domain=own_domain(settings))


class _Terminal:
    """The log of a command: what is worth knowing of a file that was set aside, or pruned, on standard error."""

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """As ports.log.Log."""
        said = ", ".join(f"{name} {value}" for name, value in fields.items())
        sys.stderr.write(f"{level}: {event}: {said}\n")


def report_inbox(settings: Settings, lasting: Lasting) -> ReportInbox | None:
    """Who reads reports out of mail; None when no address is for them."""
    if not settings.reports.addresses:
        return None
    store = lasting.store
    return ReportInbox(
        settings.reports,
        Around(
            book=report_store(settings, lasting.log),
            dossiers=store,
            bodies=store,
            body_path=store.body_path,
            own_domain=own_domain(settings),
            thread_time=time.thread_time,
            sleep=time.sleep,
            in_thread=_in_thread,
            counters=lasting.counters,
            log=lasting.log,
        ),
    )


def own_domain(settings: Settings) -> Callable[[str], bool]:
    """Whether a report about a domain is about us: one of our names, or below one."""
    names = (
        *(name.removeprefix("*.") for name in settings.accepted_domains),
        *settings.dns_monitor.domains,
        *settings.reports.domains,
    )
    ours = frozenset(map(canonical_domain, names))

    def is_ours(domain: str) -> bool:
        labels = domain.split(".")
        return any(".".join(labels[n:]) in ours for n in range(len(labels)))

    return is_ours


class ReportDuty:
    """Once a minute in one worker: old reports go, names of addresses are looked up."""

    def __init__(
        self, book: ReportBook, resolver: Resolver | None, *, clock: Clock, log: Log, timeout_s: float
    ) -> None:
        """resolver: None looks nothing up."""
        self._book = book
        self._resolver = resolver
        self._clock = clock
        self._log = log
        self._timeout_s = timeout_s
        self._pruned_at = 0.0
        self._unanswered: dict[str, None] = {}
        """Addresses whose names the DNS did not tell: not asked again before the next start."""

    async def tick(self) -> None:
        """Raises nothing."""
        try:
            now = self._clock.now()
            if not 0 <= now - self._pruned_at < PRUNE_S:
                self._pruned_at = now
                await _in_thread(partial(self._book.prune, now))
            if self._resolver is not None:
                await self._find_names(self._resolver, now)
        except WorldFault as fault:
            self._log.write("error", "reports-failed", why=fault.reason)

    async def _find_names(self, resolver: Resolver, now: float) -> None:
        wanted = await _in_thread(partial(self._book.unnamed, NAMES_AT_ONCE + len(self._unanswered)))
        ips = [ip for ip in wanted if ip not in self._unanswered][:NAMES_AT_ONCE]
        found: dict[str, str] = {}
        for ip in ips:
            try:
                found[ip] = await name_of(ip, resolver, timeout_s=self._timeout_s)
            except WorldFault:
                if len(self._unanswered) < UNANSWERED_LIMIT:
                    self._unanswered[ip] = None
        if found:
            await _in_thread(partial(self._book.name, found, at=now))


async def name_of(ip: str, resolver: Resolver, *, timeout_s: float) -> str:
    """A name that leads back to the address, else its first one, marked; "" without one. Raises WorldFault."""
    names: Sequence[str] = [
        name for name in await resolver.names(ip, timeout_s=timeout_s) if HOST_NAME.fullmatch(name)
    ]
    for name in names[:NAMES_TRIED]:
        try:
            there = await resolver.addresses(name, timeout_s=timeout_s)
        except PeerFault:
            continue
        if any(ip_address(one) == ip_address(ip) for one in there):
            return name
    return names[0] + UNVERIFIED if names else ""


def report_duty(settings: Settings, lasting: Lasting, resolver: Resolver) -> ReportDuty | None:
    """None in every worker but the first, and where no reports are read."""
    if lasting.number != FIRST_WORKER or not settings.reports.addresses:
        return None
    return ReportDuty(
        report_store(settings, lasting.log),
        resolver if settings.reports.names else None,
        clock=lasting.system_clock,
        log=lasting.log,
        timeout_s=settings.dns.timeout_s,
    )
