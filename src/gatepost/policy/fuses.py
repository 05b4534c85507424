"""Switches off what an administrator brought along when it fails again and again, in every worker (threats P03)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from gatepost.config.scan_settings import Faults
from gatepost.model.fault import Fault
from gatepost.ports.blame import Blame
from gatepost.ports.log import Counters, Log
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.shared import SharedState
from gatepost.ports.shared_windows import SharedWindows

OFF_SPACE: Final = "plug-ins-off"
FAULTS_SPACE: Final = "plug-in-faults"
FUSE_SPACES: Final = {OFF_SPACE: 1_000, FAULTS_SPACE: 100_000}
"""Spaces of the shared state, with their bounds."""
_FOR_EVER: Final = 1e11
_ERROR_LIMIT_CHARACTERS: Final = 200

Answer = TypeVar("Answer")


class Off(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a plug-in that is switched off: since when, after how many faults, the last of them."""

    since: float
    faults: int
    error: str


class OffPlugIn(NamedTuple):
    """The same, for people. until: 0 when nothing but a person brings it back."""

    plug_in: str
    since: float
    faults: int
    error: str
    until: float


class Fuses:
    """Counts faults of agents and facts of third parties, over all workers.

    A plug-in is called "agent NAME" or "fact NAME". now: seconds since the epoch. monotonic: seconds.
    blame: where a crash leaves readable what the worker was in.
    """

    def __init__(
        self,
        settings: Faults,
        *,
        shared: SharedState,
        log: Log,
        counters: Counters,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        blame: Blame | None = None,
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._log = log
        self._counters = counters
        self._now = now
        self._monotonic = monotonic
        self._blame = blame
        self._faults = SharedWindows(shared, FAULTS_SPACE, settings.window_s, now)
        self._seen_off: set[str] = set()

    def why_off(self, plug_in: str) -> str:
        """Why it is not asked; "" when it is."""
        value = self._shared.get(OFF_SPACE, plug_in)
        if value is None:
            if plug_in in self._seen_off:
                self._seen_off.discard(plug_in)
                self._log.write("warning", "plug-in-on", name=plug_in)
            return ""
        self._seen_off.add(plug_in)
        off = _read(value)
        return f"{plug_in} is switched off after {off.faults} faults ({off.error})"

    def defers(self, agent: str) -> bool:
        """Whether mail is put off while this agent is switched off, whatever it says itself."""
        return self._settings.meanwhile_of.get(agent, self._settings.meanwhile) == "defer"

    def fault(self, plug_in: str, error: str, *, mark: str = "") -> None:
        """It failed. mark: by what its mail is known, which counts once however often it is sent again."""
        if self._settings.limit and not (mark and not self._faults.is_news(f"{plug_in} {mark}")):
            self._count(plug_in, error, 1)

    def death(self, plug_in: str) -> None:
        """A worker died in it."""
        if self._settings.limit:
            self._log.write("error", "plug-in-death", name=plug_in)
            self._count(plug_in, "a worker died in it", math.ceil(self._settings.limit / 2))

    def run(self, plug_in: str, call: Callable[..., Answer], *arguments: Any) -> Answer:
        """What it gives, within the worker. What it raises goes on; that it failed or took too long is counted."""
        began_at = self._monotonic()
        if self._blame is not None:
            self._blame.enter(plug_in)
        try:
            return call(*arguments)
        except (Fault, TimeoutError):
            raise  # the world's
        except (Exception, SystemExit) as error:
            self.fault(plug_in, type(error).__name__)
            raise
        finally:
            if self._blame is not None:
                self._blame.leave()
            if (took_s := self._monotonic() - began_at) > self._settings.blocking_s:
                self.fault(plug_in, f"held the worker up for {took_s:.1f} s")

    def off(self) -> tuple[OffPlugIn, ...]:
        """Those that are switched off, by name."""
        return off_in(self._shared)

    def samples(self) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
        """A gauge for each that is switched off."""
        for one in self.off():
            yield "plug_in_off", (("plug_in", one.plug_in),), 1.0

    def forget(self) -> None:
        """All are asked again, and nothing was counted: somebody has looked at them."""
        forget_faults(self._shared)

    def _count(self, plug_in: str, error: str, times: int) -> None:
        if self._shared.get(OFF_SPACE, plug_in) is not None:
            return
        faults = self._faults.add(plug_in, times)
        if faults < self._settings.limit:
            return
        now, cool_down_s = self._now(), self._settings.cool_down_s
        off = Off(now, faults, error[:_ERROR_LIMIT_CHARACTERS])
        expires_at = now + cool_down_s if cool_down_s else _FOR_EVER
        self._shared.put(OFF_SPACE, plug_in, msgspec.msgpack.encode(off), expires_at=expires_at)
        self._faults.forget(plug_in)
        self._counters.add("plug_ins_switched_off", plug_in=plug_in)
        self._log.write(
            "error",
            "plug-in-off",
            name=plug_in,
            limit="policy.faults.limit",
            value=self._settings.limit,
            actual=faults,
            error=off.error,
            cool_down_s=cool_down_s,
        )


def forget_faults(shared: SharedState, plug_in: str = "") -> list[str]:
    """Switch all on again, or this one; those that were off."""
    keys = [item.key for item in shared.items(OFF_SPACE) if plug_in in ("", item.key)]
    for key in keys:
        shared.remove(OFF_SPACE, key)
    for item in shared.items(FAULTS_SPACE):
        if not plug_in or item.key == plug_in or item.key.startswith(f"told {plug_in} "):
            shared.remove(FAULTS_SPACE, item.key)
    return sorted(keys)


def off_in(shared: SharedState) -> tuple[OffPlugIn, ...]:
    """Those that are switched off, by name."""
    found = []
    for item in shared.items(OFF_SPACE):
        off = _read(item.value)
        until = item.expires_at if item.expires_at < _FOR_EVER else 0.0
        found.append(OffPlugIn(item.key, off.since, off.faults, off.error, until))
    return tuple(sorted(found))


def unfused(log: Log, counters: Counters) -> Fuses:
    """Nothing is counted or switched off: for an opinion that is tried."""
    return Fuses(
        Faults(limit=0),
        shared=MemoryShared(),
        log=log,
        counters=counters,
        now=lambda: 0.0,
        monotonic=lambda: 0.0,
    )


def _read(value: bytes) -> Off:
    try:
        return msgspec.msgpack.decode(value, type=Off)
    except msgspec.DecodeError:
        return Off(0.0, 0, "what is kept of it cannot be read")
