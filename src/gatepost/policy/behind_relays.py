"""Who is asked about mail of our own relays: whoever judges the origin waits until it is known (decision 0192)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from gatepost.facts.gathering import Gathering
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import Known, MailView, Scope, Unknown
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.policy.agent import Agent, judges_origin, silent_behind_relays, unknown_reply_of, wants_of
from gatepost.policy.panel import STAGES, Audience, Member, Panel, Spared, panels_for

NO_ORIGIN: Final = "the mail does not come from beyond our own relays"
_KNOWN_FROM: Final = STAGES.index(Stage.END_OF_HEADERS)
_EARLY: Final = STAGES[:_KNOWN_FROM]
_LATE: Final = STAGES[_KNOWN_FROM:]

Panels = tuple[Mapping[Stage, Panel], ...]
Skipped = tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BehindRelays:
    """The panels of clients that are our own relays, by Audience.

    known: once a Received field has told the origin. unknown: before that, and when none tells it.
    allowed: when the origin is known, and on an allow list.
    """

    relays: IpRanges
    known: Panels
    unknown: Panels
    allowed: Panels
    known_skipped: Skipped
    unknown_skipped: Skipped
    allowed_skipped: Skipped


class _AtEndOfHeaders:
    """An agent that judges the origin, asked at the end of the headers instead of any stage before."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.name: str = agent.name
        self.when_unknown: Action = agent.when_unknown
        self.is_filter: bool = agent.is_filter
        self.findings: tuple[Finding, ...] = agent.findings
        self.unknown_reply: Reply = unknown_reply_of(agent)
        self.needs = _moved(agent.needs)
        self.wants = _moved(wants_of(agent))

    def examine(self, mail: MailView, known: Known, /) -> Verdict:
        """The agent's own."""
        return self._agent.examine(mail, known)


def _moved(needs: Mapping[Stage, tuple[type[Any], ...]]) -> dict[Stage, tuple[type[Any], ...]]:
    moved = {stage: kinds for stage, kinds in needs.items() if stage in _LATE}
    early = [needs[stage] for stage in (*_EARLY, Stage.END_OF_HEADERS) if stage in needs]
    if early:
        moved[Stage.END_OF_HEADERS] = tuple(dict.fromkeys(chain.from_iterable(early)))
    return moved


def behind_relays(
    relays: IpRanges,
    members: Sequence[Member],
    facts: Mapping[type[Any], Gathering],
    spared: Spared | None = None,
) -> BehindRelays:
    """spared: what an origin on an allow list is spared.

    Raises ValueError when an agent that judges the origin needs a fact about one recipient.
    """
    reasons = {m.agent.name: silent_behind_relays(m.agent) for m in members}
    silent = tuple((name, reason) for name, reason in reasons.items() if reason)
    members = [member for member in members if not reasons[member.agent.name]]
    moved = [_member(member, facts) for member in members]
    others = [member for member in members if not judges_origin(member.agent)]
    without = tuple((m.agent.name, NO_ORIGIN) for m in members if judges_origin(m.agent))
    late = {kind: _from_headers(gathering) for kind, gathering in facts.items()}
    none = {kind: _without_origin(gathering) for kind, gathering in facts.items()}
    known = tuple(panels_for(moved, late, audience) for audience in Audience)
    allowed = tuple(panels_for(moved, late, audience, spared) for audience in Audience)
    unknown = tuple(
        {
            **{stage: panels[stage] for stage in _EARLY},
            **{stage: panel for stage, panel in panels_for(others, none, audience).items() if stage in _LATE},
        }
        for panels, audience in zip(known, Audience, strict=True)
    )
    return BehindRelays(
        relays=relays,
        known=known,
        unknown=unknown,
        allowed=allowed,
        known_skipped=tuple((*skipped_among(panels), *silent) for panels in known),
        unknown_skipped=tuple((*skipped_among(panels), *silent, *without) for panels in unknown),
        allowed_skipped=tuple((*skipped_among(panels), *silent) for panels in allowed),
    )


def skipped_among(panels: Mapping[Stage, Panel]) -> tuple[tuple[str, str], ...]:
    """Agents that are asked at no stage, and why; each once."""
    return tuple(dict.fromkeys(chain.from_iterable(panel.skipped for panel in panels.values())))


def _member(member: Member, facts: Mapping[type[Any], Gathering]) -> Member:
    agent = member.agent
    if not judges_origin(agent):
        return member
    for kinds in (*agent.needs.values(), *wants_of(agent).values()):
        for kind in kinds:
            if kind in facts and facts[kind].scope is Scope.RECIPIENT:
                raise ValueError(f"agent {agent.name} judges the origin, so it cannot need {kind.__name__}")
    return replace(member, agent=_AtEndOfHeaders(agent))


def _from_headers(gathering: Gathering) -> Gathering:
    early = gathering.of_origin and gathering.earliest in _EARLY
    return replace(gathering, earliest=Stage.END_OF_HEADERS) if early else gathering


def _without_origin(gathering: Gathering) -> Gathering:
    if not gathering.of_origin:
        return gathering
    unknown = Unknown(gathering.fact.name, NO_ORIGIN)
    return replace(gathering, find=lambda _mail: unknown, waits=False)
