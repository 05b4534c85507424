"""The gateway in the world: a worker joined by main/joining.py, around simulated ports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, Final, cast

from gatepost.adapters import accounts as accounts_module
from gatepost.adapters import sqlite_store as store_module
from gatepost.adapters.counters import Sample
from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.neighbours import WorkerCounts
from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.delivery import scheduler as scheduler_module
from gatepost.main import pressure_watch as pressure_module
from gatepost.main.joining import build as join
from gatepost.main.lasting import Lasting
from gatepost.main.own_store import own_store
from gatepost.main.places import shared_state_file, store_directory
from gatepost.main.succession import Succession
from gatepost.main.worker import Worker
from gatepost.main.world import World
from gatepost.policy import third_party
from sim.boxes import Boxes
from sim.disk import Disk
from sim.files import simulated_files
from sim.journal import Journal
from sim.loop import EPOCH_AT, Process, SimLoop
from sim.names import Names
from sim.network import Network, SimSocket
from sim.pressure import Strain
from sim.shared import SimShared
from sim.submission import CHEAP
from sim.tls import client_pump, door_tls

_PACE: Final[dict[Any, dict[str, Any]]] = {
    scheduler_module: {"LONGEST_SLEEP_S": 3600.0, "POLL_S": 20.0},
    store_module: {"SAMPLE_INTERVAL_S": 900.0},
    pressure_module: {"BEAT_S": 86400.0},
    accounts_module: {"_HASHER": CHEAP},
}
"""What only looks around looks less often: five days would be spent on it. What is due waits 20 s at most.

And passwords are hashed at no cost.
"""
_LOOKS_S: Final = 7200.0
"""What a worker looks at every second or minute, it looks at every two hours."""
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
        "shared-state-damaged",
        "shared-state-unavailable",
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

    level = "info"
    dropped = 0

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def reopen(self, stream: BinaryIO) -> None:
        """There is no file."""

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

    def samples(self) -> Iterator[Sample]:
        """Nobody reads them."""
        return iter(())


class NoControl:
    """Nobody asks by a socket; what the supervisor would ask is asked of the worker itself."""

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""


class Slots:
    """The file of mails in work, out of reach of a process that has died."""

    def __init__(self, store: SqliteStore, process: Process) -> None:
        self._slots = store.in_flight
        self._process = process
        self.inside: dict[int, int] = {}

    def close(self) -> None:
        """A clean stop."""
        self._slots.close()

    def torn(self) -> None:
        """The process has died: what is written stays."""
        cast(Any, self._slots)._map.close()

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
    boxes: Boxes
    strain: Strain
    journal: Journal
    chance: Random
    sharing: list[SimShared] = field(default_factory=list)
    """What every live worker has of what all share."""


@dataclass(frozen=True, kw_only=True)
class Birth:
    """What the supervisor gives a worker: as main/children.py."""

    number: int
    revision: int
    configuration: Configuration
    sockets: dict[str, SimSocket]
    """None for a worker there is no more, which only delivers."""
    neighbours: WorkerCounts | None

    @property
    def settings(self) -> Settings:
        """Of the configuration in force at its birth."""
        return self.configuration.settings

    @property
    def directory(self) -> Path:
        """Of its store."""
        return store_directory(self.settings, self.number)


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process: the worker, and what the world looks at or takes away."""

    birth: Birth
    process: Process
    succession: Succession
    lasting: Lasting
    slots: Slots

    @property
    def number(self) -> int:
        """Of the worker."""
        return self.birth.number

    @property
    def store(self) -> SqliteStore:
        """Its own."""
        return self.lasting.store

    @property
    def worker(self) -> Worker:
        """The parts in force."""
        return self.succession.worker

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Those in force, and those of older configurations that finish what they have."""
        return (self.worker, *self.succession.elders)


@contextmanager
def simulated_surroundings() -> Iterator[None]:
    """While a run is played: what only looks around looks less often, and the files are simulated ones."""
    before = [(vars(module), {name: vars(module)[name] for name in names}) for module, names in _PACE.items()]
    installed, every = third_party._installed, Worker._every
    for module, names in _PACE.items():
        vars(module).update(names)
    cast(Any, third_party)._installed = _installed_once
    cast(Any, Worker)._every = _seldom(every)
    try:
        with simulated_files():
            yield
    finally:
        for place, values in before:
            place.update(values)
        cast(Any, third_party)._installed = installed
        cast(Any, Worker)._every = every


_installed_once = cache(third_party._installed)


def _seldom(every: Callable[..., None]) -> Callable[..., None]:
    def seldom(worker: Worker, interval_s: float, tick: Callable[[], Awaitable[None]]) -> None:
        every(worker, max(interval_s, _LOOKS_S), tick)

    return seldom


async def begin(place: Place, process: Process, birth: Birth) -> Life:
    """One worker, as main/worker_life.py begins one, in the context of its process. Raises WorldFault."""
    settings, watcher = birth.settings, Watcher(place.journal)
    world = _world(place, watcher)
    store = await own_store(
        settings, birth.number, world.clock, watcher, place.loop, asyncio.Event(), opening=place.disk.open
    )
    assert store is not None
    slots = Slots(store, process)
    cast(Any, store).in_flight = slots
    shared = SimShared(
        shared_state_file(settings), now=world.clock.now, log=watcher, loop=place.loop, sharing=place.sharing
    )
    lasting = Lasting.around(
        store, birth.number, cast(Any, birth.sockets), watcher, world, shared, birth.neighbours
    )
    succession = Succession(join(birth.configuration, lasting, None), lasting, join, tidy=_nothing)
    watch = place.disk.watch(birth.directory)
    watch.credit_s = max(watch.credit_s, succession.worker.clock.time.credit_s)
    return Life(birth=birth, process=process, succession=succession, lasting=lasting, slots=slots)


def _world(place: Place, watcher: Watcher) -> World:
    """The machine this worker is on."""
    return World(
        clock=Clock(place.loop),
        randomness=Chance(place.chance),
        counters=watcher,
        dialer=LoopDialer(client_pump),
        door_tls=door_tls,
        maildirs=place.boxes,
        resolver=lambda _dns, _log: place.names,
        control=lambda *_: NoControl(),
        resources=lambda *_: place.strain,
    )


def _nothing() -> None:
    """What the collector would let go of is let go at the end of the run."""
