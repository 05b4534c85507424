"""What a client's addresses did lately, and the level from 0 to 9 they have earned for it, with every number why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

HIGHEST_LEVEL: Final = 9
HELO_BUCKETS: Final = 16
_PRESENT: Final = 0.25
"""A bucket of HELO names counts while so much is left of it."""


class Evidence(NamedTuple):
    """Counts that fade. Passive statistics only: what the client showed while it sent mail."""

    sessions: float = 0.0
    good: float = 0.0
    """Mails judged below the level of spam."""
    spam: float = 0.0
    recipients: float = 0.0
    """Recipients that were taken."""
    unknown: float = 0.0
    """Recipients that do not exist."""
    refused: float = 0.0
    """Recipients refused for other reasons: relay attempts, blocked senders."""
    traps: float = 0.0
    own_helo: float = 0.0
    """Sessions that greeted with a name or domain of ours."""
    false_literal: float = 0.0
    """Sessions that greeted with an address that is not theirs."""
    bare_helo: float = 0.0
    """Sessions that greeted with a name without a dot."""
    resolved: float = 0.0
    """Sessions whose reverse DNS was found out."""
    no_name: float = 0.0
    unconfirmed: float = 0.0
    """Sessions with a name that does not lead back."""
    auth_passed: float = 0.0
    """Mails whose SPF, DKIM or DMARC passed."""
    auth_failed: float = 0.0

    @property
    def mails(self) -> float:
        """Judged ones."""
        return self.good + self.spam

    @property
    def weight(self) -> float:
        """How much there is to judge by: mails, and recipients that do not exist."""
        return self.good + self.spam + self.unknown


@dataclass(frozen=True, slots=True)
class Reason:
    """One number behind a level."""

    points: float
    says: str

    def __str__(self) -> str:
        return f"{self.points:+.1f} {self.says}"


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the evidence comes to. level: 0-9; None: not enough evidence."""

    level: int | None
    reasons: tuple[Reason, ...]


class _Rule(NamedTuple):
    """From a share of `from_share` on, points grow until `most` at `full_share`."""

    most: float
    from_share: float
    full_share: float
    part: Callable[[Evidence], float]
    whole: Callable[[Evidence], float]
    says: str


_RULES: Final = (
    _Rule(7.5, 0.2, 0.95, attrgetter("spam"), attrgetter("mails"), "of {whole:.0f} mails were spam"),
    _Rule(
        5.0,
        0.1,
        0.8,
        attrgetter("unknown"),
        lambda e: e.unknown + e.recipients,
        "of {whole:.0f} recipients do not exist",
    ),
    _Rule(
        2.0,
        0.1,
        0.8,
        attrgetter("refused"),
        lambda e: e.refused + e.recipients,
        "of {whole:.0f} recipients were refused for other reasons",
    ),
    _Rule(
        3.0,
        0.0,
        0.5,
        attrgetter("own_helo"),
        attrgetter("sessions"),
        "of {whole:.0f} sessions used a name of ours",
    ),
    _Rule(
        2.0,
        0.0,
        0.5,
        attrgetter("false_literal"),
        attrgetter("sessions"),
        "of {whole:.0f} sessions greeted with somebody else's address",
    ),
    _Rule(
        1.0,
        0.0,
        0.5,
        attrgetter("bare_helo"),
        attrgetter("sessions"),
        "of {whole:.0f} sessions greeted with a name without a dot",
    ),
    _Rule(
        1.5,
        0.5,
        1.0,
        attrgetter("no_name"),
        attrgetter("resolved"),
        "of {whole:.0f} sessions had no name in reverse DNS",
    ),
    _Rule(
        0.5,
        0.5,
        1.0,
        attrgetter("unconfirmed"),
        attrgetter("resolved"),
        "of {whole:.0f} sessions had a name that does not lead back",
    ),
    _Rule(
        2.0,
        0.3,
        0.9,
        attrgetter("auth_failed"),
        lambda e: e.auth_failed + e.auth_passed,
        "of {whole:.0f} mails failed SPF, DKIM or DMARC",
    ),
    _Rule(
        -1.0,
        0.5,
        1.0,
        attrgetter("auth_passed"),
        attrgetter("mails"),
        "of {whole:.0f} mails passed SPF, DKIM or DMARC",
    ),
)
"""A rule about a share; points, from which share on, in full at which."""
_TRAP_POINTS: Final = 2.0
_TRAPS_MOST: Final = 4.0
_NAMES_FREE: Final = 3
_NAME_POINTS: Final = 0.5
_NAMES_MOST: Final = 2.0
_LEAST_SHOWN: Final = 0.05


def weigh(evidence: Evidence, helo_names: float, *, minimum: float) -> Weighed:
    """The level of so much evidence. minimum: weight below which nothing is said (Exchange: 20 messages)."""
    reasons = [*_shares(evidence), *_counted(evidence, helo_names)]
    if evidence.weight < minimum:
        return Weighed(None, tuple(reasons))
    total = sum(reason.points for reason in reasons)
    return Weighed(int(max(0.0, min(float(HIGHEST_LEVEL), total))), tuple(reasons))


def _shares(evidence: Evidence) -> list[Reason]:
    found = []
    for rule in _RULES:
        part = rule.part(evidence)
        if part <= 0:
            continue  # nearly every rule, for nearly every client
        whole = rule.whole(evidence)
        share = part / whole if whole > 0 else 0.0
        reach = (share - rule.from_share) / (rule.full_share - rule.from_share)
        points = rule.most * max(0.0, min(1.0, reach))
        if abs(points) >= _LEAST_SHOWN:
            found.append(Reason(points, f"{share:.0%} {rule.says.format(whole=whole)}"))
    return found


def _counted(evidence: Evidence, helo_names: float) -> list[Reason]:
    found = []
    traps = min(_TRAPS_MOST, evidence.traps * _TRAP_POINTS)
    if traps >= _LEAST_SHOWN:
        found.append(Reason(traps, f"{evidence.traps:.1f} attempts at trap recipients"))
    names = min(_NAMES_MOST, max(0.0, helo_names - _NAMES_FREE) * _NAME_POINTS)
    if names >= _LEAST_SHOWN:
        found.append(Reason(names, f"{helo_names:.0f} different names in greetings"))
    return found


def names_in(buckets: tuple[float, ...]) -> float:
    """About how many different names were counted into buckets: never more than there were."""
    return float(len([count for count in buckets if count >= _PRESENT]))
