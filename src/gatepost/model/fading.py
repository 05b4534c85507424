"""How what was counted fades with time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drains:
    """Counts run out evenly, so much a second, and never below nothing: what is left is the level of a bucket."""

    per_s: float

    def __post_init__(self) -> None:
        if not self.per_s > 0:
            raise ValueError("a bucket drains by more than 0 a second")


Fading = float | Drains
"""A half-life in seconds (math.inf: never), or a bucket that drains."""
