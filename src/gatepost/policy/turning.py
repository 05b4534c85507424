"""The smallest change that would have turned an outcome, as far as it can be told soundly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gatepost.model.verdict import Action
from gatepost.policy.dossier import DecisionRecord, ScaleRecord, VerdictRecord
from gatepost.policy.folding import NEVER, level_of

_DONE: Final = {
    Action.PASS: "accepted",
    Action.TAG: "tagged",
    Action.QUARANTINE: "quarantined",
    Action.DISCARD: "discarded",
    Action.DEFER: "deferred",
    Action.REJECT: "refused",
}


def what_would_turn(
    decision: DecisionRecord, verdicts: Sequence[VerdictRecord], scale: ScaleRecord
) -> tuple[str, ...]:
    """Lines for one recipient: what would have to be different, and what would have happened then.

    verdicts: every recorded opinion about this recipient. The answer holds for what was asked: after
    a refusal of a command, the stages behind it never spoke.
    """
    action = decision.action
    if action == Action.PASS:
        return tuple(_what_would_worsen(verdicts, scale))
    objecting = [verdict for verdict in verdicts if verdict.action == action]
    lines = [*_without_score(verdicts, scale, action)] if _score_asks_for(verdicts, scale, action) else []
    lines += [_without_agent(verdict) for verdict in objecting]
    if not lines:
        return ()
    together = " (all of these together)" if len(lines) > 1 else ""
    return (
        f"would have been {_then(verdicts, scale, action)} if{together}",
        *(f"  {line}" for line in lines),
    )


def _then(verdicts: Sequence[VerdictRecord], scale: ScaleRecord, action: int) -> str:
    """What it would have come to. A turned agent may or may not still find what it found: both are weighed."""
    rest = [verdict for verdict in verdicts if verdict.action != action]
    outcomes = {_strongest(rest, counted, scale, below=action) for counted in (verdicts, rest)}
    return " or ".join(_DONE[outcome] for outcome in sorted(outcomes))


def _without_agent(verdict: VerdictRecord) -> str:
    return verdict.unless or f"{verdict.agent} had not objected"


def _without_score(verdicts: Sequence[VerdictRecord], scale: ScaleRecord, action: int) -> Iterator[str]:
    """The threshold that was reached, from both sides."""
    total = _points(verdicts)
    name, at = _threshold_of(action, scale)
    names = ", ".join(dict.fromkeys(name for verdict in verdicts for name, _ in verdict.findings))
    more_than = total - at
    amount = f"more than {more_than:g} points less" if more_than > 0 else "any less"
    yield (
        f"the findings ({names or 'none'}) were worth {amount} in policy.points, "
        f"or policy.{name} were above {_level(verdicts)}"
    )


def _what_would_worsen(verdicts: Sequence[VerdictRecord], scale: ScaleRecord) -> Iterator[str]:
    total = _points(verdicts)
    if scale.exempt or not any(verdict.findings for verdict in verdicts):
        return
    nearest = min(((at, action) for at, action in _thresholds(scale) if at < NEVER), default=None)
    if nearest is not None:
        at, action = nearest
        yield f"would have been {_DONE[action]} with {at - total:g} points more"


def _strongest(
    rest: Sequence[VerdictRecord], counted: Sequence[VerdictRecord], scale: ScaleRecord, *, below: int
) -> Action:
    """What the remaining opinions and the thresholds below an action come to."""
    spoken = [verdict.action for verdict in rest if verdict.action < below]
    spoken += [action for at, action in _thresholds(scale) if action < below and _level(counted) >= at]
    return Action(max(spoken, default=Action.PASS))


def _score_asks_for(verdicts: Sequence[VerdictRecord], scale: ScaleRecord, action: int) -> bool:
    reached = [asked for at, asked in _thresholds(scale) if _level(verdicts) >= at]
    return max(reached, default=Action.PASS) == action


def _thresholds(scale: ScaleRecord) -> tuple[tuple[int, Action], ...]:
    if scale.exempt:
        return ()
    return (
        (scale.tag_at, Action.TAG),
        (scale.quarantine_at, Action.QUARANTINE),
        (scale.reject_at, Action.REJECT),
    )


def _threshold_of(action: int, scale: ScaleRecord) -> tuple[str, int]:
    if action == Action.REJECT:
        return "reject-at", scale.reject_at
    if action == Action.QUARANTINE:
        return "quarantine-at", scale.quarantine_at
    return "tag-at", scale.tag_at


def _points(verdicts: Sequence[VerdictRecord]) -> float:
    return sum(points for verdict in verdicts for _, points in verdict.findings)


def _level(verdicts: Sequence[VerdictRecord]) -> int:
    return level_of(points for verdict in verdicts for _, points in verdict.findings)
