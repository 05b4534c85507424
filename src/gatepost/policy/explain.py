"""Why a mail came to what it came to: a dossier as a tree, and the tree as text for `gatepost explain`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import msgspec

from gatepost.model.address import Address
from gatepost.model.known import Unknown
from gatepost.model.verdict import Action, Stage
from gatepost.policy.dossier import (
    DecisionRecord,
    Dossier,
    OpaqueFact,
    ScaleRecord,
    VerdictRecord,
    decode_fact,
    read_dossier,
)
from gatepost.policy.folding import EXEMPT_SCL
from gatepost.policy.turning import what_would_turn

VALUE_LIMIT_CHARS: Final = 500
_STAGES: Final = {stage.value: number for number, stage in enumerate(Stage)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FactShown:
    """A fact and all its values, as text."""

    name: str
    recipient: str = ""
    values: tuple[tuple[str, str], ...] = ()
    unknown: str = ""
    """Why it could not be found out; "" when it could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """One agent's verdict. An agent that passed in silence has nothing but its name."""

    agent: str
    action: str = "pass"
    recipient: str = ""
    recipients: tuple[str, ...] = ()
    """Whom it is about; () means everybody."""
    reason: str = ""
    reply: str = ""
    findings: tuple[tuple[str, float], ...] = ()
    unless: str = ""
    facts: tuple[FactShown, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StageShown:
    """What was said at one stage."""

    stage: str
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientOutcome:
    """What one recipient's copy came to, and what would have turned it."""

    recipient: str
    action: str
    scl: int
    decided_by: str = ""
    reason: str = ""
    reply: str = ""
    points: float = 0.0
    turn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The whole tree. Text that came from the peer has no control characters."""

    at: float
    revision: str
    connector: str
    client_ip: str
    helo: str
    user: str
    sender: str | None
    """None: it never came to MAIL."""
    session_id: str
    thresholds: tuple[tuple[str, int], ...]
    outcomes: tuple[RecipientOutcome, ...]
    stages: tuple[StageShown, ...]
    not_asked: tuple[tuple[str, str], ...]
    facts: tuple[FactShown, ...]

    def as_json(self) -> bytes:
        """One JSON object, keys as the names of the fields."""
        return msgspec.json.encode(self)

    def lines(self) -> tuple[str, ...]:
        """For a terminal."""
        return tuple(_lines(self))


def explain(data: bytes, types: Mapping[str, type[Any]]) -> Explanation:
    """A dossier as a tree.

    types: fact types by name (policy.order.fact_types). Raises ValueError for bytes that are no dossier.
    """
    dossier = read_dossier(data)
    facts = tuple(_fact(name, recipient, values, types) for name, recipient, values in dossier.facts)
    origin = dossier.origin
    return Explanation(
        at=dossier.at,
        revision=dossier.revision,
        connector=origin.connector,
        client_ip=origin.client_ip,
        helo=_clean(origin.helo),
        user=_clean(origin.user),
        sender=None if origin.sender is None else _clean(origin.sender),
        session_id=origin.session_id,
        thresholds=_thresholds(dossier.scale),
        outcomes=tuple(_outcomes(dossier)),
        stages=tuple(_stages(dossier, facts)),
        not_asked=dossier.skipped,
        facts=facts,
    )


def _thresholds(scale: ScaleRecord) -> tuple[tuple[str, int], ...]:
    if scale.exempt:
        return ()
    return (
        ("tag-at", scale.tag_at),
        ("quarantine-at", scale.quarantine_at),
        ("reject-at", scale.reject_at),
    )


def _outcomes(dossier: Dossier) -> Iterator[RecipientOutcome]:
    for decision in (*dossier.decisions, *_refusals(dossier)):
        about = tuple(v for v in dossier.verdicts if _is_about(v, decision.recipient))
        yield RecipientOutcome(
            recipient=_clean(decision.recipient),
            action=_action(decision.action),
            scl=decision.scl,
            decided_by=decision.decided_by,
            reason=_clean(decision.reason),
            reply=_clean(decision.reply),
            points=sum(points for verdict in about for _, points in verdict.findings),
            turn=tuple(_clean(line) for line in what_would_turn(decision, about, dossier.scale)),
        )


def _refusals(dossier: Dossier) -> Iterable[DecisionRecord]:
    """Commands that were refused: an outcome each, unless the mail went on for that recipient."""
    decided = {decision.recipient for decision in dossier.decisions}
    if decided:
        decided.add("")  # what was said of the whole mail is in its decisions
    scl = EXEMPT_SCL if dossier.scale.exempt else 0
    strongest: dict[str, VerdictRecord] = {}
    for verdict in dossier.verdicts:
        before = strongest.get(verdict.recipient)
        refuses = verdict.action >= Action.DEFER and verdict.recipient not in decided
        if refuses and (before is None or verdict.action > before.action):
            strongest[verdict.recipient] = verdict
    return tuple(
        DecisionRecord(v.recipient, v.action, scl, v.agent, v.reason, v.reply) for v in strongest.values()
    )


def _is_about(verdict: VerdictRecord, recipient: str) -> bool:
    if verdict.recipient not in ("", recipient):
        return False
    return verdict.recipients is None or recipient in verdict.recipients


def _stages(dossier: Dossier, facts: Sequence[FactShown]) -> Iterator[StageShown]:
    asked = sorted(dossier.asked, key=lambda entry: _STAGES.get(entry[0], len(_STAGES)))
    for stage, names in asked:
        said = [verdict for verdict in dossier.verdicts if verdict.stage == stage]
        loud = {verdict.agent for verdict in said}
        silent = tuple(Opinion(agent=name) for name in names if name not in loud)
        yield StageShown(stage=stage, opinions=(*silent, *(_opinion(verdict, facts) for verdict in said)))


def _opinion(verdict: VerdictRecord, facts: Sequence[FactShown]) -> Opinion:
    return Opinion(
        agent=verdict.agent,
        action=_action(verdict.action),
        recipient=_clean(verdict.recipient),
        recipients=tuple(_clean(address) for address in verdict.recipients or ()),
        reason=_clean(verdict.reason),
        reply=_clean(verdict.reply),
        findings=verdict.findings,
        unless=_clean(verdict.unless),
        facts=tuple(facts[position] for position in verdict.facts if position < len(facts)),
    )


def _action(number: int) -> str:
    try:
        return Action(number).name.lower()
    except ValueError:
        return f"action {number}"


def _fact(name: str, recipient: str, values: msgspec.Raw, types: Mapping[str, type[Any]]) -> FactShown:
    fact = decode_fact(name, values, types)
    if isinstance(fact, Unknown):
        return FactShown(name=fact.fact, recipient=_clean(recipient), unknown=_clean(fact.reason))
    return FactShown(name=name, recipient=_clean(recipient), values=tuple(_values(fact)))


def _values(fact: Any) -> Iterator[tuple[str, str]]:
    if isinstance(fact, OpaqueFact):
        values = fact.values if isinstance(fact.values, dict) else {"": fact.values}
        yield from ((_clean(str(name)), _shown(value)) for name, value in values.items())
        return
    for name in _field_names(fact):
        yield name.replace("_", "-"), _shown(getattr(fact, name))


def _field_names(value: Any) -> tuple[str, ...]:
    """Of a fact, or of a value inside one: a dataclass or a msgspec struct."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    return tuple(field.name for field in fields(value))


def _shown(value: Any) -> str:
    """A value as an administrator reads it."""
    if value is None or value == () or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Address):
        return _clean(str(value))
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, (tuple, list)):
        return _clean(", ".join(_shown(item) for item in value))
    if isinstance(value, msgspec.Struct) or (is_dataclass(value) and not isinstance(value, type)):
        return _clean("; ".join(f"{name} {text}" for name, text in _values(value)))
    return _clean(str(value))


def _clean(text: str) -> str:
    """Nothing that a terminal would act on (threats S01)."""
    cut = text if len(text) <= VALUE_LIMIT_CHARS else text[: VALUE_LIMIT_CHARS - 3] + "..."
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)


def _lines(tree: Explanation) -> Iterator[str]:
    yield f"{_when(tree.at)}, connector {tree.connector}, configuration {tree.revision}, session {tree.session_id}"
    user = f", user {tree.user}" if tree.user else ""
    sender = "" if tree.sender is None else f", sender <{tree.sender}>"
    yield f"client {tree.client_ip}, HELO {tree.helo or '(none)'}{user}{sender}"
    yield ""
    yield "outcome"
    for outcome in tree.outcomes:
        yield from _outcome_lines(outcome)
    if not tree.outcomes:
        yield "  nobody objected"
    yield ""
    yield "opinions"
    for stage in tree.stages:
        yield from _stage_lines(stage)
    yield from (f"  not asked: {agent}: {why}" for agent, why in tree.not_asked)
    yield ""
    yield "facts"
    yield from (f"  {_fact_line(fact)}" for fact in tree.facts)
    if tree.thresholds:
        yield ""
        shown = ", ".join(f"{name} {'never' if at > 9 else at}" for name, at in tree.thresholds)
        yield f"thresholds: {shown}"


def _when(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"  # a damaged dossier is still worth reading


def _points(points: float) -> str:
    return "1 point" if points == 1 else f"{points:g} points"


def _outcome_lines(outcome: RecipientOutcome) -> Iterator[str]:
    scl = "" if outcome.scl == EXEMPT_SCL else f", SCL {outcome.scl} ({_points(outcome.points)})"
    by = f", decided by {outcome.decided_by}" if outcome.decided_by else ""
    yield f"  {outcome.recipient or '(the command)'}: {outcome.action}{scl}{by}"
    if outcome.reason:
        yield f"    because {outcome.reason}"
    if outcome.reply:
        yield f"    answered {outcome.reply}"
    yield from (f"    {line}" for line in outcome.turn)


def _stage_lines(stage: StageShown) -> Iterator[str]:
    silent = [opinion.agent for opinion in stage.opinions if opinion == Opinion(agent=opinion.agent)]
    if silent:
        yield f"  {stage.stage}: {', '.join(silent)}: pass"
    for opinion in stage.opinions:
        if opinion.agent not in silent:
            yield from _opinion_lines(stage.stage, opinion)


def _opinion_lines(stage: str, opinion: Opinion) -> Iterator[str]:
    about = opinion.recipient or ", ".join(opinion.recipients)
    reason = f", {opinion.reason}" if opinion.reason else ""
    yield f"  {stage}: {opinion.agent}: {opinion.action}{f' for {about}' if about else ''}{reason}"
    yield from (f"    found {name} ({_points(points)})" for name, points in opinion.findings)
    yield from (f"    stands on {_fact_line(fact)}" for fact in opinion.facts)


def _fact_line(fact: FactShown) -> str:
    about = f" of {fact.recipient}" if fact.recipient else ""
    if fact.unknown:
        return f"{fact.name}{about}: unknown, {fact.unknown}"
    return f"{fact.name}{about}: " + "; ".join(_pairs(fact.values))


def _pairs(values: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"{name} {text}" if name else text for name, text in values)
