"""What a long queue costs: the start over it, and each message that is taken in and delivered beside it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.cost import family_of, memory_bytes
from bench.filling import filled
from bench.gatepost_server import Gatepost
from bench.lines import Goal, Line
from bench.load import offer
from bench.measures import Load, Scenario, Work
from bench.rounds import in_turn
from bench.rows import Plan
from bench.sink import MailSink

EMPTY: Final = "none queued"
_START_GOALS_S: Final = {100_000: 2.0, 1_000_000: 10.0}
_MEMORY_GOAL_MIB: Final = 300.0
_SETTLED_S: Final = 3.0
"""After the banner: what the start leaves for later is in memory by then."""
_GROWTH_MESSAGES: Final = 3000
_GROWTH_SESSIONS: Final = 10


def start_lines(plan: Plan, directory: Path, say: Callable[[str], None]) -> list[Line]:
    """Seconds to the banner over each queue, after a stop and after a kill, beside those of a gateway without mail."""
    lengths = [0, *plan.queues[-2:]]
    gates = {mails: _gateway(mails, plan.output, directory / f"start-{mails}") for mails in lengths}
    times: dict[tuple[int, bool], list[float]] = {}
    memory: dict[int, list[float]] = {}
    for number in range(1 if plan.is_short else plan.rounds):
        say(f"starts over long queues, round {number + 1}")
        for mails in in_turn(lengths, number):
            for killed in (False, True):
                seconds, mib = _start(gates[mails], killed=killed)
                times.setdefault((mails, killed), []).append(seconds)
                memory.setdefault(mails, []).append(mib)
    found = []
    for mails in lengths[1:]:
        for killed in (False, True):
            title = f"start over {mails:,} queued{', after a kill' if killed else ''}: s"
            goals = (Goal("", _START_GOALS_S[mails], at_most=True),) if mails in _START_GOALS_S else ()
            others = {EMPTY: times[0, killed]}
            found.append(Line(title, ".2f", times[mails, killed], others, goals))
        goals = (Goal("", _MEMORY_GOAL_MIB, at_most=True),)
        others = {EMPTY: memory[0]}
        found.append(Line(f"start over {mails:,} queued: memory MiB", ".0f", memory[mails], others, goals))
    return found


def growth_lines(plan: Plan, directory: Path, say: Callable[[str], None]) -> list[Line]:
    """CPU and rate of messages that are relayed, with so many in the queue, against an empty one."""
    lengths = [0, *plan.queues]
    loads: dict[int, list[Load]] = {mails: [] for mails in lengths}
    work = Scenario(_GROWTH_SESSIONS, True, max(100, int(_GROWTH_MESSAGES * plan.share)), Work.RELAY)
    with ExitStack() as running:
        gates = {}
        for mails in lengths:
            sink = running.enter_context(MailSink(directory))
            gate = _gateway(mails, plan.output, directory / f"growth-{mails}", sink)
            gates[mails] = running.enter_context(gate)
            offer(Scenario(_GROWTH_SESSIONS, True, 100, Work.RELAY), gate)
        for number in range(plan.rounds):
            say(f"a growing queue, round {number + 1}")
            for mails in in_turn(lengths, number):
                loads[mails].append(offer(work, gates[mails]))
    figures: Sequence[tuple[str, str, Callable[[Load], float], tuple[Goal, ...]]] = (
        ("CPU s/1000 messages", ".3f", lambda load: load.cpu_ms, (Goal(EMPTY, 1.2, at_most=True),)),
        ("messages/s", ".0f", lambda load: load.rate, ()),
    )
    return [
        Line(
            f"relayed beside {mails:,} queued: {title}",
            form,
            [figure(load) for load in loads[mails]],
            {EMPTY: [figure(load) for load in loads[0]]},
            goals,
        )
        for mails in plan.queues
        for title, form, figure, goals in figures
    ]


def _gateway(mails: int, output: Path, directory: Path, sink: MailSink | None = None) -> Gatepost:
    """One over a store with so many mails. What it adds to a kept store is little, and is forgotten with it."""
    directory.mkdir(mode=0o700)
    state = filled(mails, directory, kept=output / "bench-stores") if mails else None
    gate = Gatepost(directory, sink, state=state, workers=1)  # all mail is in the store of one
    gate.patience_s = 300.0
    return gate


def _start(gate: Gatepost, *, killed: bool) -> tuple[float, float]:
    """Seconds to the banner and MiB after it. killed: the process before this one died without a word."""
    gate.prepare()
    if killed:
        gate.start()
        for pid in family_of(gate.pid):
            os.kill(pid, signal.SIGKILL)
        gate.__exit__()
        gate.prepare()
    seconds = gate.start()
    time.sleep(_SETTLED_S)
    mib = memory_bytes(*gate.pids) / 2**20
    gate.__exit__()
    return seconds, mib
