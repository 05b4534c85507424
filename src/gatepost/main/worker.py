"""One worker: one event loop, one store; it receives, judges, keeps and delivers.

Everything is built here, in the order in which a mail needs it from the end: the store,
what delivers from it, what takes mail into it, and the doors last.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

from gatepost.adapters.certificate_watch import CertificateWatch
from gatepost.adapters.control_socket import ControlServer
from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.list_feeds import ListFeeds
from gatepost.adapters.log import JsonLog
from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.adapters.tls import ServerTls, client_pump
from gatepost.adapters.world import SystemClock, SystemRandomness
from gatepost.config.limit_settings import Intake
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.control.worker import WorkerCommands, WorkerFace
from gatepost.delivery.call_forward import Surroundings
from gatepost.delivery.scheduler import Scheduler
from gatepost.facts.provider_desk import ProviderDesk
from gatepost.intake.account_rates import AccountRates
from gatepost.intake.connection import Connection
from gatepost.intake.counter import Counter
from gatepost.intake.door import Door
from gatepost.intake.failed_logins import FailedLogins
from gatepost.intake.listener import Listener
from gatepost.intake.log_brake import LogBrake
from gatepost.intake.log_in import LogInDesk
from gatepost.intake.pressure import Pressure, marks_of
from gatepost.intake.taking_in import TakingIn
from gatepost.main.accounts import accounts_of
from gatepost.main.children import Birth, beat
from gatepost.main.deliveries import deliveries_of
from gatepost.main.descriptors import affordable
from gatepost.main.directories import RecipientSources, recipient_sources
from gatepost.main.dmarc_reports import DmarcReporter, dmarc_reporter
from gatepost.main.dns_check import check_dns
from gatepost.main.dns_desk import DnsMonitorDuty
from gatepost.main.guarding import guard_of
from gatepost.main.integrated import integrated_logins
from gatepost.main.lasting import Lasting, open_shared, unchanged
from gatepost.main.list_sources import LIST_TABLES, lists_of, start_lists
from gatepost.main.logs import open_log, reopen_log, tell_unraisable
from gatepost.main.notice_writer import NoticeWriter, house_of
from gatepost.main.outbound_tls import FIRST_WORKER, OutboundTlsParts, outbound_tls_parts, tls_reporter
from gatepost.main.own_store import own_store, route_again
from gatepost.main.places import control_socket
from gatepost.main.pressure_watch import PressureWatch, resource_states, watch_of, why_no_mail
from gatepost.main.return_paths import return_paths_of
from gatepost.main.server_tls import server_tls
from gatepost.main.sockets import bindings_of
from gatepost.main.succession import Succession
from gatepost.main.tokens import Tokens
from gatepost.main.wire_logs import WireLogFiles, open_wire_logs
from gatepost.model.fault import WorldFault
from gatepost.policy import order
from gatepost.policy.runner import PolicyRunner
from gatepost.queue.graves import old_graves
from gatepost.queue.schedule import QueueClock
from gatepost.routing.accepted import accepted_domains
from gatepost.routing.next_hop import Router

REFRESH_S: Final = 1.0
GC_THRESHOLDS: Final = (20_000, 20, 50)
"""A mail makes some hundred short-lived objects and hardly a cycle: look for cycles rarely."""
PURGE_S: Final = 60.0


def run_worker(configuration: Configuration, number: int, birth: Birth) -> int:
    """A worker's whole life; returns its exit status."""
    log = open_log(configuration.settings.log, f"worker-{number}")
    tell_unraisable(log)
    try:
        with asyncio.Runner(loop_factory=loop_factory(configuration.settings)) as runner:
            return runner.run(_live(configuration, number, birth, log))
    except WorldFault as fault:
        log.write("error", "worker-cannot-run", reason=fault.reason)
        return 1
    finally:
        log.close()


def loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop]:
    """What server.event-loop names."""
    if settings.server.event_loop == "uvloop":
        import uvloop  # there are machines without it

        return uvloop.new_event_loop
    return asyncio.new_event_loop


async def _live(configuration: Configuration, number: int, birth: Birth, log: JsonLog) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, reopen_log, log, configuration.settings.log)
    system_clock = SystemClock()
    store = await own_store(configuration.settings, number, system_clock, log, loop, stop)
    if store is None:
        return 0
    shared = open_shared(configuration.settings, system_clock, log)
    lasting = Lasting.around(store, number, birth.sockets, log, system_clock, shared)
    worker = _build(configuration, lasting, None)
    succession = Succession(worker, lasting, _build)
    for name, state in birth.held.items():
        worker.listener.hold(name, state, timeout_s=0.0)
    await worker.start()
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()  # what is built now lives as long as the worker: not to be looked at again
    log.write("info", "worker-ready", worker=number, queued_from=worker.store.last_mail_id)
    beating = loop.create_task(beat(birth.line))
    await stop.wait()
    beating.cancel()
    await succession.stop(succession.worker.settings.server.stop_timeout_s)
    shared.close()
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The parts of one configuration that start, tick and stop."""

    settings: Settings
    lasting: Lasting
    desk: Counter
    runner: PolicyRunner
    doors: dict[socket.socket, list[Door]]
    intake: Intake
    commands: WorkerCommands
    store: SqliteStore
    clock: QueueClock
    router: Router
    scheduler: Scheduler
    listener: Listener
    control: ControlServer
    recipients: RecipientSources
    feeds: ListFeeds
    providers: ProviderDesk
    resolver: DnsResolver
    wire_logs: WireLogFiles
    watch: PressureWatch
    brake: LogBrake
    tokens: Tokens
    certificates: CertificateWatch
    tasks: set[asyncio.Task[None]]
    outbound_tls: OutboundTlsParts = field(default_factory=OutboundTlsParts)
    dns_monitor: DnsMonitorDuty | None = None
    dmarc_reports: DmarcReporter | None = None

    async def start(self) -> None:
        """From the inside out: deliveries first, doors last."""
        self.recipients.refresh()
        self._begin()
        await self.control.start()
        self.watch.start()
        await self.listener.start()

    def take_over(self, before: Worker) -> frozenset[Connection]:
        """Go on where an older configuration is; the sessions that are open, and stay its own."""
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
        if self.dmarc_reports is not None:
            self._every(PURGE_S, self.dmarc_reports.tick)
        if self.dns_monitor is not None:
            self._every(PURGE_S, self.dns_monitor.tick)
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
        age_s = self.settings.notices.dead_letter_age_s
        if age_s and (changes := old_graves(self.store, now=self.clock.now(), age_s=age_s)):
            self.store.commit(changes)

    def _every(self, interval_s: float, tick: Callable[[], Awaitable[None]]) -> None:
        async def beat() -> None:
            while True:
                await asyncio.sleep(interval_s)
                await tick()

        task = asyncio.get_running_loop().create_task(beat())
        self.tasks.add(task)


def _build(configuration: Configuration, lasting: Lasting, before: Worker | None) -> Worker:
    """Join everything. before: the parts in force, of which those whose settings are the same are kept."""
    settings, old = configuration.settings, before.settings if before else None
    number, log, counters, store = lasting.number, lasting.log, lasting.counters, lasting.store
    clock, system_clock, ids = lasting.clock, lasting.system_clock, lasting.ids
    randomness = SystemRandomness()
    accepted = accepted_domains(settings)
    router = Router(settings, accepted)
    return_paths = return_paths_of(settings, accepted)
    resolver = (
        before.resolver if before and unchanged(old, settings, "dns") else DnsResolver(settings.dns, log)
    )
    notices = NoticeWriter(
        house=house_of(settings, accepted, router),
        clock=clock,
        randomness=randomness,
        ids=ids,
        counters=counters,
    )
    recipients = (
        before.recipients  # with the last good lists
        if before
        and unchanged(old, settings, "recipients", "directories", "accepted_domains", "dns", "server")
        else recipient_sources(
            settings,
            accepted,
            Surroundings(
                dialer=LoopDialer(client_pump),
                resolver=resolver,
                randomness=randomness,
                monotonic=system_clock.monotonic,
                hostname=settings.server.hostname,
                log=log,
                counters=counters,
            ),
            system_clock,
        )
    )
    wire_logs = (
        before.wire_logs
        if before and unchanged(old, settings, "wire_logs", "receive_connectors", "send_connectors")
        else open_wire_logs(settings, number, system_clock)
    )
    if before and unchanged(
        old, settings, "outbound_tls", "dns", "send_connectors", "server", "accepted_domains", "queue"
    ):
        outbound_tls = before.outbound_tls
    else:
        outbound_tls = outbound_tls_parts(
            settings,
            resolver,
            number,
            clock=clock,
            log=log,
            counters=counters,
            before=before.outbound_tls if before else None,
            reporter=tls_reporter(settings, lasting, resolver, router, randomness),
        )
    if before and unchanged(
        old, settings, "dmarc_reports", "dns", "send_connectors", "server", "accepted_domains", "queue"
    ):
        dmarc_reports = before.dmarc_reports
    else:
        dmarc_reports = dmarc_reporter(settings, lasting, resolver, router, randomness)
    scheduler = deliveries_of(
        settings,
        lasting,
        resolver,
        router,
        notices,
        accepted=accepted,
        randomness=randomness,
        wire_logs=wire_logs,
        outbound_tls=outbound_tls,
        return_paths=return_paths,
        dmarc_reporter=dmarc_reports,
    )
    taking_in = TakingIn(
        store,
        router,
        ids,
        lasting.deliveries,
        settings,
        clock=clock,
        counters=counters,
        log=log,
        notice=notices.failure_as,
        return_paths=return_paths,
        dmarc_reports=dmarc_reports,
    )
    feeds, providers = (
        (before.feeds, before.providers)
        if before and unchanged(old, settings, *LIST_TABLES)
        else lists_of(settings, resolver, system_clock, counters, log, before.feeds if before else None)
    )
    runner = order.build(
        settings,
        configuration.agents,
        accepted=accepted,
        resolver=resolver,
        directory=recipients,
        log=log,
        counters=counters,
        revision=configuration.revision,
        shared=lasting.shared,
        lists=lasting.lists,
        providers=providers,
        lookup=resolver,
        bodies=store,
        return_paths=return_paths,
    )
    brake = before.brake if before else LogBrake(log)
    guard = guard_of(
        settings,
        configuration.agents,
        lasting.shared,
        lasting.lists,
        accepted=accepted,
        clock=clock,
        counters=counters,
        log=brake,
    )
    if before and unchanged(old, settings, "users", "dns", "harvest", "accepted_domains"):
        tokens, log_in = before.tokens, before.desk.log_in
    else:
        tokens = Tokens(settings.users.tokens, resolver, clock=clock, log=log)
        log_in = LogInDesk(
            accounts=accounts_of(settings, monotonic=system_clock.monotonic),
            failures=FailedLogins(settings.users.lockout, monotonic=system_clock.monotonic),
            rates=AccountRates(settings.users.recipients_per_hour, monotonic=system_clock.monotonic),
            randomness=randomness,
            counters=counters,
            log=log,
            bearer=tokens.check,
            integrated=integrated_logins(settings.users),
            guard=guard,
        )
    if before and unchanged(old, settings, "back_pressure"):
        pressure, watch = before.desk.pressure, before.watch
    else:
        pressure = Pressure(marks_of(settings.back_pressure))
        watch = watch_of(settings, number, pressure, store, clock=clock, counters=counters, log=log)
    desk = Counter(
        taking_in=taking_in,
        log_in=log_in,
        clock=clock,
        counters=counters,
        log=brake,
        pressure=pressure,
        protocol_log=wire_logs.protocol,
        guarding=guard,
    )
    tls = server_tls(settings, now=system_clock.now())
    doors = _doors(settings, lasting.sockets, tls)
    intake = affordable(settings.intake, log)
    listener = (
        before.listener
        if before
        else Listener(doors, runner, desk, clock=clock, randomness=randomness, intake=intake)
    )
    commands = WorkerCommands(
        store,
        face=WorkerFace(
            worker=number,
            process_id=os.getpid(),
            started_at=lasting.started_at,
            revision=configuration.revision,
            hostname=settings.server.hostname,
            sessions=lambda: listener.session_count,
            samples=lambda: chain(counters.samples(), resolver.samples()),
            reopen_log=lambda: reopen_log(log, settings.log),
            connectors=listener.status,
            set_connector=partial(listener.hold, timeout_s=settings.server.stop_timeout_s),
            take_configuration=lasting.take,
            clock_jump_s=lambda: clock.jump_s,
            confirm_clock=clock.confirm,
            resources=partial(resource_states, pressure),
            stressed=lambda: listener.stressed,
            why_not_accepting=partial(why_no_mail, pressure),
            shared_problem=lasting.shared_problem,
        ),
        clock=clock,
        route=lambda address: router.next_hop_for(address).key,
        notice_about=notices.about_removed(store.content),
        deliveries=scheduler,
        queue=settings.queue,
    )
    return Worker(
        settings=settings,
        lasting=lasting,
        desk=desk,
        runner=runner,
        doors=doors,
        intake=intake,
        commands=commands,
        store=store,
        clock=clock,
        router=router,
        scheduler=scheduler,
        listener=listener,
        control=before.control
        if before
        else ControlServer(str(control_socket(settings, number)), lasting.answer),
        recipients=recipients,
        feeds=feeds,
        providers=providers,
        resolver=resolver,
        wire_logs=wire_logs,
        watch=watch,
        brake=brake,
        tokens=tokens,
        certificates=CertificateWatch(tls, log=log, counters=counters),
        tasks=set(),
        outbound_tls=outbound_tls,
        dmarc_reports=dmarc_reports,
        dns_monitor=DnsMonitorDuty(settings, resolver, clock=clock, log=log, counters=counters)
        if number == FIRST_WORKER
        else None,
    )


def _doors(
    settings: Settings, sockets: dict[str, socket.socket], tls: Mapping[str, ServerTls]
) -> dict[socket.socket, list[Door]]:
    """Which doors are behind which socket."""
    doors = {
        name: Door(name, connector, hostname=settings.server.hostname, tls=tls.get(name))
        for name, connector in settings.receive_connectors.items()
        if connector.enabled
    }
    bindings = bindings_of(settings.receive_connectors)
    # A former worker, which only delivers what is left, has no sockets.
    served = {sockets[binding]: names for binding, names in bindings.items() if binding in sockets}
    return {listening: [doors[name] for name in names] for listening, names in served.items()}
