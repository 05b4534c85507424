"""The order of measuring: in every round each server meets each load, and who goes first changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bench.load import measure_idle, measure_latency, offer
from bench.measures import FILTERED, OURS, REFUSALS, Latency, Load, Scenario, Work
from bench.rows import IDLE_SESSIONS, SLOW_SHARE, Plan, meets
from bench.server import Server

T = TypeVar("T")


@dataclass(slots=True)
class Results:
    """Server name -> every round, in order."""

    loads: dict[tuple[str, Scenario], list[Load]] = field(default_factory=dict)
    latencies: dict[tuple[str, bool], list[Latency]] = field(default_factory=dict)
    idle: dict[bool, list[float]] = field(default_factory=dict)
    """Under TLS or not -> octets of Gatepost's memory for an idle connection."""
    offered: dict[tuple[str, bool], int] = field(default_factory=dict)
    """Name of a server, and whether it relays -> mails it was given."""

    def add_load(self, server: Server, scenario: Scenario, load: Load) -> None:
        """One round's."""
        self.loads.setdefault((server.name, scenario), []).append(load)
        if scenario.work not in REFUSALS:
            self.add_offered(server, load.messages)

    def add_latency(self, server: Server, kept: bool, latency: Latency, messages: int) -> None:
        """One round's."""
        self.latencies.setdefault((server.name, kept), []).append(latency)
        self.add_offered(server, messages)

    def add_offered(self, server: Server, messages: int) -> None:
        """Mails that must be there at the end."""
        key = (server.name, server.sink is not None)
        self.offered[key] = self.offered.get(key, 0) + messages


def measure(
    plan: Plan,
    servers: Sequence[Server],
    relays: Sequence[Server],
    listing: Sequence[Server],
    say: Callable[[str], None],
) -> Results:
    """Everything that is a load. servers keep what they take, relays deliver it, listing refuse listed clients.

    Raises LoadFailed when a server breaks a load.
    """
    results = Results()
    _warm_up((*servers, *relays), results)
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        for row, scenario in plan.loads:
            group = listing if row == "lists" else relays if row == "relay" else servers
            for server in in_turn(group, number):
                if meets(server.name, scenario, is_short=plan.is_short):
                    results.add_load(server, scenario, offer(_share(server, scenario), server))
        if "latency" in plan.rows:
            _measure_latency(plan, servers, number, results)
    if "idle" in plan.rows:
        say("idle connections")
        for server in servers:
            if server.name == OURS:
                for tls in (False, True):
                    count = max(100, int(IDLE_SESSIONS * plan.share))
                    results.idle[tls] = [measure_idle(server, sessions=count, tls=tls)]
    return results


def _measure_latency(plan: Plan, servers: Sequence[Server], number: int, results: Results) -> None:
    for kept in (False, True):
        for server in in_turn(servers, number):
            if meets(server.name, Scenario(1, kept, 1)):
                latency = measure_latency(port=server.port, kept=kept, messages=plan.latency_messages)
                results.add_latency(server, kept, latency, plan.latency_messages)


def _share(server: Server, scenario: Scenario) -> Scenario:
    if server.name != FILTERED:
        return scenario
    return replace(scenario, messages=max(2 * scenario.sessions, int(scenario.messages * SLOW_SHARE)))


def in_turn(servers: Sequence[T], number: int) -> Iterator[T]:
    """The first goes last in the next round."""
    first = number % len(servers) if servers else 0
    yield from servers[first:]
    yield from servers[:first]


def missing(results: Results, servers: Sequence[Server]) -> Mapping[str, int]:
    """Server -> mails that were acknowledged and are not there: none is a fast server that keeps them."""
    lost: dict[str, int] = {}
    for server in servers:
        offered = results.offered.get((server.name, server.sink is not None), 0)
        lost[server.name] = lost.get(server.name, 0) + offered - server.accounted()
    return lost


def _warm_up(servers: Sequence[Server], results: Results) -> None:
    for server in servers:
        results.add_offered(server, offer(Scenario(10, False, 200, Work.ACCEPT), server).messages)
