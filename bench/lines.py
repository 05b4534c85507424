"""One line of the table: a figure, round by round, of Gatepost and of what it is compared with, and what to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.measures import Spread, ratios, spread_of


@dataclass(frozen=True, slots=True)
class Goal:
    """What issue 4 wants. against: the name of a peer, whose ratio is meant; "" for the figure itself."""

    against: str
    value: float
    at_most: bool = False

    def is_reached(self, line: Line) -> bool | None:
        """By the median; None when there is nothing to compare with."""
        found = line.ratio_to(self.against) if self.against else line.ours_spread
        if found is None:
            return None
        return found.median <= self.value if self.at_most else found.median >= self.value

    def told(self, line: Line) -> str:
        """As in "at least 4 x Postfix: no"."""
        reached = self.is_reached(line)
        answer = "not measured" if reached is None else "yes" if reached else "no"
        bound = "at most" if self.at_most else "at least"
        return f"{bound} {self.value:g}{f' x {self.against}' if self.against else ''}: {answer}"


@dataclass(frozen=True, slots=True)
class Line:
    """title: with the unit. form: of Gatepost's figures. others: name -> its rounds, in the order of ours."""

    title: str
    form: str
    ours: Sequence[float]
    others: Mapping[str, Sequence[float]] = field(default_factory=dict)
    goals: tuple[Goal, ...] = ()

    @property
    def ours_spread(self) -> Spread | None:
        """None when Gatepost was not measured."""
        return spread_of(self.ours) if self.ours else None

    def ratio_to(self, other: str) -> Spread | None:
        """Gatepost's figure divided by the other's, round by round; None where one was not measured.

        A round that was too short for the other's clock (CPU time is counted in hundredths) is left out.
        """
        theirs = self.others.get(other, ())
        pairs = [(one, its) for one, its in zip(self.ours, theirs, strict=False) if its]
        return ratios([one for one, _ in pairs], [its for _, its in pairs]) if pairs else None
