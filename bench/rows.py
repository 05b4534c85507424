"""The rows of the table: which loads there are, how many messages each has, and whom each server meets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.measures import FILTERED, LARGE_BYTES, OURS, THEIRS, Scenario, Work

ROWS: Final = {
    "accept": "taken in, 4 KiB, a message each; 1, 10, 50, 200 sessions",
    "kept": "taken in, 4 KiB, connections kept open; 1, 10, 50, 200 sessions",
    "large": "taken in, 64 KiB; 10, 50 sessions",
    "relay": "taken in and delivered to a sink, 4 KiB; 10, 50 sessions",
    "tls": "a STARTTLS handshake for each message",
    "refused": "sessions whose only recipient is unknown",
    "lists": "clients on a block list, or on a provider's",
    "latency": "one session, p50 and p99",
    "idle": "memory of an idle connection, in the clear and under TLS",
    "workers": "two workers against one",
    "start": "seconds to the banner and memory over a long queue",
    "growth": "cost of a message as the queue grows",
    "authentication": "what it costs to know who sent a mail",
    "hostile": "good mail among floods, slow senders and harvesters",
}
LOADS: Final = ("accept", "kept", "large", "relay", "tls", "refused", "lists")
SESSIONS: Final = {"large": (10, 50), "relay": (10, 50)}
OTHER_SESSIONS: Final = 10
MESSAGES: Final = {1: 800, 10: 3000, 50: 4000, 200: 4000}
"""Sessions -> messages: a second or more of each."""
OTHER_MESSAGES: Final = {"large": 1000, "relay": 3000, "tls": 1000, "refused": 2000, "lists": 2000}
LATENCY_MESSAGES: Final = 300
IDLE_SESSIONS: Final = 5000
SLOW_SHARE: Final = 0.25
"""Of the messages, for a peer that is many times slower: its rate is told all the same."""
_WORK: Final = {
    "relay": (Work.RELAY,),
    "tls": (Work.TLS,),
    "refused": (Work.REFUSED,),
    "lists": (Work.BY_LIST, Work.BY_PROVIDER, Work.BY_NEW_PROVIDER),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rounds: int = 5
    sessions: tuple[int, ...] = (1, 10, 50, 200)
    share: float = 1.0
    """Of all numbers of messages."""
    rows: tuple[str, ...] = tuple(ROWS)
    queues: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Lengths for the row growth, and, of the last two, start."""
    hostile_s: float = 300.0
    output: Path = Path("build")
    """Where results and filled stores are kept."""
    is_short: bool = False
    """Peers but Postfix meet one load, and what waits for a machine to settle waits less."""

    def scenarios(self, row: str) -> tuple[Scenario, ...]:
        """The loads of a row."""
        if row in ("tls", "refused", "lists"):
            return tuple(
                Scenario(OTHER_SESSIONS, False, self.messages(row, OTHER_SESSIONS), work)
                for work in _WORK[row]
            )
        size_bytes = {"size_bytes": LARGE_BYTES} if row == "large" else {}
        (work,) = _WORK.get(row, (Work.ACCEPT,))
        kept = row in ("kept", "relay")  # what is relayed comes as between systems
        return tuple(
            Scenario(sessions, kept, self.messages(row, sessions), work, **size_bytes)
            for sessions in SESSIONS.get(row, self.sessions)
        )

    def messages(self, row: str, sessions: int) -> int:
        """At least two for each session."""
        usual = OTHER_MESSAGES.get(row) or MESSAGES.get(sessions, 80 * min(sessions, 50))
        return max(2 * sessions, int(usual * self.share))

    @property
    def loads(self) -> Iterator[tuple[str, Scenario]]:
        """Row and load, of all rows that are loads."""
        for row in LOADS:
            if row in self.rows:
                for scenario in self.scenarios(row):
                    yield row, scenario

    @property
    def latency_messages(self) -> int:
        """Of one session."""
        return max(20, int(LATENCY_MESSAGES * self.share))


def meets(server: str, scenario: Scenario, *, is_short: bool = False) -> bool:
    """Whether the server gets the load: Gatepost and Postfix all of them, the others what they are compared by."""
    if server in (OURS, THEIRS):
        return True
    if scenario.work is not Work.ACCEPT or scenario.sessions == 1:
        return False
    if is_short:
        return scenario.sessions == OTHER_SESSIONS and not scenario.kept and not scenario.is_large
    return server != FILTERED or scenario.sessions in (10, 50)
