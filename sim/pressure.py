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
        self._by_resource = dict.fromkeys(_PLENTY, NORMAL)
        self._levels = [(0.0, NORMAL)]

    def read(self) -> Mapping[Resource, float]:
        """As Resources."""
        return self._readings

    def set(self, step: Step) -> None:
        """From now on; not looked at yet."""
        resource, value = step
        self._readings[resource] = value
        self._levels.append((self._now(), UNSURE))

    def begin(self) -> None:
        """A life that has not looked yet."""
        self._by_resource = dict.fromkeys(_PLENTY, NORMAL)
        self._levels.append((self._now(), UNSURE))

    def looked(self) -> None:
        """It has."""
        for resource, before in self._by_resource.items():
            self._by_resource[resource] = level_after(before, resource, self._readings[resource])
        worst = max(self._by_resource.values(), key=(NORMAL, MEDIUM, HIGH).index)
        self._levels.append((self._now(), worst))

    def since(self, at: float) -> frozenset[str]:
        """Every level from then on."""
        first = max(n for n, (since, _) in enumerate(self._levels) if since <= at)
        return frozenset(level for _, level in self._levels[first:])
