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
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gatepost.adapters.accounts import FileAccounts
from gatepost.adapters.certificate_watch import CertificateWatch
from gatepost.adapters.control_socket import ControlServer
from gatepost.adapters.counters import MemoryCounters
from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.log import JsonLog
from gatepost.adapters.maildir import LocalMaildirs
from gatepost.adapters.recipient_file import RecipientFile
from gatepost.adapters.sqlite_store import SqliteStore, open_store
from gatepost.adapters.tls import ServerTls, client_pump
from gatepost.adapters.world import SystemClock, SystemRandomness
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.control.worker import WorkerCommands, WorkerFace
from gatepost.delivery.attempts import Attempts
from gatepost.delivery.courier import Courier, OwnName
from gatepost.delivery.delays import Delays
from gatepost.delivery.maildir import MaildirCourier
from gatepost.delivery.scheduler import Outside, Scheduler
from gatepost.delivery.settling import Settling
from gatepost.intake.account_rates import AccountRates
from gatepost.intake.conversation import Counter
from gatepost.intake.door import Door
from gatepost.intake.failed_logins import FailedLogins
from gatepost.intake.listener import Listener
from gatepost.intake.log_in import LogInDesk
from gatepost.intake.taking_in import TakingIn
from gatepost.main.integrated import integrated_logins
from gatepost.main.logs import open_log, reopen_log
from gatepost.main.notice_writer import NoticeWriter, house_of
from gatepost.main.places import accounts_file, control_socket, store_directory
from gatepost.main.server_tls import server_tls
from gatepost.main.smart_hosts import smart_host_logins
from gatepost.main.sockets import bindings_of, split_binding
from gatepost.main.tokens import Tokens
from gatepost.main.wire_logs import WireLogFiles, open_wire_logs
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import MailIds
from gatepost.model.queued import MailState, Settle, Settlement
from gatepost.policy import order
from gatepost.ports.store import MailFilter
from gatepost.protocol.addresses import parse_mailbox
from gatepost.queue.graves import old_graves
from gatepost.queue.schedule import QueueClock
from gatepost.queue.states import settled
from gatepost.routing.accepted import accepted_domains
from gatepost.routing.hosts import Hosts, hosts_of
from gatepost.routing.next_hop import NextHop, Router

LOCK_PATIENCE_S: Final = 40.0
"""How long a store may still belong to a worker that is finishing."""
REFRESH_S: Final = 1.0
GC_THRESHOLDS: Final = (20_000, 20, 50)
"""A mail makes some hundred short-lived objects and hardly a cycle: look for cycles rarely."""
PURGE_S: Final = 60.0
_PAGE: Final = 500


def run_worker(configuration: Configuration, number: int, sockets: dict[str, socket.socket]) -> int:
    """A worker's whole life; returns its exit status."""
    log = open_log(configuration.settings.log, f"worker-{number}")
    try:
        with asyncio.Runner(loop_factory=loop_factory(configuration.settings)) as runner:
            return runner.run(_live(configuration, number, sockets, log))
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


async def _live(
    configuration: Configuration, number: int, sockets: dict[str, socket.socket], log: JsonLog
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, reopen_log, log, configuration.settings.log)
    worker = await _build(configuration, number, sockets, log, loop, stop)
    if worker is None:
        return 0
    await worker.start()
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()  # what is built now lives as long as the worker: not to be looked at again
    log.write("info", "worker-ready", worker=number, queued_from=worker.store.last_mail_id)
    await stop.wait()
    await worker.stop(configuration.settings.server.stop_timeout_s)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The parts that start, tick and stop."""

    settings: Settings
    store: SqliteStore
    clock: QueueClock
    router: Router
    scheduler: Scheduler
    listener: Listener
    control: ControlServer
    recipients: RecipientFile
    resolver: DnsResolver
    wire_logs: WireLogFiles
    tokens: Tokens
    certificates: CertificateWatch
    tasks: set[asyncio.Task[None]]

    async def start(self) -> None:
        """From the inside out: deliveries first, doors last."""
        self.recipients.refresh()
        self._route_again()
        self.scheduler.start()
        await self.control.start()
        self.tasks.update(self.tokens.start())
        await self.listener.start()
        self.certificates.look(self.clock.now())
        self._every(REFRESH_S, self._read_files)
        self._every(PURGE_S, self._purge)

    async def stop(self, timeout_s: float) -> None:
        """Doors first; what was accepted stays in the store."""
        for task in self.tasks:
            task.cancel()
        await self.listener.stop(timeout_s)
        await self.scheduler.stop(timeout_s)
        await self.control.stop()
        self.resolver.close()
        self.wire_logs.close()
        self.store.close()

    async def _read_files(self) -> None:
        await asyncio.to_thread(self.recipients.refresh)
        await asyncio.to_thread(self.certificates.look, self.clock.now())

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

    def _route_again(self) -> None:
        """Mail that had no way out may have one with this configuration."""
        after = 0
        wanted = MailFilter(state=MailState.UNREACHABLE)
        while page := self.store.find(wanted, limit=_PAGE, after=after):
            after = page[-1].mail_id
            for mail in page:
                found = []
                for recipient in mail.recipients:
                    hop = self.router.next_hop_for(recipient.recipient.address)
                    if recipient.state is MailState.UNREACHABLE and hop.first_state is MailState.READY:
                        found.append(
                            Settlement(
                                number=recipient.number,
                                state=MailState.READY,
                                due_at=self.clock.now(),
                                attempts=recipient.attempts,
                                last_reply=recipient.last_reply,
                                next_hop=hop.key,
                            )
                        )
                if found:
                    self.store.commit([Settle(mail_id=mail.mail_id, settlements=tuple(found))])


async def _build(
    configuration: Configuration,
    number: int,
    sockets: dict[str, socket.socket],
    log: JsonLog,
    loop: asyncio.AbstractEventLoop,
    stop: asyncio.Event,
) -> Worker | None:
    """Join everything. None when we were told to stop while the store still belonged to somebody."""
    settings = configuration.settings
    counters, randomness, system_clock = MemoryCounters(), SystemRandomness(), SystemClock()
    store = await _own_store(settings, number, system_clock, log, loop, stop)
    if store is None:
        return None
    clock = QueueClock(system_clock, last_seen_at=store.last_seen_at)
    accepted = accepted_domains(settings)
    router = Router(settings, accepted)
    resolver = DnsResolver(settings.dns)
    ids = MailIds(number, after=store.last_mail_id)
    notices = NoticeWriter(
        house=house_of(settings, accepted, router),
        clock=clock,
        randomness=randomness,
        ids=ids,
        counters=counters,
    )
    recipients = RecipientFile(
        settings.recipients.file, parse_mailbox=parse_mailbox, log=log, counters=counters
    )
    wire_logs = open_wire_logs(settings, number, system_clock)
    courier = Courier(
        dialer=LoopDialer(client_pump),
        find_hosts=_finder(settings, resolver, randomness),
        bodies=store,
        body_path=store.body_path,
        monotonic=system_clock.monotonic,
        own=OwnName(
            hostname=settings.server.hostname,
            wildcard_ports=_wildcard_ports(settings),
            credentials=smart_host_logins(settings, randomness),
        ),
        counters=counters,
        log=log,
        logs=wire_logs.outgoing(system_clock, randomness),
    )
    maildir = MaildirCourier(
        maildirs=LocalMaildirs(),
        bodies=store,
        body_path=store.body_path,
        clock=system_clock,
        hostname=settings.server.hostname,
    )
    scheduler = Scheduler(
        outside=Outside(
            store=store,
            in_flight=store.in_flight,
            clock=clock,
            randomness=randomness,
            counters=counters,
            log=log,
        ),
        router=router,
        attempts=Attempts(store=store, courier=courier, maildir=maildir),
        settling=Settling(
            queue=settings.queue,
            hostname=settings.server.hostname,
            clock=clock,
            randomness=randomness,
            write_notice=notices.failure,
            write_report=notices.success,
            delays=Delays(
                after_s=settings.notices.delay_after_s,
                store=store,
                write=notices.delay,
                hostname=settings.server.hostname,
            ),
        ),
        queue=settings.queue,
    )
    taking_in = TakingIn(
        store,
        router,
        ids,
        scheduler,
        settings,
        clock=clock,
        counters=counters,
        log=log,
        notice=notices.failure_as,
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
    )
    tokens = Tokens(settings.users.tokens, resolver, clock=clock, log=log)
    log_in = LogInDesk(
        accounts=FileAccounts(str(accounts_file(settings)), monotonic=system_clock.monotonic),
        failures=FailedLogins(settings.users.lockout, monotonic=system_clock.monotonic),
        rates=AccountRates(settings.users.recipients_per_hour, monotonic=system_clock.monotonic),
        randomness=randomness,
        counters=counters,
        log=log,
        bearer=tokens.check,
        integrated=integrated_logins(settings.users),
    )
    desk = Counter(
        taking_in=taking_in,
        log_in=log_in,
        clock=clock,
        counters=counters,
        log=log,
        protocol_log=wire_logs.protocol,
    )
    tls = server_tls(settings, now=system_clock.now())
    listener = Listener(_doors(settings, sockets, tls), runner, desk, clock=clock, randomness=randomness)
    commands = WorkerCommands(
        store,
        face=WorkerFace(
            worker=number,
            process_id=os.getpid(),
            started_at=system_clock.now(),
            revision=configuration.revision,
            hostname=settings.server.hostname,
            sessions=lambda: listener.session_count,
            samples=counters.samples,
            reopen_log=lambda: reopen_log(log, settings.log),
        ),
        clock=clock,
        route=lambda address: router.next_hop_for(address).key,
        notice_about=notices.about_removed(store.content),
        deliveries=scheduler,
        queue=settings.queue,
    )
    return Worker(
        settings=settings,
        store=store,
        clock=clock,
        router=router,
        scheduler=scheduler,
        listener=listener,
        control=ControlServer(str(control_socket(settings, number)), commands.answer),
        recipients=recipients,
        resolver=resolver,
        wire_logs=wire_logs,
        tokens=tokens,
        certificates=CertificateWatch(tls, log=log, counters=counters),
        tasks=set(),
    )


async def _own_store(
    settings: Settings,
    number: int,
    clock: SystemClock,
    log: JsonLog,
    loop: asyncio.AbstractEventLoop,
    stop: asyncio.Event,
) -> SqliteStore | None:
    """Open the store; wait a while for a worker that is still finishing with it. Raises WorldFault."""
    until = clock.monotonic() + LOCK_PATIENCE_S
    while not stop.is_set():
        try:
            return open_store(
                store_directory(settings, number),
                settings.queue,
                clock,
                log,
                loop=loop,
                settled=settled,
                allow_volatile=settings.queue.allow_volatile,
            )
        except WorldFault as fault:
            if not fault.facts.get("locked") or clock.monotonic() > until:
                raise
            log.write("info", "store-in-use", reason=fault.reason)
            await asyncio.sleep(0.25)
    return None


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
    return {sockets[binding]: [doors[name] for name in names] for binding, names in bindings.items()}


def _finder(
    settings: Settings, resolver: DnsResolver, randomness: SystemRandomness
) -> Callable[[NextHop], Awaitable[Hosts]]:
    """hosts_of, with what it needs to know of ourselves."""
    names = frozenset(
        name.lower().rstrip(".")
        for name in (settings.server.hostname, *(c.hostname for c in settings.receive_connectors.values()))
        if name
    )
    addresses = frozenset(split_binding(binding) for binding in _bindings(settings))

    async def find(next_hop: NextHop) -> Hosts:
        return await hosts_of(
            next_hop,
            resolver,
            randomness=randomness,
            timeout_s=settings.dns.timeout_s,
            own_names=names,
            own_addresses=addresses,
        )

    return find


def _bindings(settings: Settings) -> Iterable[str]:
    return bindings_of(settings.receive_connectors)


def _wildcard_ports(settings: Settings) -> frozenset[int]:
    pairs = [split_binding(binding) for binding in _bindings(settings)]
    return frozenset(port for host, port in pairs if host in ("0.0.0.0", "::"))  # noqa: S104  # asks, does not bind
