"""The order of measuring: in every round each server meets each load, and who goes first changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final, TypeVar

from bench.load import measure_idle, measure_latency, offer
from bench.measures import OURS, REFUSALS, Latency, Load, Scenario, Work
from bench.server import Server

MESSAGES: Final = {1: 800, 10: 3000, 50: 4000}
"""Sessions -> messages: a second or more of each."""
LATENCY_MESSAGES: Final = 300
OTHER_WORK: Final = {Work.TLS: 1000, Work.REFUSED: 2000, Work.RELAY: 3000}
"""Work -> messages, with ten sessions; relaying with kept connections, as mail between systems comes."""
OTHER_SESSIONS: Final = 10
IDLE_SESSIONS: Final = {False: 5000, True: 2000}
"""Under TLS or not -> idle connections."""

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
    def other_work(self) -> tuple[Scenario, ...]:
        """TLS, refusals, relaying."""
        return tuple(
            Scenario(OTHER_SESSIONS, work is Work.RELAY, max(20, int(messages * self.share)), work)
            for work, messages in OTHER_WORK.items()
        )

    @property
    def listed_work(self) -> tuple[Scenario, ...]:
        """Refusals of clients that are listed, of Gatepost alone."""
        messages = max(20, int(OTHER_WORK[Work.REFUSED] * self.share))
        return tuple(
            Scenario(OTHER_SESSIONS, False, messages, work) for work in (Work.BY_LIST, Work.BY_PROVIDER)
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
    idle: dict[bool, float] = field(default_factory=dict)
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
    """Everything. servers keep what they take, relays deliver it, listing refuse clients that are listed.

    Raises LoadFailed when a server breaks a load.
    """
    results = Results()
    _warm_up((*servers, *relays), results)
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        for scenario in plan.scenarios:
            for server in in_turn(servers, number):
                results.add_load(server, scenario, offer(scenario, server))
        for scenario in plan.other_work:
            for server in in_turn(relays if scenario.work is Work.RELAY else servers, number):
                results.add_load(server, scenario, offer(scenario, server))
        for scenario, server in product(plan.listed_work, listing):
            results.add_load(server, scenario, offer(scenario, server))
        for kept in (False, True):
            for server in in_turn(servers, number):
                latency = measure_latency(port=server.port, kept=kept, messages=plan.latency_messages)
                results.add_latency(server, kept, latency, plan.latency_messages)
    say("idle connections")
    for server in servers:
        if server.name == OURS:
            for tls, sessions in IDLE_SESSIONS.items():
                count = max(100, int(sessions * plan.share))
                results.idle[tls] = measure_idle(server, sessions=count, tls=tls)
    return results


def in_turn(servers: Sequence[T], number: int) -> Iterator[T]:
    """The first goes last in the next round."""
    first = number % len(servers)
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
        results.add_offered(server, offer(Scenario(10, False, 200), server).messages)
