"""The killer: SIGKILL at a random moment or at a chosen one, SIGSTOP, SIGTERM, for a process or for all."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from crash.aim import Aim, Moment, Where
from crash.gateway import Gateway
from crash.ledger import Death
from crash.old_store import make_old, version_of
from crash.process import freeze, holders_of, kill, state_of, worker_number
from gatepost.adapters.sqlite_schema import SCHEMA_VERSION

SHORTEST_S: Final = 0.02
LONGEST_S: Final = 0.6
LONGEST_PAUSE_S: Final = 1.5
MOMENT_WITHIN_S: Final = 30.0
"""How long a moment may take to come; then the kill counts as missed, and the run has failed."""
PROVOKE_S: Final = 5.0
"""How long the start after a death may take before another worker is killed for it."""
_LOOK_S: Final = 0.002


class Victim(Enum):
    """Whom a kill is for, or in the middle of what it falls."""

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
    CHECKPOINT = "checkpoint"
    """A worker whose log is just being brought into the database; the harness provokes it."""
    MIGRATION = "migration"
    """Everything dies, the stores become those of an older gatepost, and the worker that migrates one is killed."""
    RECOVERY = "recovery"
    """A worker is killed, and the next one in the middle of what it does after that."""
    FAILURE_NOTICE = "failure notice"
    """A worker that commits a settlement together with the notice about it, and so on."""
    DELAY_NOTICE = "delay notice"
    SUCCESS_NOTICE = "success notice"


SHARES: Final[Mapping[Victim, int]] = {
    Victim.WORKER: 36,
    Victim.SUPERVISOR: 8,
    Victim.EVERYTHING: 7,
    Victim.CONTROL: 4,
    Victim.PAUSED: 6,
    Victim.STOPPED: 4,
    Victim.CHECKPOINT: 8,
    Victim.MIGRATION: 8,
    Victim.RECOVERY: 7,
    Victim.FAILURE_NOTICE: 4,
    Victim.DELAY_NOTICE: 4,
    Victim.SUCCESS_NOTICE: 4,
}
"""Of a hundred."""
_AIMED: Final[Mapping[Victim, Moment]] = {
    victim: Moment[victim.name] for victim in Victim if victim.name in Moment.__members__
}
_DURING_A_START: Final = 0.3
"""How often a gateway that is just starting is killed again, instead of when it serves."""


def deck_of(kills: int, chance: random.Random, *, aimed: bool) -> list[Victim]:
    """So many victims in any order: each kind once where there is room, and then as often as its share says."""
    shares = {victim: share for victim, share in SHARES.items() if aimed or victim not in _AIMED}
    if kills <= len(shares):
        return chance.sample(list(shares), kills)
    counts = Counter(shares.keys())
    whole = sum(shares.values())
    for _ in range(kills - len(shares)):
        counts[max(shares, key=lambda victim: shares[victim] * kills / whole - counts[victim])] += 1
    deck = list(counts.elements())
    chance.shuffle(deck)
    return deck


@dataclass(slots=True)
class Hits:
    """What came of kills that were aimed at one kind of moment."""

    at_calls: list[int] = field(default_factory=list)
    """In place of which write or sync call of it."""
    before: int = 0
    after: int = 0
    missed: int = 0
    """The moment did not come."""
    next_step: int = 0

    @property
    def total(self) -> int:
        """Kills that fell where they should."""
        return len(self.at_calls) + self.before + self.after


@dataclass(slots=True)
class Killer:
    """Kills `gateway` until the number asked for is reached. deaths: for the judge. aim: None: at random only."""

    gateway: Gateway
    chance: random.Random
    aim: Aim | None = None
    deaths: list[Death] = field(default_factory=list)
    kills: Counter[Victim] = field(default_factory=Counter)
    hits: dict[Victim, Hits] = field(default_factory=dict)
    during_start: int = 0
    """Kills that fell before the gateway showed its banner."""
    _stopping: int = 0
    """The supervisor that was told to stop last."""
    migrated_mails: int = 0
    """Mails in the stores that were made old."""

    async def run(self, kills: int) -> None:
        """A kill every 20 to 600 ms; one that finds nobody alive is tried again later and not counted."""
        for victim in deck_of(kills, self.chance, aimed=self.aim is not None):
            while not await self._strike(victim):
                pass

    async def _strike(self, victim: Victim) -> bool:
        if victim in _AIMED or self.chance.random() >= _DURING_A_START:
            await self.gateway.ready()
        await asyncio.sleep(self.chance.uniform(SHORTEST_S, LONGEST_S))
        if victim in _AIMED:
            await self._aimed(victim)
            return True
        starting = not self.gateway.is_ready
        has_struck = await self._pause() if victim is Victim.PAUSED else self._kill(victim)
        self.kills[victim] += has_struck
        self.during_start += has_struck and starting
        return has_struck

    # -- at random ------------------------------------------------------------------------------

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
            self._tell_to_stop(supervisor)
            return True
        if victim is Victim.SUPERVISOR:
            kill(supervisor)
            return True
        return self._kill_everything(supervisor)

    def _tell_to_stop(self, supervisor: int) -> None:
        """Told a second time, it waits for nobody and kills its workers itself."""
        os.kill(supervisor, signal.SIGTERM)
        if supervisor == self._stopping:
            self.deaths.append(Death(time.monotonic()))
        self._stopping = supervisor

    def _kill_everything(self, supervisor: int) -> bool:
        """The supervisor first: it must not start another worker while we go through them."""
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

    # -- at a moment ----------------------------------------------------------------------------

    async def _aimed(self, victim: Victim) -> None:
        """One death in the middle of something; counted as missed when it does not come about."""
        aim = self.aim
        assert aim is not None
        hits = self.hits.setdefault(victim, Hits())
        if victim is Victim.MIGRATION:
            await self._make_old()
        step = self._step(victim, hits)
        aim.wish(_AIMED[victim], step)
        self.gateway.is_held = False
        while not await self._has_died(aim, provoke=victim is Victim.RECOVERY):
            if aim.taken_by:  # it died of something else meanwhile
                aim.wish(_AIMED[victim], step)
                continue
            aim.withdraw()
            hits.missed += 1
            return
        self.deaths.append(Death(aim.died_at, aim.worker))
        self.kills[victim] += 1
        where = aim.where
        if where is Where.IN:
            hits.at_calls.append(aim.calls)
        hits.before += where is Where.BEFORE
        hits.after += where is Where.AFTER
        hits.next_step = 0 if where is Where.AFTER else hits.next_step + 1

    def _step(self, victim: Victim, hits: Hits) -> int:
        """Migrations are short: one call after the other, and again from the first. Others: anywhere, often early."""
        return hits.next_step if victim is Victim.MIGRATION else int(2 ** self.chance.uniform(0, 8)) - 1

    async def _has_died(self, aim: Aim, *, provoke: bool) -> bool:
        """provoke: kill workers that have their stores open, so that there is something to recover from."""
        began_at = provoked_at = time.monotonic()
        while (now := time.monotonic()) - began_at < MOMENT_WITHIN_S:
            if aim.taken_by and state_of(aim.taken_by) in "XZ":
                return aim.died_at > 0
            if provoke and not aim.taken_by and now >= provoked_at:
                provoked_at = now + (PROVOKE_S if self._kill_an_owner() else 0.0)
            await asyncio.sleep(_LOOK_S)
        return False

    def _kill_an_owner(self) -> bool:
        owners = [pid for pid in self.gateway.workers() if worker_number(pid) is not None]
        return bool(owners) and self._kill_worker(self.chance.choice(owners))

    async def _make_old(self) -> None:
        """Everything dies, and what it leaves becomes the state of an older gatepost. The gateway stays held."""
        gateway = self.gateway
        gateway.is_held = True
        if supervisor := gateway.pid:
            self._kill_everything(supervisor)
        # Workers of a supervisor that was killed before may still be finishing.
        while holders := await asyncio.to_thread(holders_of, gateway.state):
            for pid in holders:
                kill(pid)
            self.deaths.append(Death(time.monotonic()))
            await asyncio.sleep(_LOOK_S)
        for store in sorted(gateway.state.glob("worker-*/store.db")):
            if version_of(store) == SCHEMA_VERSION:
                self.migrated_mails += await asyncio.to_thread(make_old, store)
