"""Two workers against one: whether a second core brings what it should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.gatepost_server import Gatepost
from bench.lines import Goal, Line
from bench.load import offer
from bench.measures import Load, Scenario
from bench.rounds import in_turn
from bench.rows import Plan

ONE: Final = "1 worker"
_MESSAGES: Final = 4000
_SESSIONS: Final = 50


def worker_lines(plan: Plan, directory: Path, say: Callable[[str], None]) -> list[Line]:
    """Rates of fifty sessions, a message each and kept open."""
    found = []
    with (
        Gatepost(directory / "worker-1", workers=1) as one,
        Gatepost(directory / "workers-2", workers=2) as two,
    ):
        gates = [one, two]
        for kept in (False, True):
            messages = max(2 * _SESSIONS, int(_MESSAGES * plan.share))
            scenario = Scenario(_SESSIONS, kept, messages)
            loads: dict[str, list[Load]] = {}
            for number in range(plan.rounds):
                say(f"workers, round {number + 1}")
                for gate in in_turn(gates, number):
                    loads.setdefault(ONE if gate is one else "", []).append(offer(scenario, gate))
            ours, theirs = ([load.rate for load in loads[name]] for name in ("", ONE))
            title = f"2 workers, {scenario.title}: messages/s"
            found.append(Line(title, ".0f", ours, {ONE: theirs}, (Goal(ONE, 1.6),)))
    return found
