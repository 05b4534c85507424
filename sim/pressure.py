"""Resources that become scarce and come back, and the level the gateway has to be at: worked out apart from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gatepost.ports.resources import Resource

NORMAL, MEDIUM, HIGH = "normal", "medium", "high"
MARKS: Final = {
    "memory": {"normal": 70, "medium": 75, "high": 85, "readings": 1},
    "disk": {"normal": "3GiB", "medium": "2GiB", "high": "1GiB", "readings": 1},
}
_GIB: Final = float(1 << 30)
_PLENTY: Final = {Resource.MEMORY: 20.0, Resource.DISK: 100 * _GIB}


UNSURE: Final = ""
"""The gateway is looking, or has not looked yet."""
GONE: Final = "gone"
_LIMITS: Final = {
    Resource.MEMORY: (70.0, 75.0, 85.0),
    Resource.DISK: (-3 * _GIB, -2 * _GIB, -1 * _GIB),
}
"""The marks as numbers that grow with the strain."""

Step = tuple[Resource, float]
COURSES: Final[tuple[tuple[Step, ...], ...]] = (
    tuple((Resource.MEMORY, value) for value in (80.0, 90.0, 86.0, 80.0, 72.0, 74.0, 60.0)),
    tuple((Resource.DISK, value * _GIB) for value in (0.5, 1.5, 2.5, 2.9, 4.0)),
    tuple((Resource.MEMORY, value) for value in (80.0, 72.0, 50.0)),
)


def level_after(before: str, resource: Resource, value: float) -> str:
    """What the manual says of marks: up at once, down from high below medium's mark, to normal at normal's."""
    normal, medium, high = _LIMITS[resource]
    strain = -value if resource is Resource.DISK else value
    if strain > high or (before == HIGH and strain > medium):
        return HIGH
    if strain > medium or (before != NORMAL and strain > normal):
        return MEDIUM
    return NORMAL


class Strain:
    """Keeps the promise of ports.resources.Resources, and knows which level follows."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._readings = dict(_PLENTY)
        self._by_resource = {0: dict.fromkeys(_PLENTY, NORMAL)}
        self._levels: dict[int, list[tuple[float, str]]] = {0: [(0.0, NORMAL)]}
        """Of each process; GONE: it is no more."""

    def read(self) -> Mapping[Resource, float]:
        """As Resources."""
        return self._readings

    def set(self, step: Step) -> None:
        """From now on; not looked at yet."""
        resource, value = step
        self._readings[resource] = value
        for levels in self._levels.values():
            if levels[-1][1] != GONE:
                levels.append((self._now(), UNSURE))

    def begin(self, process: int) -> None:
        """A life that has not looked yet."""
        self._by_resource[process] = dict.fromkeys(_PLENTY, NORMAL)
        self._levels.setdefault(process, [(0.0, GONE)]).append((self._now(), UNSURE))

    def looked(self, process: int) -> None:
        """It has."""
        mine = self._by_resource[process]
        for resource, before in mine.items():
            mine[resource] = level_after(before, resource, self._readings[resource])
        worst = max(mine.values(), key=(NORMAL, MEDIUM, HIGH).index)
        self._levels[process].append((self._now(), worst))

    def gone(self, process: int) -> None:
        """It takes no mail any more."""
        self._levels[process].append((self._now(), GONE))

    def since(self, at: float) -> frozenset[str]:
        """Every level that any had from then on."""
        found: set[str] = set()
        for levels in self._levels.values():
            first = max(n for n, (since, _) in enumerate(levels) if since <= at)
            found.update(level for _, level in levels[first:])
        return frozenset(found - {GONE}) or frozenset((UNSURE,))
