"""The gateway's house: its workers, each with a store of its own, and what their supervisor does in service.

Workers share no mail. One that dies is begun again over its own store; one that a smaller `workers` leaves over
delivers what its store holds and listens to nobody; when the supervisor dies, its workers finish while the next
gateway begins, and each store changes hands when it is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from gatepost.adapters.neighbours import MappedCounts
from gatepost.adapters.sqlite_reader import open_reader
from gatepost.config.load import Configuration
from gatepost.main.places import store_directories
from gatepost.main.sockets import bindings_of, split_binding
from gatepost.main.stores import former_workers
from gatepost.main.succession import STOPPING
from gatepost.model.queued import QueuedMail
from gatepost.ports.store import MailFilter
from sim.configuration import FILE, configuration, text_of
from sim.gateway import Birth, Life, Place, begin
from sim.loop import Process
from sim.network import WORLD
from sim.plan import Plan
from sim.shared import SimShared

_OUTAGES_S: Final = (0.05, 1.0, 60.0, 7200.0)
_GAPS_S: Final = (0.05, 0.5, 5.0)
SHORT_GAPS_S: Final = (0.001, 0.01, 0.05)
"""Between the end of a supervisor and the next one."""
_OTHER_CONFIGURATION: Final = 0.3


class House:
    """All processes of one gateway, one supervisor after another."""

    def __init__(
        self,
        plan: Plan,
        place: Place,
        chance: Random,
        directory: Path,
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
    ) -> None:
        self.plan = plan
        self.lives: dict[int, Life] = {}
        """By number: those that are there and serve."""
        self.finishing: list[Life] = []
        """Whose supervisor is gone, or which it has told to stop."""
        self.dead: list[Process] = []
        self.revision = 0
        self.workers = 0
        """How many the supervisor has; 0: there is none."""
        self._place = place
        self._chance = chance
        self._directory = directory
        self._spawn = spawn
        self._loop, self._journal = place.loop, place.journal
        self._staff: tuple[int, ...] = ()
        """Numbers of the workers that should be there, those of former ones among them."""
        self._beginning: dict[int, Process] = {}
        self._births = self._starts = 0
        self._reign = 0
        """Which supervisor: what was to be done for an older one is not."""
        self._is_stopping = False
        self._counts: MappedCounts | None = None
        self._in_force: dict[int, tuple[int, ...]] = {}
        """By process: its revision; two while it takes another."""
        self._left_over: dict[int, int] = {}
        """By process: sessions of the revision before, when that allowed more."""

    @property
    def all(self) -> tuple[Life, ...]:
        """Every process that is alive and has its store."""
        return (*self.lives.values(), *self.finishing)

    @property
    def is_settled(self) -> bool:
        """Everybody who should be there is there, and nobody else."""
        return not self.finishing and bool(self.workers) and self.lives.keys() == set(self._staff)

    @property
    def is_idle(self) -> bool:
        """Nothing is in work, and nothing will be."""
        return self.is_settled and not any(
            len(worker.scheduler._active) or life.store.next_due_at() is not None
            for life in self.lives.values()
            for worker in life.workers
        )

    def everything(self) -> list[QueuedMail]:
        """What the stores of the workers hold."""
        self._look_for_orphans()
        return [mail for life in self.lives.values() for mail in life.store.find(MailFilter(), limit=100_000)]

    # -- beginning ------------------------------------------------------------------------------

    def start(self) -> None:
        """A supervisor, and its workers."""
        if self._births and self._chance.random() < _OTHER_CONFIGURATION:
            self.revision += 1
        plan, self._is_stopping = self.plan, False
        self._reign += 1
        self.workers = plan.workers[self._starts % len(plan.workers)]
        self._starts += 1
        settings = self._configuration().settings
        for binding in bindings_of(settings.receive_connectors):
            self._place.network.bind(split_binding(binding), self.workers)
        self._counts = MappedCounts(self.workers) if self.workers > 1 else None
        former = former_workers(settings, self.workers)
        self._journal.count("former workers", len(former))
        self._staff = (*range(self.workers), *former)
        for number in self._staff:
            self._begin(number)
        self._now_in_force()

    def _begin(self, number: int) -> None:
        """Fork one worker."""
        process = Process(self._births)
        self._births += 1
        self._beginning[number] = process
        self._journal.tell(f"start {process.number}" + (f" of worker {number}" if number else ""))
        is_former = number >= self.workers
        here = self._configuration()
        sockets = {
            binding: self._place.network.sockets[split_binding(binding)][number]
            for binding in bindings_of(here.settings.receive_connectors)
            if not is_former
        }
        counts = None if is_former or self._counts is None else self._counts.of_worker(number)
        birth = Birth(
            number=number, revision=self.revision, configuration=here, sockets=sockets, neighbours=counts
        )
        process.context.run(self._loop.create_task, self._live(process, birth))

    async def _live(self, process: Process, birth: Birth) -> None:
        """In the process of a worker."""
        self._place.strain.begin(process.number)
        try:
            life = await begin(self._place, process, birth)
        except Exception as error:  # noqa: BLE001  # a worker that cannot start is a finding, whatever it is
            self._journal.find(f"worker {birth.number} cannot begin: {error!r}")
            return
        del self._beginning[birth.number]
        self.lives[birth.number] = life
        self._in_force[process.number] = (birth.revision,)
        self._loop.call_later(1.0, self._look_soon, life, context=WORLD)
        await life.worker.start()

    def _configuration(self) -> Configuration:
        """Between two supervisors it is that of a gateway with one worker: the directories are the same."""
        return configuration(self.plan, self.revision, self._directory, max(self.workers, 1))

    def _now_in_force(self) -> None:
        self._journal.revisions.append((self._loop.time(), self.revision))

    # -- dying ----------------------------------------------------------------------------------

    def die(self, process: Process | None = None) -> None:
        """A worker is gone, in the middle of whatever it was doing; or all are, and their supervisor."""
        there = self.all
        if not there:
            return
        chosen = next((life for life in there if life.process is process), None)
        if len(there) == 1 or self._chance.random() < 0.4:
            self._all_die(there)
            return
        victim = chosen or self._chance.choice(there)
        was_serving = self.lives.get(victim.number) is victim
        self._dies(victim)
        if was_serving:
            self._later(self._chance.choice(_OUTAGES_S), self._begin, victim.number)

    def _all_die(self, there: tuple[Life, ...]) -> None:
        for process in self._beginning.values():
            self._loop.kill(process)
            self.dead.append(process)
            self._place.strain.gone(process.number)
        self._beginning.clear()
        for life in there:
            self._dies(life)
        self._ends()
        self._later(self._chance.choice(_OUTAGES_S), self.start)

    def _dies(self, life: Life) -> None:
        journal = self._journal
        journal.tell(f"death of {life.process.number}")
        journal.count("deaths")
        journal.deaths.append((self._loop.time(), life.number))
        for mail_id in set(life.slots.inside.values()):
            if mail_id in journal.kept:
                journal.kept[mail_id].held_for_crashes += 1
        self._bury(life)
        self._place.disk.survive(life.store, life.birth.directory)

    def _bury(self, life: Life) -> None:
        if self.lives.get(life.number) is life:
            del self.lives[life.number]
        else:
            self.finishing.remove(life)
        self._loop.kill(life.process)
        self._place.network.kill(life.process)
        self._place.strain.gone(life.process.number)
        cast(SimShared, life.lasting.shared).let_go()
        self.dead.append(life.process)
        for worker in life.workers:
            worker.scheduler._stopping = True
        for connection in life.worker.listener._sessions:
            transaction = connection._conversation._transaction
            if transaction is not None:
                transaction.reception.discard()

    def _ends(self) -> None:
        """The supervisor is no more."""
        self._look_for_orphans()
        self._reign += 1
        self.workers, self._is_stopping = 0, False

    def _later(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        """Unless another supervisor has begun by then, or this one has ended."""
        reign = self._reign

        def do() -> None:
            if self._reign == reign and not self._is_stopping:
                what(*args)

        self._loop.call_later(delay_s, do, context=WORLD)

    def _look_for_orphans(self) -> None:
        """A store without a worker holds no mail: nobody would deliver it before the gateway's next start."""
        owned = {*self._staff, *(life.number for life in self.finishing)}
        for number, directory in store_directories(self._configuration().settings).items():
            if number in owned:
                continue
            with contextlib.closing(open_reader(directory)) as reader:
                for mail in reader.find(MailFilter(), limit=1):
                    self._journal.find(
                        f"{mail.mail_id} lies in the store of worker {number}, which is no more"
                    )

    # -- stopping -------------------------------------------------------------------------------

    def orphan(self, gaps_s: Sequence[float] = _GAPS_S) -> None:
        """The supervisor is killed: its workers are told by the kernel to stop, and the next gateway begins.

        gaps_s: one of them is the time between.
        """
        if not self.workers or self._is_stopping or self._beginning:
            return
        self._journal.count("restarts")
        self._journal.count("supervisors killed")
        self._journal.tell("death of the supervisor")
        lives = list(self.lives.values())
        self.lives.clear()
        self.finishing += lives
        for life in lives:
            self._spawn(self._stop_one(life))
        self._ends()
        self._later(self._chance.choice(gaps_s), self.start)

    async def restart(self) -> None:
        """The supervisor stops its workers and ends; the next one begins."""
        if self._is_stopping or not self.workers:
            return
        self._is_stopping = True
        self._journal.count("restarts")
        self._journal.tell("restart")
        reign = self._reign
        await self.stop()
        if self._reign == reign:
            self._ends()
            self.start()

    async def stop(self) -> None:
        """Every worker, cleanly."""
        while self._beginning:
            await asyncio.sleep(0.01)
        lives = list(self.lives.values())
        self.lives.clear()
        self.finishing += lives
        for life in lives:
            self._spawn(self._stop_one(life))
        while self.finishing:
            await asyncio.sleep(0.01)

    async def _stop_one(self, life: Life) -> None:
        timeout_s = life.worker.settings.server.stop_timeout_s
        stopping = life.process.context.run(self._loop.create_task, life.succession.stop(timeout_s))
        while not stopping.done() and life.process.is_alive:
            await asyncio.sleep(0.01)
        if not life.process.is_alive:
            return
        life.process.context.run(cast(SimShared, life.lasting.shared).close)
        if error := stopping.exception():
            self._journal.find(f"the stop failed: {error!r}")
        self._bury(life)

    # -- going on -------------------------------------------------------------------------------

    async def reload(self) -> None:
        """As the supervisor does: the workers go on with another configuration, one after another."""
        if not self.workers:
            self.revision += 1
            return
        if self.workers > 1 and self._chance.random() < 0.3:
            await self._refuse_other_workers(self._chance.choice(list(self.lives.values()) or [None]))
        before, reign = self.revision, self._reign
        self.revision += 1
        self._journal.count("reloads")
        self._now_in_force()
        self._journal.revisions.append((self._loop.time(), before))
        text = text_of(self.plan, self.revision, self._directory, self.workers)
        for number in sorted({*self.lives, *self._beginning}):
            while number in self._beginning and self._reign == reign:
                await asyncio.sleep(0.01)
            life = self.lives.get(number)
            if life is not None and self._reign == reign:
                await self._take(life, text)
        self._journal.count("reloads over")
        self._now_in_force()

    async def _take(self, life: Life, text: str) -> None:
        key, wanted = life.process.number, self.revision
        self._journal.tell(f"reload of {key} to {wanted}")
        self._in_force[key] = (*self._in_force[key], wanted)
        answer = await self._ask(life, text)
        if answer is None or (answer == STOPPING and life in self.finishing):
            return
        if answer:
            self._journal.find(f"the reload failed: {answer}")
        self._in_force[key] = (wanted,)
        self._left_over[key] = life.worker.listener.session_count

    async def _ask(self, life: Life, text: str) -> str | None:
        """What a worker says to another configuration; None when it dies of it, or before."""
        taking = life.process.context.run(self._loop.create_task, life.lasting.take(FILE, text))
        while not taking.done() and life.process.is_alive:
            await asyncio.sleep(0.01)
        if not life.process.is_alive:
            return None
        return repr(error) if (error := taking.exception()) is not None else taking.result()

    async def _refuse_other_workers(self, life: Life | None) -> None:
        """Stores are bound to numbers: how many there are changes with the next start only."""
        if life is None:
            return
        answer = await self._ask(life, text_of(self.plan, self.revision, self._directory, self.workers - 1))
        if answer not in (None, STOPPING) and "server.workers" not in answer:
            self._journal.find(f"a reload to fewer workers was answered {answer!r}")
        self._journal.count("reloads refused")

    def _look_soon(self, life: Life) -> None:
        self._spawn(self.look(life))

    async def look(self, life: Life) -> None:
        """At what is scarce, as the worker does every few seconds."""
        if not life.process.is_alive or life in self.finishing:
            return
        looking = life.process.context.run(self._loop.create_task, life.worker.watch.look())
        while not looking.done() and life.process.is_alive:
            await asyncio.sleep(0.001)
        if life.process.is_alive:
            self._place.strain.looked(life.process.number)

    # -- looking inside -------------------------------------------------------------------------

    def state_of(self, client_port: int) -> str:
        """What the session of this client still holds of a transaction."""
        for life in self.all:
            for connection in life.worker.listener._sessions:
                conversation = connection._conversation
                if conversation.session.client_port == client_port:
                    if conversation._transaction is not None:
                        return "a transaction"
                    engine = connection._engine
                    return f"{engine._recipients} recipients" if engine._recipients else ""
        return ""

    def check_limits(self) -> None:
        """Of every worker."""
        for life in self.all:
            self._check_active(life)
        for life in self.lives.values():
            count, key = life.worker.listener.session_count, life.process.number
            allowed = max(self.plan.limits_at(revision).connections for revision in self._in_force[key])
            self._left_over[key] = left_over = min(self._left_over.get(key, 0), count)
            doors = len(life.worker.settings.receive_connectors)
            if count > max(allowed * doors, left_over):
                self._journal.find(f"{count} sessions, {allowed} are allowed")

    def _check_active(self, life: Life) -> None:
        for worker in life.workers:
            active, queue = worker.scheduler._active, worker.settings.queue
            if len(active) > queue.active_mails:
                self._journal.find(f"{len(active)} active mails, {queue.active_mails} are allowed")
            if active.content_bytes > queue.active_memory_bytes:
                self._journal.find(f"{active.content_bytes} octets of active mail")

    def hop_connections(self) -> int:
        """Each configuration that still delivers may have so many of its own."""
        return sum(
            max(way.connections for way in worker.settings.send_connectors.values() if way.delivery == "smtp")
            for life in self.all
            for worker in life.workers
        )

    def end(self) -> None:
        """Let go of everything."""
        for process in self._beginning.values():
            self._loop.kill(process)
            self.dead.append(process)
        for life in self.all:
            self._bury(life)
            self._place.disk.survive(life.store, life.birth.directory)
