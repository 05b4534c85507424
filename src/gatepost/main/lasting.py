"""What a worker keeps when its configuration changes: its store, its clock, its numbers, its sessions."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gatepost.adapters.address_lists import SPACE_LIMITS, SharedAddressLists
from gatepost.adapters.neighbours import WorkerCounts
from gatepost.adapters.shared_store import SharedStore
from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.config.settings import Settings
from gatepost.intake.account_rates import RATES_SPACE
from gatepost.intake.failed_logins import LOGIN_SPACES, TABLE_ENTRIES
from gatepost.main.clock_watch import ClockWatch
from gatepost.main.logs import ReopenedLog
from gatepost.main.places import shared_state_file
from gatepost.main.sockets import bindings_of
from gatepost.main.world import KeptCounters, World
from gatepost.model.content import Content
from gatepost.model.mail_id import MailIds
from gatepost.model.queued import QueuedMail
from gatepost.policy.fuses import FUSE_SPACES
from gatepost.ports.blame import Blame
from gatepost.ports.log import Log
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.world import Clock
from gatepost.queue.schedule import Held, QueueClock

if TYPE_CHECKING:
    from gatepost.control.worker import WorkerCommands
    from gatepost.delivery.scheduler import Scheduler


class DeliveriesInForce:
    """The scheduler of the configuration in force, for sessions that began under an older one, too."""

    __slots__ = ("scheduler",)

    scheduler: Scheduler

    def offer(self, mail: QueuedMail, content: Content) -> None:
        """A mail that was just committed."""
        self.scheduler.offer(mail, content)

    def held(self, next_hop: str) -> Held | None:
        """Why mail for this next hop would only wait now."""
        return self.scheduler.held(next_hop)


@dataclass(slots=True, kw_only=True)
class Lasting:
    """Made once in a worker's life; every configuration is built around it."""

    number: int
    sockets: dict[str, socket.socket]
    log: ReopenedLog
    store: SqliteStore
    clock: QueueClock
    clock_watch: ClockWatch
    world: World
    ids: MailIds
    started_at: float
    shared: SharedStore | MemoryShared = field(default_factory=MemoryShared)
    """What all workers know together."""
    lists: SharedAddressLists = field(init=False)
    """IP block and allow lists."""
    neighbours: WorkerCounts | None = None
    """What workers count together of clients; None: there is one."""
    blame: Blame | None = None
    """Which plug-in the worker is in; None: nobody will ask."""
    deliveries: DeliveriesInForce = field(default_factory=DeliveriesInForce)
    commands: WorkerCommands | None = None
    """Of the configuration in force."""
    take_configuration: Callable[[str, str], Awaitable[str]] | None = None

    def __post_init__(self) -> None:
        self.lists = SharedAddressLists(self.shared, self.system_clock.now)

    @property
    def system_clock(self) -> Clock:
        """The machine's own: for waits, and for what has nothing to do with the queue."""
        return self.world.clock

    @property
    def counters(self) -> KeptCounters:
        """Numbers that outlive configurations."""
        return self.world.counters

    def shared_problem(self) -> str:
        """Why this worker shares nothing with the others; "" when it does."""
        problem = self.shared.problem if isinstance(self.shared, SharedStore) else ""
        self.counters.set("shared_state_failed", float(bool(problem)))
        return problem

    @classmethod
    def around(
        cls,
        store: SqliteStore,
        number: int,
        sockets: dict[str, socket.socket],
        log: ReopenedLog,
        world: World,
        shared: SharedStore | MemoryShared,
        neighbours: WorkerCounts | None = None,
    ) -> Lasting:
        """At a worker's start. number: the worker's."""
        clock = QueueClock(world.clock, last_seen_at=store.last_seen_at)
        return cls(
            number=number,
            sockets=sockets,
            log=log,
            store=store,
            clock=clock,
            clock_watch=ClockWatch(clock, log=log, counters=world.counters),
            world=world,
            ids=MailIds(number, after=store.last_mail_id),
            started_at=world.clock.now(),
            shared=shared,
            neighbours=neighbours,
        )

    async def take(self, path: str, text: str) -> str:
        """Why this configuration cannot be taken, "" when it was; for control, which is built before the succession."""
        assert self.take_configuration is not None
        return await self.take_configuration(path, text)

    async def answer(self, request: bytes) -> bytes:
        """For the control socket, which outlives configurations."""
        assert self.commands is not None
        return await self.commands.answer(request)


def open_shared(settings: Settings, clock: Clock, log: Log) -> SharedStore:
    """What all workers know together; never fails: without its file it is memory."""
    limits = {**SPACE_LIMITS, **FUSE_SPACES, **LOGIN_SPACES, RATES_SPACE: TABLE_ENTRIES}
    return SharedStore(shared_state_file(settings), now=clock.now, log=log, limits=limits)


_FIXED = ("state_directory", "workers", "user", "event_loop")


def needs_restart(now: Settings, wanted: Settings) -> str:
    """Why a running gateway cannot go on with these settings; "" when it can."""
    for name in _FIXED:
        if getattr(now.server, name) != getattr(wanted.server, name):
            return f"server.{name.replace('_', '-')} is another: that needs a restart"
    if now.queue.batch_mails != wanted.queue.batch_mails:
        return "queue.batch-mails is another: that needs a restart"
    before, after = (set(bindings_of(s.receive_connectors)) for s in (now, wanted))
    if before != after:
        others = ", ".join(sorted(before ^ after))
        return f"other addresses to listen on ({others}) need a restart"
    return ""


def unchanged(now: Settings | None, wanted: Settings, *tables: str) -> bool:
    """Whether what was built for these tables of the file may be kept. now: None at the start."""
    return now is not None and all(getattr(now, name) == getattr(wanted, name) for name in tables)
