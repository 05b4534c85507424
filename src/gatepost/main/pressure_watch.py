"""Looks at the resources of a worker at an interval, off the hot path, and tells when a level changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from gatepost.config.settings import Settings
from gatepost.control.commands import ResourceState
from gatepost.intake.pressure import Level, Pressure
from gatepost.ports.log import Counters, Log
from gatepost.ports.resources import Resource, Resources
from gatepost.ports.store import Store
from gatepost.ports.world import Clock

BEAT_S: Final = 0.25
_LEVELS: Final = {Level.NORMAL: "info", Level.MEDIUM: "warning", Level.HIGH: "error"}


class LagMeter:
    """How late the event loop comes to a timer that is set again and again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._worst_s = 0.0
        self._due = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._set()

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()

    def take(self) -> float:
        """The worst since the last call, in seconds."""
        # A timer that is overdue at this moment counts already: it may be why nobody was asked before.
        worst_s, self._worst_s = max(self._worst_s, self._loop.time() - self._due), 0.0
        return max(0.0, worst_s)

    def _set(self) -> None:
        self._due = self._loop.time() + BEAT_S
        self._timer = self._loop.call_at(self._due, self._beat)

    def _beat(self) -> None:
        self._worst_s = max(self._worst_s, self._loop.time() - self._due)
        self._set()


class PressureWatch:
    """Feeds a Pressure.

    system: what the operating system knows. due_recipients: the queue's part. monotonic: seconds.
    """

    def __init__(
        self,
        pressure: Pressure,
        system: Resources,
        *,
        due_recipients: Callable[[], int],
        lag: LagMeter,
        monotonic: Callable[[], float],
        counters: Counters,
        log: Log,
    ) -> None:
        self._pressure = pressure
        self._system = system
        self._due_recipients = due_recipients
        self._lag = lag
        self._monotonic = monotonic
        self._counters = counters
        self._log = log

    def start(self) -> None:
        """Begin to measure the loop."""
        self._lag.start()

    def stop(self) -> None:
        """Measure no more."""
        self._lag.stop()

    async def look(self) -> None:
        """One look at everything."""
        self.feed(
            {
                **self._system.read(),
                Resource.QUEUE: float(self._due_recipients()),
                Resource.LOOP_LAG: self._lag.take(),
            }
        )

    def feed(self, readings: Mapping[Resource, float]) -> None:
        """Judge readings; log and count what changed."""
        for change in self._pressure.feed(readings, self._monotonic()):
            self._log.write(
                _LEVELS[change.after],
                "back-pressure",
                resource=change.resource.value,
                pressure=change.after.name.lower(),
                before=change.before.name.lower(),
                value=change.mark,
                actual=round(change.value, 3),
                takes=_TAKES[self._pressure.level],
            )
        for reading in self._pressure.readings():
            for level in Level:
                self._counters.set(
                    "resource_pressure",
                    float(reading.level is level),
                    resource=reading.resource.value,
                    level=level.name.lower(),
                )
            self._counters.set("resource", reading.value, resource=reading.resource.value)


def watch_of(
    settings: Settings,
    system: Resources,
    pressure: Pressure,
    store: Store,
    *,
    clock: Clock,
    counters: Counters,
    log: Log,
) -> PressureWatch:
    """The watch of one worker. system: what its world knows of the machine."""
    enough = settings.back_pressure.queue.high + 1
    return PressureWatch(
        pressure,
        system,
        due_recipients=lambda: store.due_recipients(now=clock.now(), limit=enough),
        lag=LagMeter(),
        monotonic=clock.monotonic,
        counters=counters,
        log=log,
    )


def resource_states(pressure: Pressure) -> tuple[ResourceState, ...]:
    """For `gatepost status`."""
    return tuple(
        ResourceState(
            resource=reading.resource.value,
            level=reading.level.name.lower(),
            value=round(reading.value, 3),
            marks=(reading.marks.normal, reading.marks.medium, reading.marks.high),
        )
        for reading in pressure.readings()
    )


def why_no_mail(pressure: Pressure) -> str:
    """The resource that keeps all new mail out; "" when none does."""
    names = [reading.resource.value for reading in pressure.readings() if reading.level is Level.HIGH]
    return f"back pressure is high: {', '.join(names)}" if names else ""


_TAKES: Final = {
    Level.NORMAL: "all mail",
    Level.MEDIUM: "no mail of strangers, or later",
    Level.HIGH: "no new mail",
}
