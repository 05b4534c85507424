"""Who is asked at a stage, worked out once for each receive connector and kind of client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.facts.gathering import Gathering
from gatepost.model.known import Scope
from gatepost.model.session import Rights
from gatepost.model.verdict import Stage
from gatepost.policy.agent import Agent, wants_of
from gatepost.policy.elsewhere import Elsewhere

STAGES: Final = tuple(Stage)


class Audience(IntEnum):
    """Whose mail it is, as far as the choice of agents goes."""

    EXTERNAL = 0
    INTERNAL = 1
    BYPASSING = 2

    @classmethod
    def of(cls, rights: Rights) -> Audience:
        """BYPASS_FILTERS says more than INTERNAL."""
        if Rights.BYPASS_FILTERS in rights:
            return cls.BYPASSING
        return cls.INTERNAL if Rights.INTERNAL in rights else cls.EXTERNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """An agent at a stage, with the facts it must have been told."""

    agent: Agent
    needs: tuple[type[Any], ...]


Asked = tuple[Agent, str, tuple[type[Any], ...]]
"""A seat as it is asked: the agent, its name, the facts it must have been told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The agents of one stage, in order."""

    seats: tuple[Seat, ...] = ()
    names: tuple[str, ...] = ()
    gatherings: tuple[Gathering, ...] = ()
    """What has to be found out before they speak."""
    early: tuple[Gathering, ...] = ()
    """What later stages need, takes time, and can be known from here on."""
    elsewhere: tuple[Elsewhere, ...] = ()
    """Of the agents, those whose opinion comes from a scan worker, and has to be waited for."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Agents that are not asked here, and why."""
    asked: tuple[Asked, ...] = field(init=False)
    """The seats, unpacked once."""
    is_empty: bool = field(init=False)
    """Nobody speaks here, and nothing is found out for later."""

    def __post_init__(self) -> None:
        seats = tuple((seat.agent, seat.agent.name, seat.needs) for seat in self.seats)
        object.__setattr__(self, "asked", seats)
        object.__setattr__(self, "is_empty", not self.seats and not self.early)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spared:
    """What clients on the allow list are spared: filters by name, or all of them."""

    names: frozenset[str] = frozenset()
    everything: bool = False

    def skips(self, agent: Agent) -> bool:
        """Whether it does not look at their mail."""
        return agent.is_filter and (self.everything or agent.name in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An agent with its settings, as the panels are made of them."""

    agent: Agent
    settings: AgentTable


def check_needs(agent: Agent, facts: Mapping[type[Any], Gathering]) -> None:
    """Whether its facts can be had where it speaks.

    Raises ValueError when nothing finds one out, when it is known later only, or when it is about one recipient and
    the stage about the whole mail.
    """
    wants = wants_of(agent)
    for stage in agent.needs:
        for kind in (*agent.needs[stage], *wants.get(stage, ())):
            if kind not in facts:
                raise ValueError(f"agent {agent.name} needs {kind.__name__}, which nothing finds out")
            needed = f"agent {agent.name} needs {kind.__name__} at {stage.value}"
            if facts[kind].scope is Scope.RECIPIENT and stage is not Stage.RCPT:
                raise ValueError(f"{needed}: rcpt only")
            if STAGES.index(stage) < STAGES.index(facts[kind].earliest):
                raise ValueError(f"{needed}: it is known from {facts[kind].earliest.value} on")


def panels_for(
    members: Sequence[Member],
    facts: Mapping[type[Any], Gathering],
    audience: Audience,
    spared: Spared | None = None,
) -> dict[Stage, Panel]:
    """The panels of one audience. spared: of clients on the allow list. What the members need was checked."""
    asked = {stage: [m for m in members if stage in m.agent.needs] for stage in STAGES}
    reasons = {id(m): why_skipped(m, audience, spared) for m in members}
    needed = {
        stage: _with_grounds(_facts_of([m for m in asked[stage] if not reasons[id(m)]], stage), facts)
        for stage in STAGES
    }
    panels = {}
    for number, stage in enumerate(STAGES):
        seated = [m for m in asked[stage] if not reasons[id(m)]]
        later = {kind: None for after in STAGES[number + 1 :] for kind in needed[after]}
        panels[stage] = Panel(
            seats=tuple(Seat(agent=m.agent, needs=tuple(m.agent.needs[stage])) for m in seated),
            names=tuple(m.agent.name for m in seated),
            elsewhere=tuple(m.agent for m in seated if isinstance(m.agent, Elsewhere)),
            gatherings=tuple(facts[kind] for kind in needed[stage]),
            early=tuple(
                facts[kind]
                for kind in later
                if facts[kind].waits and facts[kind].earliest is stage and kind not in needed[stage]
            ),
            skipped=tuple((m.agent.name, reasons[id(m)]) for m in asked[stage] if reasons[id(m)]),
        )
    return panels


def why_skipped(member: Member, audience: Audience, spared: Spared | None = None) -> str:
    """Why an agent is not asked about this audience's mail; "" when it is."""
    if not member.agent.is_filter:
        return ""
    if audience is Audience.BYPASSING:
        return "the client has the right bypass-filters"
    if spared is not None and spared.skips(member.agent):
        return "the client is on the allow list"
    settings = member.settings
    if not isinstance(settings, FilterTable):
        return ""
    if audience is Audience.INTERNAL:
        return "" if settings.internal_mail else "internal-mail is false"
    return "" if settings.external_mail else "external-mail is false"


def _with_grounds(kinds: Iterable[type[Any]], facts: Mapping[type[Any], Gathering]) -> tuple[type[Any], ...]:
    """Each behind the facts it stands on, as far as something finds those out."""
    ordered: dict[type[Any], None] = {}
    for kind in kinds:
        grounds = [ground for ground in facts[kind].stands_on if ground in facts]
        ordered.update(dict.fromkeys(_with_grounds(grounds, facts)))
        ordered[kind] = None
    return tuple(ordered)


def _facts_of(members: Iterable[Member], stage: Stage) -> tuple[type[Any], ...]:
    """Each once, in the order of the agents."""
    kinds = {
        kind: None
        for member in members
        for kind in (*member.agent.needs[stage], *wants_of(member.agent).get(stage, ()))
    }
    return tuple(kinds)
