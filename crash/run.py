"""One run: mail flows, kills happen, then calm; what is left over is put before the judge."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from powercut.library import Page, environment

from crash.aim import Aim
from crash.client import Swarm
from crash.gateway import NAME, Gateway
from crash.judge import Finding, Judgement, judge
from crash.killer import Hits, Killer
from crash.ledger import Answer, Evidence, Sending
from crash.message import USERS, Mailer
from crash.notes import About, Correspondence, NoteFinding, about, counted, judge_notes, recipients
from crash.sink import Sink
from crash.stores import look_into
from gatepost.lab.dns_server import LabDns

_AFTER_THE_LAST_KILL_S: Final = 1.0
_LOOK_S: Final = 0.05
_QUIET_S: Final = 4.0
"""Twice the longest wait between attempts: what is still to come twice has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is asked to do."""

    seed: int
    kills: int
    directory: Path
    clients: int = 20
    empty_within_s: float = 90.0
    arguments: tuple[str, ...] = ("-m", "crash.moments")
    background: bool = True
    event_loop: str = "uvloop"
    library: Path | None = None
    """The recorder's, by which kills are aimed at moments; None: all kills are at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run brought."""

    plan: Plan
    evidence: Evidence
    judgement: Judgement
    kills: dict[str, int]
    hits: dict[str, Hits]
    """Of the kills that were aimed at a moment, by its name."""
    during_start: int
    migrated_mails: int
    notes: tuple[tuple[NoteFinding, str], ...]
    killing_s: float
    emptied_s: float | None
    """From the last fault until everything promised had arrived; None: not within the time."""
    ready_after_s: tuple[float, ...]
    failed_starts: int
    stop_status: int
    others_delivered: int
    bugs: tuple[str, ...]
    """Lines of the gateway's log that tell of a bug."""
    lag_s: float
    """How late the harness itself was at worst: the judge forgives so much."""

    @property
    def is_good(self) -> bool:
        """No broken promise, every kind of moment was hit, and the gateway ended in good order."""
        return (
            not self.judgement.failures and not self.bad_notes and not self.missed and self.stop_status == 0
        )

    @property
    def bad_notes(self) -> tuple[tuple[NoteFinding, str], ...]:
        """Mails whose writers did not hear exactly once what they should."""
        return tuple(one for one in self.notes if one[0].is_failure)

    def count(self, finding: Finding | NoteFinding) -> int:
        """How often it was found."""
        if isinstance(finding, Finding):
            return self.judgement.counts.get(finding, 0)
        return counted(self.notes)[finding]

    @property
    def missed(self) -> int:
        """Kills that were aimed at a moment which did not come."""
        return sum(hits.missed for hits in self.hits.values())


@dataclass(slots=True)
class Lag:
    """How late our own event loop wakes."""

    worst_s: float = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            due_at = time.monotonic() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            self.worst_s = max(self.worst_s, time.monotonic() - due_at)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everybody who takes part."""

    gateway: Gateway
    swarm: Swarm
    writers: Correspondence
    sink: Sink
    names: LabDns
    killer: Killer

    @property
    def sendings(self) -> list[Sending]:
        """What must arrive: everything but what calls for a failure."""
        calls = [one for one in self.writers.sendings if about(next(iter(one.answers))) is not About.FAILURE]
        return [*self.swarm.sendings, *calls]

    async def clear(self) -> None:
        """The end, whatever happened."""
        self.gateway.kill()
        await self.sink.stop()
        await self.names.stop()
        if self.killer.aim is not None:
            self.killer.aim.close()


async def run(plan: Plan) -> Outcome:
    """The whole of it. Raises TimeoutError when the gateway does not come up at all."""
    stage = await _set_up(plan)
    lag = Lag()
    keeper = asyncio.create_task(stage.gateway.keep_running())
    watcher = asyncio.create_task(lag.watch())
    try:
        await stage.gateway.ready()
        killing_s = await _storm(plan, stage)
        stage.sink.moods.calm()
        await stage.gateway.ready()
        emptied_s = await _calm(plan, stage)
        stop_status = await _stop(stage.gateway, keeper)
    finally:
        keeper.cancel()
        watcher.cancel()
        await stage.clear()
    evidence = _evidence(stage, lag.worst_s)
    return Outcome(
        plan=plan,
        evidence=evidence,
        judgement=judge(evidence),
        kills={victim.value: count for victim, count in stage.killer.kills.items()},
        hits={victim.value: hits for victim, hits in stage.killer.hits.items()},
        during_start=stage.killer.during_start,
        migrated_mails=stage.killer.migrated_mails,
        notes=tuple(judge_notes(stage.writers.sendings, stage.sink.notes)),
        killing_s=killing_s,
        emptied_s=emptied_s,
        ready_after_s=tuple(stage.gateway.ready_after_s),
        failed_starts=stage.gateway.failed_starts,
        stop_status=stop_status,
        others_delivered=stage.sink.others,
        bugs=_bugs(stage.gateway.log),
        lag_s=lag.worst_s,
    )


async def _set_up(plan: Plan) -> Stage:
    """Servers listen, the configuration is written; nothing is started yet."""
    name = f"r{plan.seed}"
    sink = Sink(name, random.Random(f"{plan.seed}:sink"))
    names = LabDns("")
    await sink.start()
    await names.start()
    gateway = Gateway(
        plan.directory,
        sink.port,
        names.port,
        plan.arguments,
        plan.event_loop,
        more_recipients=recipients(),
    )
    gateway.prepare()
    aim = _aim(plan, gateway)
    swarm = Swarm(
        port=lambda: gateway.port,
        name=NAME,
        mailer=Mailer(name, random.Random(f"{plan.seed}:mail")),
        chance=random.Random(f"{plan.seed}:clients"),
    )
    writers = Correspondence(
        port=lambda: gateway.port, run=name, chance=random.Random(f"{plan.seed}:writers")
    )
    killer = Killer(gateway, random.Random(f"{plan.seed}:kills"), aim)
    return Stage(gateway, swarm, writers, sink, names, killer)


def _aim(plan: Plan, gateway: Gateway) -> Aim | None:
    """The gateway is to listen to the killer; None when there is no library by which it could."""
    if plan.library is None:
        return None
    page = Page(plan.directory / "page")
    gateway.environment = environment(plan.library, gateway.state, page, None)
    page.close()
    return Aim(page.file)


def _bugs(log: Path) -> tuple[str, ...]:
    with log.open(encoding="utf-8", errors="replace") as lines:
        return tuple(line.rstrip() for line in lines if '"event":"bug"' in line)


def _evidence(stage: Stage, lag_s: float) -> Evidence:
    """The accounts of all sides, with what the stores say now that the gateway has stopped."""
    stored = look_into(stage.gateway.state)
    return Evidence(
        sendings=tuple(stage.sendings),
        copies=tuple(stage.sink.copies),
        deaths=tuple(stage.killer.deaths),
        settled=stored.settled,
        left=stored.left,
        lag_s=lag_s,
    )


async def _storm(plan: Plan, stage: Stage) -> float:
    """Clients, background load and kills at once; returns how long the kills took."""
    swarm = stage.swarm
    clients = asyncio.create_task(swarm.run(plan.clients))
    writers = asyncio.create_task(stage.writers.write())
    background = asyncio.create_task(_background(stage.gateway)) if plan.background else None
    began_at = time.monotonic()
    try:
        await stage.killer.run(plan.kills)
        killing_s = time.monotonic() - began_at
        await asyncio.sleep(_AFTER_THE_LAST_KILL_S)
    finally:
        swarm.stopping = stage.writers.stopping = True
        stage.gateway.is_held = False
        if background is not None:
            background.cancel()
            with suppress(asyncio.CancelledError):
                await background
    await clients
    await writers
    return killing_s


async def _background(gateway: Gateway) -> None:
    """Small loads of smtp-source, which dies with every kill and is started again."""
    program = shutil.which("smtp-source", path="/usr/sbin:/usr/bin")
    while program is not None:
        source = await asyncio.create_subprocess_exec(
            *(program, "-s", "2", "-m", "20", "-l", "2000", "-f", "background@sender.test"),
            *("-t", USERS[0], f"127.0.0.1:{gateway.port}"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await source.wait()
            await asyncio.sleep(0.3)
        finally:
            if source.returncode is None:
                source.kill()
                await source.wait()


async def _calm(plan: Plan, stage: Stage) -> float | None:
    """Waits until everything acknowledged has arrived, and a little longer for what comes twice."""
    began_at = time.monotonic()
    promised = [
        (sending.message, recipient)
        for sending in stage.sendings
        for recipient, answer in sending.answers.items()
        if answer is Answer.ACKNOWLEDGED
    ]
    while missing := [key for key in promised if not stage.sink.has(*key)]:
        if time.monotonic() - began_at > plan.empty_within_s:
            return None
        promised = missing
        await asyncio.sleep(0.05)
    while any(
        finding is NoteFinding.MISSING for finding, _ in judge_notes(stage.writers.sendings, stage.sink.notes)
    ):
        if time.monotonic() - began_at > plan.empty_within_s:
            return None
        await asyncio.sleep(0.1)
    emptied_s = time.monotonic() - began_at
    await asyncio.sleep(_QUIET_S)
    return emptied_s


async def _stop(gateway: Gateway, keeper: asyncio.Task[None]) -> int:
    """In good order, while the sink still answers."""
    keeper.cancel()
    with suppress(asyncio.CancelledError):
        await keeper
    return await asyncio.to_thread(gateway.stop)
