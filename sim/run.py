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
from typing import Any, Final

from gatepost.ports.resolver import Mx
from sim.boxes import Boxes
from sim.clients import Client, Manner, World
from sim.disk import Disk
from sim.files import FILES, PLENTY_BYTES
from sim.gateway import Place, simulated_surroundings
from sim.guests import Harvester, Returning
from sim.hops import Hop
from sim.house import SHORT_GAPS_S, House
from sim.journal import Journal
from sim.judge import judge
from sim.loop import SimLoop, Stuck, bury, current_process
from sim.names import Names
from sim.network import WORLD, Network, Transport
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
from sim.signing import OURS_PEM, THEIRS
from sim.submission import Submitter, write_accounts

_STEP_S: Final = 600.0
_AT_COMMIT: Final = 0.01
_AT_COPY: Final = 0.05
_AT_SILENCE: Final = 0.5
_AT_CONTENT: Final = 0.3


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
        simulation.bury()
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
        self._full_since_s = inf
        """The disk has had no room since then."""
        self._directory = place
        (place / "recipients").write_text("\n".join((*USERS, *BOXES, "")))
        (place / "srs.key").write_text("a secret of many characters\n")
        (place / "srs.key").chmod(0o600)
        (place / "ours.pem").write_bytes(OURS_PEM)
        (place / "ours.pem").chmod(0o600)
        write_accounts(place / "users", USERS)
        self._points_left = plan.deaths_at_a_point
        self._orphanings_left = plan.orphanings_in_content
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
        self._house = House(plan, self._place, self._chance, place, self._spawn)
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
        self._house.start()
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
            *((at, self._house.die) for at in plan.deaths),
            *((at, self._reload_soon) for at in plan.reloads),
            *((at, self._restart_soon) for at in plan.restarts),
            *((at, self._house.orphan) for at in plan.orphanings),
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
        plan = self.plan
        if self._clients or not self._house.is_idle:
            return False
        to_come = (*plan.deaths, *plan.reloads, *plan.restarts, *plan.orphanings)
        return not any(at > self.loop.time() for at in to_come)

    async def _judge(self) -> None:
        while not (self._house.is_settled or self.journal.findings):
            await asyncio.sleep(1.0)
        left = self._house.everything()
        for copy in self._place.boxes.copies():
            self.journal.copy(copy)
        if not self.journal.findings:
            judge(self.journal, self.plan, left)
        for complaint in self.loop.complaints:
            self.journal.find(complaint)
        if self._house.is_settled:
            await self._house.stop()

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
        self._house.end()
        for hop in self._hops:
            hop.stop()
        for task in list(self._tasks):
            task.cancel()
        tasks = [task for task in asyncio.all_tasks(self.loop) if task not in self._of_the_dead()]
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def bury(self) -> None:
        """After the loop is closed."""
        bury(self._house.dead)

    def _of_the_dead(self) -> set[asyncio.Task[Any]]:
        return {task for process in self._house.dead for task in process.tasks}

    # -- what goes wrong ------------------------------------------------------------------------

    def _at_commit(self) -> bool:
        """A transaction is about to be made durable, or just was: True when the process died of it."""
        self._house.check_limits()
        process = current_process()
        if process is None or not self._points_left or self._chance.random() >= _AT_COMMIT:
            return False
        self._points_left -= 1
        self._house.die(process)
        return not process.is_alive

    def _taken(self, wire: Transport | None) -> None:
        """A next hop has a mail and has not said so yet."""
        if self._points_left and self._chance.random() < _AT_COPY:
            self._points_left -= 1
            after_s = self._chance.choice((0.0, 0.005, 0.02, 0.03, 0.05, 2.5, 40.0))
            self.loop.call_later(after_s, self._house.die, wire.peer.owner if wire else None, context=WORLD)

    def _silence(self, wire: Transport | None) -> None:
        """A next hop has answered for one recipient, and the others have to wait for minutes."""
        if self._points_left and self._chance.random() < _AT_SILENCE:
            self._points_left -= 1
            after_s = self._chance.uniform(8.0, 50.0)
            self.loop.call_later(after_s, self._house.die, wire.peer.owner if wire else None, context=WORLD)

    def _in_content(self) -> None:
        """A mail is on its way to a worker that will hear that its supervisor is gone."""
        if self._orphanings_left and self._chance.random() < _AT_CONTENT:
            self._orphanings_left -= 1
            self.loop.call_later(
                self._chance.uniform(0.0, 0.1), self._house.orphan, SHORT_GAPS_S, context=WORLD
            )

    def _reload_soon(self) -> None:
        self._spawn(self._house.reload())

    def _restart_soon(self) -> None:
        self._spawn(self._house.restart())

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
            connections_limit=(lambda: 1000) if plan.lmtp else self._house.hop_connections,
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

    def _limits_since(self, at: float) -> list[Limits]:
        """Of every configuration that was in force since then."""
        revisions = self.journal.revisions
        latest = max((since for since, _ in revisions if since <= at), default=0.0)
        return [self.plan.limits_at(revision) for since, revision in revisions if since >= latest]

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
            state_of=self._house.state_of,
            on_content=self._in_content,
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
        for life in self._house.all:
            life.process.context.run(life.store._sample)

    def _strain(self, step: Step) -> None:
        self._place.strain.set(step)
        for life in self._house.lives.values():
            self._spawn(self._house.look(life))

    def _trouble_dns(self, length_s: float, name: str, how: str) -> None:
        self._place.names.trouble[name] = (self.loop.time() + length_s, how)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
