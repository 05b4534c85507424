"""One run: a gateway, its world, what goes wrong in it, and the judgement."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final, cast

from gatepost.main.succession import STOPPING
from gatepost.model.queued import QueuedMail
from gatepost.ports.resolver import Mx
from gatepost.ports.store import MailFilter
from sim.boxes import Boxes
from sim.clients import Client, Manner, World
from sim.configuration import FILE, configuration, text_of
from sim.disk import Disk
from sim.files import FILES, PLENTY_BYTES
from sim.gateway import Life, Place, build, simulated_surroundings
from sim.guests import Harvester, Returning
from sim.hops import Hop
from sim.journal import Journal
from sim.judge import judge
from sim.loop import Process, SimLoop, Stuck, bury
from sim.names import Names
from sim.network import WORLD, Network
from sim.plan import (
    BOXES,
    DOOR,
    FAR,
    FAR_DOMAINS,
    PARTNERS,
    POLICIES,
    STRANGERS,
    SUBMISSION,
    USERS,
    VAULT,
    Limits,
    Plan,
    plan_of,
)
from sim.pressure import Step, Strain
from sim.shared import SimShared
from sim.signing import OURS_PEM, THEIRS
from sim.submission import Submitter, write_accounts

_STEP_S: Final = 600.0
_AT_COMMIT: Final = 0.01
_AT_COPY: Final = 0.05
_AT_SILENCE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one seed."""

    seed: int
    digest: str
    findings: tuple[str, ...]
    counts: dict[str, int]
    lines: tuple[str, ...]
    virtual_s: float


def run(seed: int) -> Result:
    """Play one seed. The same seed gives the same result, byte for byte."""
    with simulated_surroundings():
        return _run(seed)


def _run(seed: int) -> Result:
    place = Path(tempfile.mkdtemp(prefix="sim-", dir=_memory()))
    loop = SimLoop(Random(f"pool {seed}"))
    simulation = Simulation(plan_of(seed), loop, place)
    collecting = gc.isenabled()
    gc.disable()  # what a dead process holds is let go at the end, not in the middle
    try:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(simulation.live())
        except Stuck as stuck:
            simulation.journal.find(f"stuck: {stuck}")
        return simulation.result()
    finally:
        simulation.end()
        asyncio.set_event_loop(None)
        loop.close()
        bury(simulation.dead)
        if collecting:
            gc.enable()
        shutil.rmtree(place, ignore_errors=True)


class Simulation:
    """The world of one run."""

    def __init__(self, plan: Plan, loop: SimLoop, place: Path) -> None:
        self.plan = plan
        self.loop = loop
        self.journal = journal = Journal(loop.time)
        journal.srs = plan.srs
        journal.listed = frozenset((*USERS, *BOXES))
        self._chance = Random(f"world {plan.seed}")
        self.dead: list[Process] = []
        self._life: Life | None = None
        self._lives = 0
        self._revision = 0
        self._restarting = False
        self._full_since_s = inf
        """The disk has had no room since then."""
        self._sessions_left_over = 0
        """Of the revision before, when that allowed more."""
        self._directory = place
        (place / "recipients").write_text("\n".join((*USERS, *BOXES, "")))
        (place / "srs.key").write_text("a secret of many characters\n")
        (place / "srs.key").chmod(0o600)
        (place / "ours.pem").write_bytes(OURS_PEM)
        (place / "ours.pem").chmod(0o600)
        write_accounts(place / "users", USERS)
        self._points_left = plan.deaths_at_a_point
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clients = 0
        network = Network(loop, Random(f"network {plan.seed}"), journal.tell)
        names = Names(Random(f"names {plan.seed}"), journal, loop.time)
        boxes = Boxes(place / "boxes", journal)
        self._place = Place(
            loop=loop,
            network=network,
            disk=Disk(place, Random(f"disk {plan.seed}"), journal, boxes, loop.time),
            names=names,
            boxes=boxes,
            strain=Strain(loop.time),
            journal=journal,
            chance=Random(f"gateway {plan.seed}"),
        )
        self._place.disk.at_commit = self._at_commit
        FILES.fails, FILES.free_bytes = self._place.disk.file_error, PLENTY_BYTES
        self._clients_world = self._world()
        self._hops = [self._hop(number) for number in range(len(plan.hops))]
        for number, domain in enumerate(FAR_DOMAINS):
            names.exchangers[domain] = (Mx(10, f"mx.{domain}"),)
            names.machines[f"mx.{domain}"] = (f"10.3.0.{number}",)
        names.exchangers[VAULT] = (Mx(10, f"mx.{VAULT}"),)
        names.machines[f"mx.{VAULT}"] = ("10.3.1.0",)
        names.policies.update(POLICIES)
        names.policies[THEIRS.name] = (THEIRS.record.encode(),)
        names.exchangers["null.example"] = (Mx(0, ""),)
        for number in range(1, 10):
            names.pointers[f"203.0.113.{number}"] = (f"c{number}.away.example",)
            names.machines[f"c{number}.away.example"] = (f"203.0.113.{number}",)

    # -- the course of things -------------------------------------------------------------------

    async def live(self) -> None:
        """From the first start to the last mail's end."""
        plan = self.plan
        self._boot()
        self._arrange()
        await asyncio.sleep(plan.busy_s)
        while not self._is_over():
            if self.loop.time() > plan.end_s or self.journal.findings:
                break
            await asyncio.sleep(_STEP_S)
        await self._judge()

    def _arrange(self) -> None:
        """When who comes and what goes wrong."""
        plan, loop = self.plan, self.loop
        events: list[tuple[float, Callable[[], None]]] = [
            *((at, self._die) for at in plan.deaths),
            *((at, self._reload_soon) for at in plan.reloads),
            *((at, self._restart_soon) for at in plan.restarts),
            *((max(0.0, at), partial(self._trouble_disk, *how)) for at, *how in plan.disk_troubles),
            *((at, partial(self._fill_disk, length_s)) for at, length_s in plan.full_disks),
            *((at, partial(self._trouble_dns, s, name, how)) for at, s, name, how in plan.dns_troubles),
        ]
        for at, what in events:
            loop.call_at(at, what)
        for at, gap_s, course in plan.strains:
            for number, step in enumerate(course):
                loop.call_at(at + number * gap_s, self._strain, step)
        for _ in range(plan.sessions):
            manner = self._chance.choice((*Manner, Manner.POLITE, Manner.POLITE, Manner.PIPELINING))
            self._come_later(partial(Client, self._clients_world, manner))
        for number in range(plan.returning):
            self._come_later(partial(Returning, self._clients_world, 10 + number))
        for number in range(plan.harvesters):
            self._come_later(partial(Harvester, self._clients_world, 60 + number))
        for _ in range(plan.submissions):
            self._come_later(partial(Submitter, self._clients_world))

    def _is_over(self) -> bool:
        life = self._life
        if life is None or self._clients:
            return False
        if any(at > self.loop.time() for at in (*self.plan.deaths, *self.plan.reloads, *self.plan.restarts)):
            return False
        idle = not any(len(worker.scheduler._active) for worker in life.workers)
        return idle and life.lasting.store.next_due_at() is None

    async def _judge(self) -> None:
        while self._life is None:
            await asyncio.sleep(1.0)
        left = everything(self._life)
        for copy in self._place.boxes.copies():
            self.journal.copy(copy)
        if not self.journal.findings:
            judge(self.journal, self.plan, left)
        for complaint in self.loop.complaints:
            self.journal.find(complaint)
        await self._stop_life(self._life)

    def result(self) -> Result:
        """What came of it."""
        journal = self.journal
        journal.count("turns", self.loop.turns)
        return Result(
            seed=self.plan.seed,
            digest=journal.digest,
            findings=tuple(journal.findings),
            counts=dict(sorted(journal.counts.items())),
            lines=tuple(journal.lines),
            virtual_s=self.loop.time(),
        )

    def end(self) -> None:
        """Let go of everything."""
        self.loop.allow_the_end()
        if self._life is not None:
            life, self._life = self._life, None
            self._bury(life)
            self._place.disk.survive(life.lasting.store)
        for hop in self._hops:
            hop.stop()
        for task in list(self._tasks):
            task.cancel()
        tasks = [task for task in asyncio.all_tasks(self.loop) if task not in self._of_the_dead()]
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def _of_the_dead(self) -> set[asyncio.Task[Any]]:
        return {task for process in self.dead for task in process.tasks}

    # -- lives ----------------------------------------------------------------------------------

    def _boot(self) -> None:
        process = Process(self._lives)
        self._lives += 1
        self.journal.tell(f"start {process.number}")
        if process.number and self._chance.random() < 0.3:
            self._revision += 1
        life = process.context.run(
            build, self._place, process, configuration(self.plan, self._revision, self._directory)
        )
        watch = self._place.disk.watch
        watch.credit_s = max(watch.credit_s, life.worker.clock.time.credit_s)
        process.context.run(self.loop.create_task, life.worker.start())
        self._life = life
        self._now_in_force()
        self._place.strain.begin()
        self.loop.call_later(1.0, self._spawn_look)

    def _now_in_force(self) -> None:
        self.journal.revisions.append((self.loop.time(), self._revision))

    def _die(self) -> None:
        """The process is gone, in the middle of whatever it was doing."""
        life, self._life = self._life, None
        if life is None:
            return
        journal = self.journal
        journal.tell(f"death of {life.process.number}")
        journal.count("deaths")
        journal.deaths.append(self.loop.time())
        for mail_id in set(life.slots.inside.values()):
            if mail_id in journal.kept:
                journal.kept[mail_id].held_for_crashes += 1
        self._bury(life)
        self._place.disk.survive(life.lasting.store)
        self.loop.call_later(self._chance.choice((0.05, 1.0, 60.0, 7200.0)), self._boot, context=WORLD)

    def _bury(self, life: Life) -> None:
        self.loop.kill(life.process)
        self._place.network.kill(life.process)
        cast(SimShared, life.lasting.shared).let_go()
        self.dead.append(life.process)
        for worker in life.workers:
            worker.scheduler._stopping = True
        for connection in life.worker.listener._sessions:
            transaction = connection._conversation._transaction
            if transaction is not None:
                transaction.reception.discard()

    def _reload_soon(self) -> None:
        self._spawn(self._reload())

    async def _reload(self) -> None:
        """As the supervisor asks for it: the worker goes on with another configuration."""
        self._revision += 1
        life = self._life
        if life is None:
            return
        self.journal.count("reloads")
        self.journal.tell(f"reload of {life.process.number} to {self._revision}")
        text = text_of(self.plan, self._revision, self._directory)
        taking = life.process.context.run(self.loop.create_task, life.lasting.take(FILE, text))
        self._now_in_force()
        while not taking.done() and life.process.is_alive:
            await asyncio.sleep(0.01)
        if not life.process.is_alive:
            return
        if taking.exception() is None and taking.result() == STOPPING and self._restarting:
            return
        if (error := taking.exception()) is not None or taking.result():
            self.journal.find(f"the reload failed: {error!r} {'' if error else taking.result()}")
        self._sessions_left_over = life.worker.listener.session_count
        self._now_in_force()

    def _restart_soon(self) -> None:
        if self._life is not None and not self._restarting:
            self._restarting = True
            self._spawn(self._restart(self._life))

    async def _restart(self, life: Life) -> None:
        """The old worker stops, a new one begins."""
        self.journal.count("restarts")
        self.journal.tell(f"restart of {life.process.number}")
        stopped = self._life is life and await self._stop_life(life)
        self._restarting = False
        if stopped:
            self._boot()

    async def _stop_life(self, life: Life) -> bool:
        """A clean stop. False when it died meanwhile."""
        timeout_s = life.worker.settings.server.stop_timeout_s
        stopping = life.process.context.run(self.loop.create_task, life.succession.stop(timeout_s))
        while not stopping.done() and life.process.is_alive:
            await asyncio.sleep(0.01)
        if not life.process.is_alive or self._life is not life:
            return False
        self._life = None
        life.process.context.run(cast(SimShared, life.lasting.shared).close)
        if error := stopping.exception():
            self.journal.find(f"the stop failed: {error!r}")
        self._bury(life)
        return True

    def _at_commit(self) -> bool:
        """A transaction is about to be made durable, or just was: True when the process died of it."""
        self._check_limits()
        return self._dies_at_a_point(_AT_COMMIT)

    def _taken(self) -> None:
        """A next hop has a mail and has not said so yet."""
        if self._points_left and self._chance.random() < _AT_COPY:
            self._points_left -= 1
            self.loop.call_later(
                self._chance.choice((0.0, 0.005, 0.02, 0.03, 0.05, 2.5, 40.0)), self._die, context=WORLD
            )

    def _silence(self) -> None:
        """A next hop has answered for one recipient, and the others have to wait for minutes."""
        if self._points_left and self._chance.random() < _AT_SILENCE:
            self._points_left -= 1
            self.loop.call_later(self._chance.uniform(8.0, 50.0), self._die, context=WORLD)

    def _dies_at_a_point(self, likelihood: float) -> bool:
        if self._life is None or not self._points_left or self._chance.random() >= likelihood:
            return False
        self._points_left -= 1
        self._die()
        return True

    # -- the world ------------------------------------------------------------------------------

    def _hop(self, number: int) -> Hop:
        plan = self.plan.hops[number]
        hop = Hop(
            name=plan.name,
            place=(plan.ip, plan.port),
            chance=Random(f"hop {number} {self.plan.seed}"),
            journal=self.journal,
            lmtp=plan.lmtp,
            mischief=plan.mischief,
            bad_until_s=plan.bad_until_s,
            down=plan.down,
            greylist_s=plan.greylist_s,
            tls=plan.tls,
            tls_faults=plan.tls_faults,
            demands=plan.demands,
            expects_signatures=self.plan.signs,
            pipelining=plan.pipelining,
            connections_limit=(lambda: 1000) if plan.lmtp else self._hop_connections,
            on_taken=self._taken,
            silent_after_one=plan.silent_after_one,
            on_silence=self._silence,
        )
        network = self._place.network
        hop.open_to = partial(network.held_to, hop.place)
        network.hosts[hop.place] = hop.accept
        if plan.down == "silent" and plan.bad_until_s:
            network.silent.add(hop.place)
            self.loop.call_at(plan.bad_until_s, network.silent.discard, hop.place)
        return hop

    def _hop_connections(self) -> int:
        """Each configuration that still delivers may have so many of its own."""
        workers = self._life.workers if self._life is not None else ()
        return sum(
            max(way.connections for way in worker.settings.send_connectors.values() if way.delivery == "smtp")
            for worker in workers
        )

    def _limits_since(self, at: float) -> list[Limits]:
        """Of every configuration that was in force since then."""
        revisions = self.journal.revisions
        first = max((n for n, (since, _) in enumerate(revisions) if since <= at), default=0)
        return [self.plan.limits_at(revision) for _, revision in revisions[first:]]

    def _world(self) -> World:
        return World(
            network=self._place.network,
            journal=self.journal,
            chance=self._chance,
            door=DOOR,
            submission=SUBMISSION,
            accounts=USERS,
            users=(*USERS, *BOXES),
            strangers=STRANGERS,
            partners=PARTNERS,
            far=FAR,
            limits_since=self._limits_since,
            heavy=self.plan.heavy,
            levels_since=self._place.strain.since,
            is_full_since=lambda at: self._full_since_s <= at,
            state_of=self._state_of,
        )

    def _come_later(self, client: Callable[[], Client]) -> None:
        self.loop.call_at(self._chance.uniform(0.0, self.plan.busy_s), self._client, client)

    def _client(self, client: Callable[[], Client]) -> None:
        self._clients += 1
        self._spawn(client().run()).add_done_callback(self._client_gone)

    def _client_gone(self, task: asyncio.Task[Any]) -> None:
        self._clients -= 1
        if not task.cancelled() and (bug := task.exception()) is not None:
            self.journal.find(f"a client of the simulation has a bug: {bug!r}")

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _trouble_disk(self, length_s: float, slower: float) -> None:
        disk = self._place.disk
        disk.fails_until_s, disk.slow = self.loop.time() + length_s, slower
        self.loop.call_later(length_s, setattr, disk, "slow", 1.0)

    def _fill_disk(self, length_s: float) -> None:
        FILES.free_bytes = self._chance.choice((0, 10 << 20))
        self._full_since_s = self.loop.time() + 1e-6
        self._look_at_disk()
        self.loop.call_later(length_s, self._free_disk, context=WORLD)

    def _free_disk(self) -> None:
        FILES.free_bytes, self._full_since_s = PLENTY_BYTES, inf
        self._look_at_disk()

    def _look_at_disk(self) -> None:
        """As the store does every few seconds."""
        if self._life is not None:
            self._life.process.context.run(self._life.lasting.store._sample)

    def _strain(self, step: Step) -> None:
        self._place.strain.set(step)
        self._spawn_look()

    def _spawn_look(self) -> None:
        self._spawn(self._look())

    async def _look(self) -> None:
        """As the worker does every few seconds."""
        life = self._life
        if life is None:
            return
        looking = life.process.context.run(self.loop.create_task, life.worker.watch.look())
        while not looking.done() and life.process.is_alive:
            await asyncio.sleep(0.001)
        if life.process.is_alive and self._life is life:
            self._place.strain.looked()

    def _trouble_dns(self, length_s: float, name: str, how: str) -> None:
        self._place.names.trouble[name] = (self.loop.time() + length_s, how)

    # -- looking inside -------------------------------------------------------------------------

    def _state_of(self, client_port: int) -> str:
        """What the session of this client still holds of a transaction."""
        if self._life is None:
            return ""
        for connection in self._life.worker.listener._sessions:
            conversation = connection._conversation
            if conversation.session.client_port == client_port:
                if conversation._transaction is not None:
                    return "a transaction"
                engine = connection._engine
                return f"{engine._recipients} recipients" if engine._recipients else ""
        return ""

    def _check_limits(self) -> None:
        life = self._life
        if life is None:
            return
        for worker in life.workers:
            active, queue = worker.scheduler._active, worker.settings.queue
            if len(active) > queue.active_mails:
                self.journal.find(f"{len(active)} active mails, {queue.active_mails} are allowed")
            if active.content_bytes > queue.active_memory_bytes:
                self.journal.find(f"{active.content_bytes} octets of active mail")
        count, allowed = life.worker.listener.session_count, self.plan.limits_at(self._revision).connections
        self._sessions_left_over = min(self._sessions_left_over, count)
        doors = len(life.worker.settings.receive_connectors)
        if count > max(allowed * doors, self._sessions_left_over):
            self.journal.find(f"{count} sessions, {allowed} are allowed")


def everything(life: Life) -> list[QueuedMail]:
    """What the store holds."""
    return life.lasting.store.find(MailFilter(), limit=100_000)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
