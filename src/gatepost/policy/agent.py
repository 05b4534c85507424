"""What every agent is: ours, and those an administrator brings along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gatepost.config.agent_table import AgentTable
from gatepost.model.known import Known, MailView, Unknown
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict

UNKNOWN_REPLY = Reply(451, "4.7.1", "A check of this mail could not be completed, try again later")


class Agent(Protocol):
    """One opinion: a pure function of its settings and of facts. It waits for nothing and changes nothing.

    The class also has `settings_type`, the class of its table, and is made by `Agent(settings, site)`,
    once for each receive connector.
    """

    @property
    def name(self) -> str:
        """kebab-case; its table in the configuration is [agents.NAME]."""

    @property
    def needs(self) -> Mapping[Stage, tuple[type[Any], ...]]:
        """The stages at which it speaks, and the facts it must have been told there."""

    @property
    def when_unknown(self) -> Action:
        """What a needed fact that is unknown means: PASS or DEFER."""

    @property
    def is_filter(self) -> bool:
        """An antispam filter: not asked about clients with the right bypass-filters."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything it can notice."""

    def examine(self, mail: MailView, known: Known, /) -> Verdict:
        """Its opinion at mail.stage."""


AgentType = Callable[[Any, Site], Agent]
"""The agent's class: settings and site in, agent out."""


def name_of(kind: Any) -> str:
    """The name an agent's class gives itself; "" when it has none."""
    name = getattr(kind, "name", "")
    return name if isinstance(name, str) else ""


def settings_of(kind: Any) -> type[AgentTable]:
    """The class of an agent's table; the common one when the agent has no settings of its own."""
    table = getattr(kind, "settings_type", AgentTable)
    return table if isinstance(table, type) and issubclass(table, AgentTable) else AgentTable


def wants_of(agent: Agent) -> Mapping[Stage, tuple[type[Any], ...]]:
    """Facts that an agent would like to know and can do without (its optional attribute `wants`)."""
    wants: Mapping[Stage, tuple[type[Any], ...]] = getattr(agent, "wants", {})
    return wants


def judges_origin(agent: Agent) -> bool:
    """Whether session.origin_ip is what it is about (its optional attribute `judges_origin`).

    Behind our own relays it is then asked at END_OF_HEADERS, where the origin is known, instead of any stage before.
    """
    return bool(getattr(agent, "judges_origin", False))


def silent_behind_relays(agent: Agent) -> str:
    """Why it is not asked about mail that our own relays bring (its optional attribute of this name); "" when it is."""
    return str(getattr(agent, "silent_behind_relays", ""))


def unknown_reply_of(agent: Agent) -> Reply:
    """What a client hears when the agent lacks a fact and defers (its optional attribute `unknown_reply`)."""
    reply: Reply = getattr(agent, "unknown_reply", UNKNOWN_REPLY)
    return reply


def without(agent: Agent, unknown: tuple[Unknown, ...]) -> Verdict:
    """The opinion of an agent that lacks a fact: what it said beforehand that this should mean."""
    reason = "; ".join(f"{fact.fact} is unknown: {fact.reason}" for fact in unknown)
    if agent.when_unknown is Action.DEFER:
        return Verdict.defer(agent.name, unknown_reply_of(agent), reason, because=unknown)
    return Verdict(agent=agent.name, reason=reason, because=unknown)
