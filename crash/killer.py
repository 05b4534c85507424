"""The killer: SIGKILL at a random moment for a process or for all; others are paused, or told to stop."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from crash.gateway import Gateway
from crash.ledger import Death
from crash.process import freeze, kill, worker_number

SHORTEST_S: Final = 0.02
LONGEST_S: Final = 0.6
LONGEST_PAUSE_S: Final = 1.5


class Victim(Enum):
    """Whom a kill is for."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"
    """Its workers notice, finish what they do and end; the harness starts the gateway again."""
    EVERYTHING = "everything"
    CONTROL = "control"
    """It has no store: mail goes on, the supervisor starts another."""
    PAUSED = "paused"
    """SIGSTOP to a worker or the supervisor, SIGCONT a while later: as on a machine that swaps. Nobody dies."""
    STOPPED = "stopped"
    """SIGTERM to the supervisor, which ends in good order; the harness starts the gateway again. It excuses nothing."""


_VICTIMS: Final = {
    Victim.WORKER: 62,
    Victim.SUPERVISOR: 10,
    Victim.EVERYTHING: 10,
    Victim.CONTROL: 5,
    Victim.PAUSED: 8,
    Victim.STOPPED: 5,
}
_DURING_A_START: Final = 0.3
"""How often a gateway that is just starting is killed again, instead of when it serves."""


@dataclass(slots=True)
class Killer:
    """Kills `gateway` until the number asked for is reached. deaths: for the judge."""

    gateway: Gateway
    chance: random.Random
    deaths: list[Death] = field(default_factory=list)
    kills: Counter[Victim] = field(default_factory=Counter)

    async def run(self, kills: int) -> None:
        """A kill every 20 to 600 ms; one that finds nobody alive is tried again later and not counted."""
        while sum(self.kills.values()) < kills:
            if self.chance.random() >= _DURING_A_START:
                await self.gateway.ready()
            await asyncio.sleep(self.chance.uniform(SHORTEST_S, LONGEST_S))
            victim = self.chance.choices(list(_VICTIMS), weights=list(_VICTIMS.values()))[0]
            if victim is Victim.PAUSED:
                self.kills[victim] += await self._pause()
            elif self._kill(victim):
                self.kills[victim] += 1

    async def _pause(self) -> bool:
        """A process that stands still for a while and goes on; False when nobody was there."""
        supervisor = self.gateway.pid
        pid = self.chance.choice([supervisor, *self.gateway.workers()])
        if not pid or not freeze(pid):
            return False
        await asyncio.sleep(self.chance.uniform(SHORTEST_S, LONGEST_PAUSE_S))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        return True

    def _kill(self, victim: Victim) -> bool:
        supervisor, workers = self.gateway.pid, self.gateway.workers()
        if victim is Victim.WORKER:
            return bool(workers) and self._kill_worker(self.chance.choice(workers))
        if not supervisor:
            return False
        if victim is Victim.CONTROL:
            control = self.gateway.control()
            if control:
                kill(control)
            return bool(control)
        if victim is Victim.STOPPED:
            os.kill(supervisor, signal.SIGTERM)
            return True
        if victim is Victim.SUPERVISOR:
            kill(supervisor)
            return True
        # The supervisor first: it must not start another worker while we go through them.
        frozen = freeze(supervisor)
        for worker in self.gateway.workers():
            freeze(worker)
            kill(worker)
        kill(supervisor)
        self.deaths.append(Death(time.monotonic()))
        return frozen

    def _kill_worker(self, pid: int) -> bool:
        """Frozen first: while it stands we can see whose store it has open, and it opens no other."""
        if not freeze(pid):
            return False
        number = worker_number(pid)
        kill(pid)
        if number is not None:
            self.deaths.append(Death(time.monotonic(), number))
        return True
