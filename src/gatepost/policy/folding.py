"""How opinions become one disposition, and dispositions one reply: the only place where agents meet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gatepost.config.settings import Policy
from gatepost.model.envelope import Recipient
from gatepost.model.reply import Reply
from gatepost.model.verdict import (
    PASSED,
    Action,
    AddHeader,
    DelayReply,
    Disposition,
    Edit,
    Effect,
    Finding,
    HangUp,
    Verdict,
)

# Reading a member off its enum class is slow on Python 3.11; these are read for every mail.
_PASS: Final = Action.PASS
_TAG: Final = Action.TAG
_QUARANTINE: Final = Action.QUARANTINE
_DEFER: Final = Action.DEFER
_REJECT: Final = Action.REJECT
SCORE: Final = "score"
EXEMPT_SCL: Final = -1
HIGHEST_SCL: Final = 9
NEVER: Final = 10
SPAM_REFUSED: Final = Reply(550, "5.7.1", "Message rejected as spam")
HEADER_FINDINGS_LIMIT: Final = 20
POINTS_LIMIT: Final = 1e6  # of one finding, either way: sums stay exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What findings cost, and from which level on something happens. 10 is never."""

    points: Mapping[str, float] = field(default_factory=dict)
    tag_at: int = NEVER
    quarantine_at: int = NEVER
    reject_at: int = NEVER
    exempt: bool = False
    """The client bypasses the filters: no level at all."""

    @classmethod
    def of(cls, policy: Policy) -> Scale:
        """As [policy] says."""
        return cls(
            points=dict(policy.points),
            tag_at=policy.tag_at,
            quarantine_at=policy.quarantine_at,
            reject_at=policy.reject_at,
        )

    @property
    def speaks_of_nothing(self) -> bool:
        """A mail nobody found anything about still gets a disposition of its own."""
        return self.exempt or 0 in (self.tag_at, self.quarantine_at, self.reject_at)

    def worth(self, finding: Finding) -> float:
        """Points: the settings', else the finding's own."""
        return self.points.get(finding.name, finding.points)


def scl_of(verdicts: Iterable[Verdict], scale: Scale) -> int:
    """The spam confidence level of all findings: a level a point, within 0-9; -1 when exempt.

    The sum does not depend on the order of the findings.
    """
    if scale.exempt:
        return EXEMPT_SCL
    return level_of([scale.worth(found) for verdict in verdicts for found in verdict.findings])


def level_of(points: Iterable[float]) -> int:
    """Points as a level 0-9, in any order the same. What is no number counts for nothing."""
    points = tuple(points)
    if not points:
        return 0
    total = math.fsum(max(-POINTS_LIMIT, min(POINTS_LIMIT, one)) for one in points if math.isfinite(one))
    return int(max(0.0, min(float(HIGHEST_SCL), total)))


def decide(verdicts: Sequence[Verdict], scale: Scale, *, answered: int = 0) -> Disposition:
    """Fold all opinions about one command, or about one recipient, into one disposition.

    answered: so many of them, the first, were about earlier commands: their delays are over, and who should have
    been hung up on was.

    The score speaks first, then the agents in the order they were asked. The strongest
    action wins; of equals, the one that spoke first. Edits and effects of all are kept,
    each once; of several delays the longest.
    """
    if not scale.speaks_of_nothing:
        if not verdicts:
            return PASSED
        if len(verdicts) == 1 and _only_edits(verdicts[0]):  # nearly every mail: a trace field of ours
            return Disposition(
                reason=verdicts[0].reason, edits=_once(verdicts[0].edits), verdicts=tuple(verdicts)
            )
    scl = scl_of(verdicts, scale)
    winner = _score_opinion(scl, scale)
    for verdict in verdicts:
        if winner is None or verdict.action > winner.action:
            winner = verdict
    objected = winner is not None and winner.action is not _PASS
    return Disposition(
        action=winner.action if winner is not None else _PASS,
        scl=scl,
        decided_by=winner.agent if winner is not None and objected else "",
        reason=winner.reason if winner is not None else "",
        reply=winner.reply if winner is not None else None,
        edits=_once([edit for verdict in verdicts for edit in verdict.edits]),
        effects=_effects(verdicts, answered),
        verdicts=tuple(verdicts),
    )


def _only_edits(verdict: Verdict) -> bool:
    """It neither objects nor found anything: no scale changes what comes of it."""
    return verdict.action is _PASS and not verdict.findings and not verdict.effects


def stamped(disposition: Disposition, scale: Scale) -> Disposition:
    """With X-Gatepost-SCL and X-Gatepost-Findings, for mail that was scored or tagged and goes on."""
    findings = [found for verdict in disposition.verdicts for found in verdict.findings]
    if not findings and disposition.action is _PASS:
        return disposition
    goes_on = disposition.action in (_PASS, _TAG, _QUARANTINE)
    if not goes_on or scale.exempt or not (findings or disposition.action is _TAG):
        return disposition
    return _with_edits(disposition, (*_marks(disposition, findings), *disposition.edits))


def _marks(disposition: Disposition, findings: Sequence[Finding]) -> tuple[Edit, ...]:
    spam = " (spam)" if disposition.action is _TAG else ""
    names = list(dict.fromkeys(found.name for found in findings))
    shown = ", ".join(names[:HEADER_FINDINGS_LIMIT]) + (", ..." if len(names) > HEADER_FINDINGS_LIMIT else "")
    level = AddHeader("X-Gatepost-SCL", f"{disposition.scl}{spam}")
    return (level, AddHeader("X-Gatepost-Findings", shown)) if names else (level,)


def _with_edits(disposition: Disposition, edits: tuple[Edit, ...]) -> Disposition:
    return Disposition(
        action=disposition.action,
        scl=disposition.scl,
        decided_by=disposition.decided_by,
        reason=disposition.reason,
        reply=disposition.reply,
        edits=edits,
        effects=disposition.effects,
        verdicts=disposition.verdicts,
    )


def _score_opinion(scl: int, scale: Scale) -> Verdict | None:
    """What the level alone asks for; None when it asks for nothing."""
    if scl >= scale.reject_at:
        return Verdict.reject(SCORE, SPAM_REFUSED, f"SCL {scl}, refused from {scale.reject_at}")
    if scl >= scale.quarantine_at:
        return _level(_QUARANTINE, f"SCL {scl}, quarantined from {scale.quarantine_at}")
    if scl >= scale.tag_at:
        return _level(_TAG, f"SCL {scl}, tagged from {scale.tag_at}")
    return None


def _level(action: Action, reason: str) -> Verdict:
    return Verdict(agent=SCORE, action=action, reason=reason)


def _once(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    return tuple(dict.fromkeys(edits)) if edits else ()


def _effects(verdicts: Sequence[Verdict], answered: int) -> tuple[Effect, ...]:
    effects = [effect for verdict in verdicts for effect in verdict.effects]
    if not effects:
        return ()
    due = [effect for verdict in verdicts[answered:] for effect in verdict.effects]
    delay_s = max((effect.delay_s for effect in due if isinstance(effect, DelayReply)), default=0.0)
    delay: tuple[Effect, ...] = (DelayReply(delay_s),) if delay_s > 0 else ()
    hang_up: tuple[Effect, ...] = (HangUp(),) if HangUp() in due else ()
    others = (effect for effect in effects if not isinstance(effect, DelayReply | HangUp))
    return (*delay, *hang_up, *dict.fromkeys(others))


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is to happen to one recipient's copy."""

    recipient: Recipient
    disposition: Disposition


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Recipients whose copies are alike: they share one mail in the store."""

    action: Action
    scl: int
    edits: tuple[Edit, ...]
    decisions: tuple[Decision, ...]

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """In the order of the envelope."""
        return tuple(decision.recipient for decision in self.decisions)


class MailOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the one reply to the end of data is, and what is taken for it.

    refusal: the reply when nothing is taken; None: the mail is accepted, and answered 250 once it is durable.
    groups:  what is taken (PASS, TAG), kept for a person (QUARANTINE) or dropped on record (DISCARD).
    to_tell: recipients that were refused while others were accepted, and whose sender is to get a notice.
    effects: of all decisions.
    """

    refusal: Disposition | None = None
    groups: tuple[Group, ...] = ()
    to_tell: tuple[Decision, ...] = ()
    effects: tuple[Effect, ...] = ()


def outcome(decisions: Sequence[Decision], *, may_be_told: bool) -> MailOutcome:
    """One reply for all recipients (RFC 5321 §4.2.5: the last dot is answered once).

    All refused: the refusal of the first. Any deferred: the whole is deferred and nothing is
    taken, so that the client's next attempt makes no duplicates. Some refused, others not:
    the refused ones' sender gets a notice when it is known to be who it says, else their copy is
    quarantined (RFC 5321 §6.2, threats I10). Raises ValueError without decisions.
    """
    if not decisions:
        raise ValueError("a mail has recipients")
    first = decisions[0].disposition
    if first.action < _DEFER and _are_alike(decisions):  # nearly every mail
        return MailOutcome(groups=_grouped(decisions), effects=first.effects)
    effects = _all_effects(decisions)
    deferred = next((d for d in decisions if d.disposition.action is _DEFER), None)
    if deferred is not None:
        return MailOutcome(refusal=deferred.disposition, effects=effects)
    refused = tuple(d for d in decisions if d.disposition.action is _REJECT)
    if len(refused) == len(decisions):
        return MailOutcome(refusal=refused[0].disposition, effects=effects)
    if refused and not may_be_told:
        return MailOutcome(groups=_grouped([_kept_back(d) for d in decisions]), effects=effects)
    taken = [d for d in decisions if d.disposition.action is not _REJECT]
    return MailOutcome(groups=_grouped(taken), to_tell=refused, effects=effects)


def _kept_back(decision: Decision) -> Decision:
    """A refusal that can be told to nobody: the copy waits for a person instead."""
    said = decision.disposition
    if said.action is not _REJECT:
        return decision
    kept = Disposition(
        action=_QUARANTINE,
        scl=said.scl,
        decided_by=said.decided_by,
        reason=f"refused, but other recipients were accepted: {said.reason}",
        edits=said.edits,
        verdicts=said.verdicts,
    )
    return Decision(recipient=decision.recipient, disposition=kept)


def _are_alike(decisions: Sequence[Decision]) -> bool:
    first = decisions[0].disposition
    return len(decisions) == 1 or all(decision.disposition is first for decision in decisions)


def _grouped(decisions: Sequence[Decision]) -> tuple[Group, ...]:
    first = decisions[0].disposition
    if _are_alike(decisions):
        return (Group(action=first.action, scl=first.scl, edits=first.edits, decisions=tuple(decisions)),)
    groups: dict[tuple[Action, int, tuple[Edit, ...]], list[Decision]] = {}
    for decision in decisions:
        said = decision.disposition
        groups.setdefault((said.action, said.scl, said.edits), []).append(decision)
    return tuple(
        Group(action=action, scl=scl, edits=edits, decisions=tuple(members))
        for (action, scl, edits), members in groups.items()
    )


def _all_effects(decisions: Sequence[Decision]) -> tuple[Effect, ...]:
    return tuple(dict.fromkeys(effect for d in decisions for effect in d.disposition.effects))
