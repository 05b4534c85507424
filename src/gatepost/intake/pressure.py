"""Back pressure: readings of resources in, a level out; what a level means for a client (threats G10, G18).

A pure machine with hysteresis: a level rises after some readings in a row beyond its mark, and
falls when the mark below is reached again. The worst resource decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gatepost.config.back_pressure_settings import BackPressure
from gatepost.intake.limit_hit import LimitHit
from gatepost.model.reply import Reply
from gatepost.ports.resources import Resource

FIRST_DELAY_S: Final = 10.0
DELAY_STEP_S: Final = 5.0
DELAY_LIMIT_S: Final = 55.0
"""As Exchange delays MAIL before it refuses it."""
SCARCE: Final = frozenset({Resource.DISK, Resource.INODES})
"""Resources of which the readings tell what is left."""
_MEMORIES: Final = frozenset({Resource.MEMORY, Resource.SYSTEM_MEMORY})


class Level(IntEnum):
    """NORMAL: all mail is taken. MEDIUM: strangers wait, or are refused. HIGH: no new mail."""

    NORMAL = 0
    MEDIUM = 1
    HIGH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Where the levels of a resource begin and end. scarce: the less there is the worse, as with free octets."""

    normal: float
    medium: float
    high: float
    readings: int = 1
    delay_for_s: float = 0.0
    scarce: bool = False

    def beyond(self, value: float) -> Level:
        """The level of a reading without any history."""
        sign = -1 if self.scarce else 1
        if sign * value > sign * self.high:
            return Level.HIGH
        return Level.MEDIUM if sign * value > sign * self.medium else Level.NORMAL

    def is_back_to_normal(self, value: float) -> bool:
        """Enough is there again."""
        return value >= self.normal if self.scarce else value <= self.normal

    def mark_of(self, level: Level) -> float:
        """What a reading has to pass to raise the level, or for NORMAL to reach again."""
        return (self.normal, self.medium, self.high)[level]


@dataclass(frozen=True, slots=True)
class Gauge:
    """One resource: its level, the last reading, and how many in a row were beyond the marks."""

    level: Level = Level.NORMAL
    value: float = 0.0
    beyond_medium: int = 0
    beyond_high: int = 0
    medium_since: float = 0.0
    """Monotonic seconds when the level became medium."""

    def after(self, value: float, marks: Marks, now: float) -> Gauge:
        """The gauge with one more reading. now: monotonic seconds."""
        beyond = marks.beyond(value)
        medium = self.beyond_medium + 1 if beyond >= Level.MEDIUM else 0
        high = self.beyond_high + 1 if beyond is Level.HIGH else 0
        level = self.level
        if high >= marks.readings:
            level = Level.HIGH
        elif (level is Level.HIGH and beyond is Level.NORMAL) or (
            level is Level.NORMAL and medium >= marks.readings
        ):
            level = Level.MEDIUM
        if level is Level.MEDIUM and marks.is_back_to_normal(value):
            level = Level.NORMAL
        since = now if level is Level.MEDIUM and self.level is not Level.MEDIUM else self.medium_since
        return Gauge(level, value, medium, high, since)


@dataclass(frozen=True, slots=True)
class Change:
    """A resource whose level changed. mark: what the reading passed or reached."""

    resource: Resource
    before: Level
    after: Level
    value: float
    mark: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One resource as it is shown to people."""

    resource: Resource
    level: Level
    value: float
    marks: Marks


class Pressure:
    """The levels of one worker. Read by every session, fed at an interval. marks: of the resources that are watched."""

    def __init__(self, marks: Mapping[Resource, Marks]) -> None:
        self._marks = marks
        self._gauges = {resource: Gauge() for resource in marks}
        self._seen: set[Resource] = set()
        self.level = Level.NORMAL
        self.lacks_memory = False
        """The level of the memory is high: sessions under way must not grow either."""
        self.delay_s = 0.0
        """How long MAIL of a stranger waits; 0 at medium: it is refused."""

    def feed(self, readings: Mapping[Resource, float], now: float) -> Sequence[Change]:
        """New readings. Returns whose level changed. A resource without a reading keeps its level."""
        changes = []
        for resource, marks in self._marks.items():
            if resource not in readings:
                continue
            self._seen.add(resource)
            before = self._gauges[resource]
            after = self._gauges[resource] = before.after(readings[resource], marks, now)
            if after.level is not before.level:
                mark = marks.mark_of(after.level)
                changes.append(Change(resource, before.level, after.level, after.value, mark))
        self.level = max((gauge.level for gauge in self._gauges.values()), default=Level.NORMAL)
        self.lacks_memory = any(
            resource in _MEMORIES and gauge.level is Level.HIGH for resource, gauge in self._gauges.items()
        )
        self.delay_s = self._delay_s(now)
        return changes

    def refuses(self, *, spared: bool) -> bool:
        """No mail of this client for now. spared: it is known to us."""
        if self.level is Level.HIGH:
            return True
        return self.level is Level.MEDIUM and not spared and not self.delay_s

    def hit(self, reply: Reply) -> LimitHit:
        """Why a client is refused: the worst resource, its mark and its reading."""
        worst = max(self._gauges, key=lambda resource: self._gauges[resource].level)
        gauge = self._gauges[worst]
        return LimitHit(
            f"back-pressure.{worst.value}", self._marks[worst].mark_of(gauge.level), gauge.value, reply
        )

    def readings(self) -> tuple[Reading, ...]:
        """Every resource that was looked at."""
        return tuple(
            Reading(resource, gauge.level, gauge.value, self._marks[resource])
            for resource, gauge in self._gauges.items()
            if resource in self._seen
        )

    def _delay_s(self, now: float) -> float:
        """The shortest delay of the resources at medium: one that has no patience left has none."""
        if self.level is not Level.MEDIUM:
            return 0.0
        delays = []
        for resource, gauge in self._gauges.items():
            if gauge.level is Level.MEDIUM:
                marks = self._marks[resource]
                steps = max(0, gauge.beyond_medium - marks.readings)
                delay_s = min(FIRST_DELAY_S + DELAY_STEP_S * steps, DELAY_LIMIT_S)
                delays.append(delay_s if now < gauge.medium_since + marks.delay_for_s else 0.0)
        return min(delays, default=0.0)


def marks_of(settings: BackPressure) -> dict[Resource, Marks]:
    """The marks of the resources that are to be watched."""
    disk, inodes, lag = settings.disk, settings.inodes, settings.loop_lag
    memory, system, queue = settings.memory, settings.system_memory, settings.queue
    marks = (
        (Resource.DISK, disk, (disk.normal_bytes, disk.medium_bytes, disk.high_bytes)),
        (Resource.INODES, inodes, (inodes.normal, inodes.medium, inodes.high)),
        (Resource.MEMORY, memory, (memory.normal, memory.medium, memory.high)),
        (Resource.SYSTEM_MEMORY, system, (system.normal, system.medium, system.high)),
        (Resource.QUEUE, queue, (queue.normal, queue.medium, queue.high)),
        (Resource.LOOP_LAG, lag, (lag.normal_s, lag.medium_s, lag.high_s)),
    )
    return {
        resource: Marks(
            normal=normal,
            medium=medium,
            high=high,
            readings=table.readings,
            delay_for_s=table.delay_for_s,
            scarce=resource in SCARCE,
        )
        for resource, table, (normal, medium, high) in marks
        if resource.value in settings.watch
    }
