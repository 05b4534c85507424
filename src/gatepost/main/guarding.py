"""Makes what counts clients over sessions and workers."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.agents.sender_reputation import SenderReputation as Agent
from gatepost.config.guard_settings import SenderReputation
from gatepost.config.own_names import own_names
from gatepost.config.schema import Table
from gatepost.config.settings import Settings
from gatepost.intake.guard import Guard
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.ip_ranges import IpRanges
from gatepost.ports.lists import AddressLists
from gatepost.ports.log import Counters, Log
from gatepost.ports.shared import SharedState
from gatepost.ports.world import Clock


def guard_of(
    settings: Settings,
    agent_tables: Mapping[str, Table],
    shared: SharedState,
    lists: AddressLists | None,
    *,
    accepted: AcceptedDomains,
    clock: Clock,
    counters: Counters,
    log: Log,
) -> Guard:
    """As the settings say. Conduct is kept where the agent that judges by it is asked."""
    reputation = agent_tables.get(Agent.name)
    is_asked = Agent.name not in settings.policy.disabled
    return Guard(
        shared,
        lists,
        harvest=settings.harvest,
        reputation=reputation
        if isinstance(reputation, SenderReputation) and reputation.enabled and is_asked
        else None,
        accepted=accepted,
        own_names=own_names(settings),
        relays=IpRanges(settings.server.internal_relays),
        clock=clock,
        counters=counters,
        log=log,
    )
