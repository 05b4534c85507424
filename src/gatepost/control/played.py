"""What came of a mail that was only played: said on the wire, decided, kept; and whether that was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from gatepost.control.scenario import OUTCOMES, Expected
from gatepost.policy.explain import Explanation

OUTCOME_OF: Final = dict(
    zip(("pass", "tag", "quarantine", "discard", "defer", "reject"), OUTCOMES, strict=True)
)
EXIT_STATUS: Final = {
    "accepted": 0,
    "tagged": 0,
    "quarantined": 10,
    "discarded": 11,
    "deferred": 12,
    "refused": 13,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One mail that would be in the queue or the quarantine now."""

    recipients: tuple[str, ...]
    state: str
    next_hop: str
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One play, to its end."""

    name: str
    about: str
    configuration: str
    """The file, or what stands in for it."""
    way: tuple[str, ...]
    """Who had the mail, first to last, and what each did to it."""
    dialog: tuple[str, ...]
    """The last session, "C: " and "S: " lines; of the content only how much it was."""
    outcome: str
    """Of OUTCOMES: of the recipient who fares worst."""
    reply: str
    """The reply that decided: the last refusal, else the last reply."""
    results: Mapping[str, str]
    """What the checks came to, by name."""
    findings: tuple[str, ...]
    explanation: Explanation | None
    """None when nobody was asked: the session or its commands were refused before."""
    kept: tuple[Kept, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """Where it is not what the scenario expects."""

    @property
    def exit_status(self) -> int:
        """By the outcome."""
        return EXIT_STATUS[self.outcome]

    @property
    def decided_by(self) -> str:
        """The agent that decided for the recipient who fares worst; "" when nobody objected."""
        outcomes = self.explanation.outcomes if self.explanation else ()
        return next((o.decided_by for o in outcomes if OUTCOME_OF.get(o.action) == self.outcome), "")

    @property
    def reason(self) -> str:
        """Why, in a few words."""
        outcomes = self.explanation.outcomes if self.explanation else ()
        return next((o.reason for o in outcomes if OUTCOME_OF.get(o.action) == self.outcome), "")


def surprises(played: Played, expected: Expected) -> Iterator[str]:
    """Where a play is not what was expected, a sentence each."""
    if expected.outcome is not None and played.outcome != expected.outcome:
        yield f"expected to be {expected.outcome}, but it was {played.outcome}"
    if expected.at_least is not None and OUTCOMES.index(played.outcome) < OUTCOMES.index(expected.at_least):
        yield f"expected to be {expected.at_least} at least, but it was {played.outcome}"
    if expected.decided_by and played.decided_by != expected.decided_by:
        yield f"expected {expected.decided_by} to decide, but {played.decided_by or 'nobody'} did"
    if expected.reply and not played.reply.startswith(expected.reply):
        yield f"expected the reply {expected.reply}, but it was {played.reply}"
    for name in expected.findings:
        if name not in played.findings:
            yield f"expected the finding {name}, but there is {', '.join(played.findings) or 'none'}"
    for check, result in expected.results.items():
        found = played.results.get(check, "not checked")
        if found != result:
            yield f"expected {check}={result}, but it is {found}"
