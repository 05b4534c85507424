"""The gateway in the world: the parts a worker has, joined as main/worker.py joins them, around simulated adapters."""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, cast

from gatepost.adapters import sqlite_store as store_module
from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.adapters.tls import client_pump
from gatepost.agents.sender_reputation import SenderReputation
from gatepost.config.settings import Settings
from gatepost.delivery import scheduler as scheduler_module
from gatepost.delivery.attempts import Attempts
from gatepost.delivery.courier import Courier, OwnName
from gatepost.delivery.delays import Delays
from gatepost.delivery.scheduler import Outside, Scheduler
from gatepost.delivery.settling import Settling
from gatepost.intake.account_rates import AccountRates
from gatepost.intake.counter import Counter
from gatepost.intake.door import Door
from gatepost.intake.failed_logins import FailedLogins
from gatepost.intake.listener import Listener
from gatepost.intake.log_in import LogInDesk
from gatepost.intake.taking_in import TakingIn
from gatepost.main import worker as worker_module
from gatepost.main.guarding import guard_of
from gatepost.main.lasting import Lasting
from gatepost.main.notice_writer import NoticeWriter, house_of
from gatepost.main.sockets import split_binding
from gatepost.main.worker import Worker
from gatepost.main.world import World as Machine
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.model.mail_id import MailIds
from gatepost.policy import order
from gatepost.policy.runner import PolicyRunner
from gatepost.ports.directory import Entry
from gatepost.ports.memory_shared import MemoryShared
from gatepost.queue.schedule import QueueClock
from gatepost.routing.accepted import accepted_domains
from gatepost.routing.hosts import Hosts, hosts_of
from gatepost.routing.next_hop import NextHop, Router
from sim.disk import Disk
from sim.journal import Journal
from sim.loop import EPOCH_AT, Process, SimLoop
from sim.names import Names
from sim.network import Network

_PACE: Final[dict[Any, dict[str, float]]] = {
    scheduler_module: {"LONGEST_SLEEP_S": 3600.0, "POLL_S": 20.0},
    store_module: {"SAMPLE_INTERVAL_S": 900.0},
    worker_module: {"REFRESH_S": 86400.0, "PURGE_S": 3600.0},
}
"""What only looks around looks less often: five days would be spent on it. What is due waits 20 s at most."""
BUGS: Final = frozenset(
    {
        "bug",
        "fact-bug",
        "agent-bug",
        "delivery-bug",
        "settlement-refused",
        "store-refused-change",
        "queue-unreadable",
        "mail-damaged",
        "store-damaged",
        "store-log-missing",
    }
)
"""Log lines that are findings."""


class Clock:
    """The loop's time as both clocks."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        """Seconds since the epoch."""
        return EPOCH_AT + self._loop.time()

    def monotonic(self) -> float:
        """Seconds."""
        return self._loop.time()


class Chance:
    """ports.world.Randomness from the seed."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def uniform(self) -> float:
        """0.0 <= x < 1.0."""
        return self._chance.random()

    def token_hex(self, size_bytes: int) -> str:
        """Hex digits."""
        return self._chance.randbytes(size_bytes).hex()

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """In place."""
        self._chance.shuffle(items)


class Watcher:
    """Log and counters: bugs become findings."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """One line."""
        if event in BUGS:
            self._journal.find(f"log: {event} {fields}")
        self._journal.count(f"log {event}")

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Counted."""
        if name == "bugs":
            self._journal.find(f"bug counted at {labels}")

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Gauges are looked at elsewhere."""


class Directory:
    """The recipients the gateway is told of, and the parts of a worker that have nothing to do here."""

    def __init__(self, listed: frozenset[str]) -> None:
        self._listed = listed

    def look_up(self, recipient: Address) -> Entry:
        """As ports.directory.RecipientDirectory."""
        return Entry(recipient.key in self._listed)

    def refresh(self) -> bool:
        """Nothing changes."""
        return False

    def sync_what_is_due(self) -> None:
        """Nothing is copied."""

    def close(self) -> None:
        """Nothing is open."""


class _Nothing:
    """A control socket, wire logs, lists and providers nobody asks for."""

    def __bool__(self) -> bool:
        return False

    def find(self, *_: object) -> None:
        """In no feed."""

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""

    async def look(self) -> None:
        """Nothing."""

    def tell(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class _Watch:
    """Back pressure that never comes: the disk's is simulated, memory and lag are not."""

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    async def look(self) -> None:
        """Nothing."""


class _NoTokens:
    """Nobody logs in."""

    def start(self) -> tuple[()]:
        """No task."""
        return ()


class _NoCertificates:
    """No TLS."""

    def look(self, now: float) -> None:
        """Nothing."""


class Slots:
    """The file of mails in work, out of reach of a process that has died."""

    def __init__(self, store: SqliteStore, process: Process) -> None:
        self._slots = store.in_flight
        self._process = process
        self.inside: dict[int, int] = {}

    def enter(self, mail_id: int) -> int:
        """As ports.in_flight.InFlight."""
        slot = self._slots.enter(mail_id)
        self.inside[slot] = mail_id
        return slot

    def leave(self, slot: int) -> None:
        """As ports.in_flight.InFlight."""
        if self._process.is_alive:
            self.inside.pop(slot, None)
            self._slots.leave(slot)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a gateway is built in."""

    loop: SimLoop
    network: Network
    disk: Disk
    names: Names
    journal: Journal
    chance: Random


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process: the worker, and what the world looks at or takes away."""

    process: Process
    worker: Worker
    slots: Slots
    settings: Settings


def slow_down_the_watch() -> None:
    """Once in a Python process, before the first run."""
    for module, names in _PACE.items():
        vars(module).update(names)


def build(place: Place, process: Process, settings: Settings) -> Life:
    """One worker. Called in the context of its process."""
    journal, clock = place.journal, Clock(place.loop)
    randomness, watcher = Chance(place.chance), Watcher(journal)
    store = place.disk.open(settings, clock, watcher, place.loop)
    queue_clock = QueueClock(clock, last_seen_at=store.last_seen_at)
    accepted = accepted_domains(settings)
    router = Router(settings, accepted)
    ids = MailIds(0, after=store.last_mail_id)
    slots = Slots(store, process)
    notices = NoticeWriter(
        house=house_of(settings, accepted, router),
        clock=queue_clock,
        randomness=randomness,
        ids=ids,
        counters=watcher,
    )
    scheduler = Scheduler(
        outside=Outside(
            store=store,
            in_flight=slots,
            clock=queue_clock,
            randomness=randomness,
            counters=watcher,
            log=watcher,
        ),
        router=router,
        attempts=Attempts(
            store=store, courier=_courier(place, settings, store, watcher), maildir=cast(Any, None)
        ),
        settling=Settling(
            queue=settings.queue,
            delivery=settings.delivery,
            hostname=settings.server.hostname,
            clock=queue_clock,
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
        settings=settings,
    )
    shared = MemoryShared(clock.now)
    lasting = Lasting(
        number=0,
        sockets={},
        log=cast(Any, watcher),
        store=store,
        clock=queue_clock,
        clock_watch=cast(Any, _Nothing()),
        world=Machine(clock=clock, randomness=randomness, counters=cast(Any, watcher)),
        ids=ids,
        started_at=clock.now(),
        shared=shared,
    )
    taking_in = TakingIn(
        store,
        router,
        ids,
        lasting.deliveries,
        settings,
        clock=queue_clock,
        counters=watcher,
        log=watcher,
        notice=notices.failure_as,
    )
    listener, desk, runner, doors = _listener(place, lasting, settings, accepted, taking_in)
    nothing: Any = _Nothing()
    worker = Worker(
        settings=settings,
        lasting=lasting,
        desk=desk,
        runner=runner,
        doors=doors,
        intake=settings.intake,
        commands=nothing,
        store=store,
        clock=queue_clock,
        router=router,
        scheduler=scheduler,
        listener=listener,
        control=nothing,
        recipients=cast(Any, Directory(journal.listed)),
        feeds=nothing,
        providers=nothing,
        resolver=nothing,
        wire_logs=nothing,
        watch=cast(Any, _Watch()),
        brake=nothing,
        tokens=cast(Any, _NoTokens()),
        certificates=cast(Any, _NoCertificates()),
        tasks=set(),
    )
    return Life(process=process, worker=worker, slots=slots, settings=settings)


def _courier(place: Place, settings: Settings, store: SqliteStore, watcher: Watcher) -> Courier:
    async def find(next_hop: NextHop) -> Hosts:
        return await hosts_of(
            next_hop,
            place.names,
            randomness=Chance(place.chance),
            timeout_s=settings.dns.timeout_s,
            own_names=frozenset({settings.server.hostname}),
            own_addresses=frozenset(),
        )

    return Courier(
        dialer=LoopDialer(client_pump),
        find_hosts=find,
        bodies=store,
        body_path=store.body_path,
        monotonic=Clock(place.loop).monotonic,
        own=OwnName(hostname=settings.server.hostname),
        counters=watcher,
        log=watcher,
    )


def _listener(
    place: Place, lasting: Lasting, settings: Settings, accepted: AcceptedDomains, taking_in: TakingIn
) -> tuple[Listener, Counter, PolicyRunner, dict[Any, list[Door]]]:
    watcher, randomness, clock = Watcher(place.journal), Chance(place.chance), lasting.clock
    runner = order.build(
        settings,
        {},
        accepted=accepted,
        resolver=place.names,
        directory=Directory(place.journal.listed),
        log=watcher,
        counters=watcher,
        revision="simulated",
        shared=lasting.shared,
        lists=lasting.lists,
        lookup=place.names,
        bodies=lasting.store,
    )
    log_in = LogInDesk(
        accounts=cast(Any, None),
        failures=FailedLogins(settings.users.lockout, monotonic=clock.monotonic),
        rates=AccountRates(settings.users.recipients_per_hour, monotonic=clock.monotonic),
        randomness=randomness,
        counters=watcher,
        log=watcher,
        bearer=None,
    )
    guard = guard_of(
        settings,
        {SenderReputation.name: SenderReputation.settings_type()},
        lasting.shared,
        lasting.lists,
        accepted=accepted,
        clock=clock,
        counters=watcher,
        log=watcher,
    )
    desk = Counter(
        taking_in=taking_in,
        log_in=log_in,
        clock=clock,
        counters=watcher,
        log=watcher,
        protocol_log=None,
        guarding=guard,
    )
    doors: dict[Any, list[Door]] = {}
    for name, connector in settings.receive_connectors.items():
        for binding in connector.listen:
            sock = place.network.listen(split_binding(binding))
            door = Door(name, connector, hostname=settings.server.hostname, tls=None)
            doors.setdefault(sock, []).append(door)
    listener = Listener(doors, runner, desk, clock=clock, randomness=randomness, intake=settings.intake)
    return listener, desk, runner, doors
