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

from crash.client import Swarm
from crash.gateway import Gateway
from crash.judge import Judgement, judge
from crash.killer import Killer
from crash.ledger import Answer, Evidence
from crash.message import USERS, Mailer
from crash.sink import Sink
from crash.stores import look_into
from gatepost.lab.dns_server import LabDns

_AFTER_THE_LAST_KILL_S: Final = 1.0
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
    arguments: tuple[str, ...] = ("-m", "gatepost")
    background: bool = True
    event_loop: str = "uvloop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run brought."""

    plan: Plan
    evidence: Evidence
    judgement: Judgement
    kills: dict[str, int]
    killing_s: float
    emptied_s: float | None
    """From the last fault until everything promised had arrived; None: not within the time."""
    ready_after_s: tuple[float, ...]
    failed_starts: int
    stop_status: int
    others_delivered: int

    @property
    def is_good(self) -> bool:
        """No broken promise, and the gateway ended in good order."""
        return not self.judgement.failures and self.stop_status == 0


async def run(plan: Plan) -> Outcome:
    """The whole of it. Raises TimeoutError when the gateway does not come up at all."""
    name = f"r{plan.seed}"
    sink = Sink(name, random.Random(f"{plan.seed}:sink"))
    names = LabDns("")
    await sink.start()
    await names.start()
    gateway = Gateway(plan.directory, sink.port, names.port, plan.arguments, plan.event_loop)
    gateway.prepare()
    swarm = Swarm(
        port=lambda: gateway.port,
        mailer=Mailer(name, random.Random(f"{plan.seed}:mail")),
        chance=random.Random(f"{plan.seed}:clients"),
    )
    killer = Killer(gateway, random.Random(f"{plan.seed}:kills"))
    keeper = asyncio.create_task(gateway.keep_running())
    try:
        await gateway.ready()
        killing_s = await _storm(plan, gateway, swarm, killer)
        sink.moods.calm()
        await gateway.ready()
        emptied_s = await _calm(plan, swarm, sink)
        stop_status = await _stop(gateway, keeper)
    finally:
        keeper.cancel()
        gateway.kill()
        await sink.stop()
        await names.stop()
    stored = look_into(gateway.state)
    evidence = Evidence(
        sendings=tuple(swarm.sendings),
        copies=tuple(sink.copies),
        deaths=tuple(killer.deaths),
        settled=stored.settled,
        left=stored.left,
    )
    return Outcome(
        plan=plan,
        evidence=evidence,
        judgement=judge(evidence),
        kills={victim.value: count for victim, count in killer.kills.items()},
        killing_s=killing_s,
        emptied_s=emptied_s,
        ready_after_s=tuple(gateway.ready_after_s),
        failed_starts=gateway.failed_starts,
        stop_status=stop_status,
        others_delivered=sink.others,
    )


async def _storm(plan: Plan, gateway: Gateway, swarm: Swarm, killer: Killer) -> float:
    """Clients, background load and kills at once; returns how long the kills took."""
    clients = asyncio.create_task(swarm.run(plan.clients))
    background = asyncio.create_task(_background(gateway)) if plan.background else None
    began_at = time.monotonic()
    try:
        await killer.run(plan.kills)
        killing_s = time.monotonic() - began_at
        await asyncio.sleep(_AFTER_THE_LAST_KILL_S)
    finally:
        swarm.stopping = True
        if background is not None:
            background.cancel()
            with suppress(asyncio.CancelledError):
                await background
    await clients
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


async def _calm(plan: Plan, swarm: Swarm, sink: Sink) -> float | None:
    """Waits until everything acknowledged has arrived, and a little longer for what comes twice."""
    began_at = time.monotonic()
    promised = [
        (sending.message, recipient)
        for sending in swarm.sendings
        for recipient, answer in sending.answers.items()
        if answer is Answer.ACKNOWLEDGED
    ]
    while missing := [key for key in promised if not sink.has(*key)]:
        if time.monotonic() - began_at > plan.empty_within_s:
            return None
        promised = missing
        await asyncio.sleep(0.05)
    emptied_s = time.monotonic() - began_at
    await asyncio.sleep(_QUIET_S)
    return emptied_s


async def _stop(gateway: Gateway, keeper: asyncio.Task[None]) -> int:
    """In good order, while the sink still answers."""
    keeper.cancel()
    with suppress(asyncio.CancelledError):
        await keeper
    return await asyncio.to_thread(gateway.stop)
