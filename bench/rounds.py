"""The order of measuring: in every round each server meets each load, and who goes first changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from bench.load import measure_latency, offer
from bench.measures import Latency, Load, Scenario
from bench.server import Server

MESSAGES: Final = {1: 800, 10: 3000, 50: 4000}
"""Sessions -> messages: a second or more of each."""
LATENCY_MESSAGES: Final = 300

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    sessions: tuple[int, ...] = (1, 10, 50)
    share: float = 1.0
    """Of MESSAGES and LATENCY_MESSAGES."""

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """A message each first, then kept open."""
        return tuple(
            Scenario(sessions, kept, max(sessions * 2, int(self._messages(sessions) * self.share)))
            for kept in (False, True)
            for sessions in self.sessions
        )

    @property
    def latency_messages(self) -> int:
        """Of one session."""
        return max(20, int(LATENCY_MESSAGES * self.share))

    @staticmethod
    def _messages(sessions: int) -> int:
        return MESSAGES.get(sessions, 80 * min(sessions, 50))


@dataclass(slots=True)
class Results:
    """Server name -> every round, in order."""

    loads: dict[tuple[str, Scenario], list[Load]] = field(default_factory=dict)
    latencies: dict[tuple[str, bool], list[Latency]] = field(default_factory=dict)
    offered: dict[str, int] = field(default_factory=dict)

    def add_load(self, server: str, scenario: Scenario, load: Load) -> None:
        """One round's."""
        self.loads.setdefault((server, scenario), []).append(load)
        self.offered[server] = self.offered.get(server, 0) + load.messages

    def add_latency(self, server: str, kept: bool, latency: Latency, messages: int) -> None:
        """One round's."""
        self.latencies.setdefault((server, kept), []).append(latency)
        self.offered[server] = self.offered.get(server, 0) + messages


def measure(plan: Plan, servers: Sequence[Server], say: Callable[[str], None]) -> Results:
    """Everything. Raises LoadFailed when a server breaks a load."""
    results = Results()
    _warm_up(servers, results)
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        for scenario in plan.scenarios:
            for server in in_turn(servers, number):
                load = offer(scenario, port=server.port, pid=server.pid)
                results.add_load(server.name, scenario, load)
        for kept in (False, True):
            for server in in_turn(servers, number):
                latency = measure_latency(port=server.port, kept=kept, messages=plan.latency_messages)
                results.add_latency(server.name, kept, latency, plan.latency_messages)
    return results


def in_turn(servers: Sequence[T], number: int) -> Iterator[T]:
    """The first goes last in the next round."""
    first = number % len(servers)
    yield from servers[first:]
    yield from servers[:first]


def missing(results: Results, servers: Sequence[Server]) -> Mapping[str, int]:
    """Server -> mails that were acknowledged and are not there: none is a fast server that keeps them."""
    return {server.name: results.offered.get(server.name, 0) - server.kept() for server in servers}


def _warm_up(servers: Sequence[Server], results: Results) -> None:
    for server in servers:
        load = offer(Scenario(10, False, 200), port=server.port, pid=server.pid)
        results.offered[server.name] = results.offered.get(server.name, 0) + load.messages
