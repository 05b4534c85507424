"""One worker: one event loop, one store; it receives, judges, keeps and delivers.

The parts of one configuration, which main/joining.py makes: how they begin, take over from older ones, tick and stop.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gatepost.adapters.certificate_watch import CertificateWatch
from gatepost.adapters.list_feeds import ListFeeds
from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.config.limit_settings import Intake
from gatepost.config.settings import Settings
from gatepost.control.worker import WorkerCommands
from gatepost.delivery.scheduler import Scheduler
from gatepost.facts.provider_desk import ProviderDesk
from gatepost.intake.connection import Connection
from gatepost.intake.counter import Counter
from gatepost.intake.door import Door
from gatepost.intake.listener import Listener
from gatepost.intake.log_brake import LogBrake
from gatepost.main.directories import RecipientSources
from gatepost.main.dmarc_reports import DmarcReporter
from gatepost.main.dns_check import check_dns
from gatepost.main.dns_desk import DnsMonitorDuty
from gatepost.main.duties import again_and_again
from gatepost.main.lasting import Lasting
from gatepost.main.list_sources import start_lists
from gatepost.main.outbound_tls import OutboundTlsParts
from gatepost.main.own_store import route_again
from gatepost.main.pressure_watch import PressureWatch
from gatepost.main.report_keeping import ReportDuty
from gatepost.main.tokens import Tokens
from gatepost.main.wire_logs import WireLogFiles
from gatepost.main.world import ControlDoor, NameServers
from gatepost.policy.fuses import Fuses
from gatepost.policy.runner import PolicyRunner
from gatepost.queue.graves import old_graves
from gatepost.queue.schedule import QueueClock
from gatepost.routing.next_hop import Router

REFRESH_S: Final = 1.0
PURGE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The parts of one configuration that start, tick and stop."""

    settings: Settings
    lasting: Lasting
    desk: Counter
    runner: PolicyRunner
    fuses: Fuses
    doors: dict[socket.socket, list[Door]]
    intake: Intake
    commands: WorkerCommands
    store: SqliteStore
    clock: QueueClock
    router: Router
    scheduler: Scheduler
    listener: Listener
    control: ControlDoor
    recipients: RecipientSources
    feeds: ListFeeds
    providers: ProviderDesk
    resolver: NameServers
    wire_logs: WireLogFiles
    watch: PressureWatch
    brake: LogBrake
    tokens: Tokens
    certificates: CertificateWatch
    tasks: set[asyncio.Task[None]]
    outbound_tls: OutboundTlsParts = field(default_factory=OutboundTlsParts)
    dns_monitor: DnsMonitorDuty | None = None
    dmarc_reports: DmarcReporter | None = None
    report_duty: ReportDuty | None = None

    async def start(self) -> None:
        """From the inside out: deliveries first, doors last."""
        self.recipients.refresh()
        self._begin()
        await self.control.start()
        self.watch.start()
        await self.listener.start()

    def take_over(self, before: Worker) -> frozenset[Connection]:
        """Go on where an older configuration is; the sessions that are open, and stay its own."""
        self.fuses.forget()
        for task in before.tasks:
            task.cancel()
        if before.outbound_tls is not self.outbound_tls:
            before.outbound_tls.keep()
        if before.dmarc_reports is not None and before.dmarc_reports is not self.dmarc_reports:
            before.dmarc_reports.stop()
        if before.watch is not self.watch:
            before.watch.stop()
            self.watch.start()
        self.scheduler.follow(before.scheduler)
        self.store.adopt(self.settings.queue)
        self._begin()
        return self.listener.change(self.doors, self.runner, self.desk, self.intake)

    def _begin(self) -> None:
        self.lasting.deliveries.scheduler = self.scheduler
        self.lasting.commands = self.commands
        route_again(self.store, self.router, now=self.clock.now())
        self.scheduler.start()
        self.tasks.update(self.tokens.start())
        if self.lasting.number == 0:  # the others would say the same
            self.tasks.add(asyncio.get_running_loop().create_task(self._check_dns()))
        self.lasting.lists.feeds = self.feeds
        self.tasks.update(start_lists(self.feeds, self.providers))
        self.certificates.look(self.clock.now())
        self.outbound_tls.start()
        self._every(REFRESH_S, self._read_recipients)
        self._every(REFRESH_S, self._read_certificates)
        self._every(REFRESH_S, self.lasting.clock_watch.look)
        self._every(PURGE_S, self._purge)
        self._every(PURGE_S, self.outbound_tls.tick)
        for duty in (self.dmarc_reports, self.report_duty, self.dns_monitor):
            if duty is not None:
                self._every(PURGE_S, duty.tick)
        self._every(self.settings.back_pressure.interval_s, self.watch.look)

    async def stop(self, timeout_s: float, *, elders: Sequence[Worker] = ()) -> None:
        """Doors first; what was accepted stays in the store. elders: older configurations with work in hand."""
        for task in self.tasks:
            task.cancel()
        await self.listener.stop(timeout_s)
        await asyncio.gather(*(w.scheduler.stop(timeout_s) for w in (self, *elders)))
        await self.control.stop()
        self.watch.stop()
        self.brake.tell()
        self.recipients.close()
        self.outbound_tls.stop()
        if self.dmarc_reports is not None:
            self.dmarc_reports.stop()
        self.resolver.close()
        self.wire_logs.close()
        self.store.close()

    async def _read_recipients(self) -> None:
        await asyncio.to_thread(self.recipients.refresh)
        self.recipients.sync_what_is_due()

    async def _read_certificates(self) -> None:
        await asyncio.to_thread(self.certificates.look, self.clock.now())

    async def _check_dns(self) -> None:
        dns = self.settings.dns
        await check_dns(self.resolver, self.lasting.log, name=dns.test_name, timeout_s=dns.timeout_s)

    async def _purge(self) -> None:
        self.store.purge(self.clock.now(), self.settings.records)
        notices, now = self.settings.notices, self.clock.now()
        age_s, size_bytes = notices.dead_letter_age_s, notices.dead_letter_size_bytes
        if changes := old_graves(self.store, now=now, age_s=age_s, size_bytes=size_bytes):
            self.store.commit(changes)

    def _every(self, interval_s: float, tick: Callable[[], Awaitable[None]]) -> None:
        beating = again_and_again(interval_s, tick, self.lasting.log)
        self.tasks.add(asyncio.get_running_loop().create_task(beating))
