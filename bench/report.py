"""The table of figures and ratios, and the same as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from bench.lines import Goal, Line
from bench.measures import FILTERED, OURS, REFUSALS, THEIRS, Latency, Load, Scenario, Spread, Work
from bench.rounds import Results

_FIGURES: Final[tuple[tuple[str, Callable[[Load], float], str], ...]] = (
    ("messages/s", lambda load: load.rate, ".0f"),
    ("CPU s/1000 messages", lambda load: load.cpu_ms, ".3f"),
    ("memory MiB", lambda load: load.memory_bytes / 2**20, ".0f"),
)
_LATENCIES: Final[tuple[tuple[str, Callable[[Latency], float], str, float], ...]] = (
    ("p50 ms", lambda latency: latency.p50_s * 1000, ".2f", 0.6),
    ("p99 ms", lambda latency: latency.p99_s * 1000, ".2f", 1.0),
)
_IDLE_GOALS_KB: Final = {False: 4.0, True: 40.0}
_FAST_PEERS: Final = ("Haraka", "aiosmtpd")
PEER_NAMES: Final = (THEIRS, FILTERED, *_FAST_PEERS)


def lines_of(results: Results) -> list[Line]:
    """What the loads say."""
    names = list(dict.fromkeys(name for name, _ in results.loads if name != OURS))
    found = []
    for scenario in dict.fromkeys(scenario for _, scenario in results.loads):
        rounds = {name: results.loads.get((name, scenario), []) for name in (OURS, *names)}
        for title, figure, form in _FIGURES:
            values = {name: [figure(load) for load in loads] for name, loads in rounds.items() if loads}
            ours = values.pop(OURS, [])
            goals = _goals(scenario, title)
            found.append(Line(f"{scenario.title}: {title}", form, ours, values, goals))
    for kept in (False, True):
        how = "one session, kept open" if kept else "one session, connect to QUIT"
        times = {
            name: latencies for (name, its_kept), latencies in results.latencies.items() if its_kept is kept
        }
        for title, time_of, form, goal in _LATENCIES if times else ():
            values = {name: [time_of(latency) for latency in rounds] for name, rounds in times.items()}
            ours = values.pop(OURS, [])
            goals = (Goal(THEIRS, goal, at_most=True),) if kept else ()
            found.append(Line(f"{how}: {title}", form, ours, values, goals))
    for tls, octets in results.idle.items():
        goal_kb = _IDLE_GOALS_KB[tls]
        found.append(
            Line(
                f"an idle connection{' under TLS' if tls else ''}: KB",
                ".1f",
                [one / 1000 for one in octets],
                goals=(Goal("", goal_kb, at_most=True),),
            )
        )
    return found


def _goals(scenario: Scenario, title: str) -> tuple[Goal, ...]:
    """As in issue 4."""
    work, sessions = scenario.work, scenario.sessions
    if title.startswith("memory") or work in (Work.TLS, *REFUSALS - {Work.REFUSED}):
        return ()
    if title.startswith("CPU"):
        is_meant = work in (Work.ACCEPT, Work.RELAY) and sessions > 1
        return (Goal(THEIRS, 0.25, at_most=True),) if is_meant else ()
    if work in REFUSALS:
        return (Goal(THEIRS, 3),)
    if work is Work.RELAY:
        return (Goal(THEIRS, 3 if sessions <= 10 else 4),)
    if sessions == 1:
        return ()
    if scenario.is_large:
        return (Goal(THEIRS, 2),)
    return (Goal(THEIRS, 4), *(Goal(peer, 4) for peer in _FAST_PEERS))


def text_of(
    lines: Sequence[Line],
    facts: Mapping[str, str],
    missing: Mapping[str, int],
    *,
    peers: Sequence[str] = PEER_NAMES,
) -> str:
    """One table: Gatepost's figure, and its ratio to each other's, round by round: median (lowest to highest)."""
    told = [f"{name}: {value}" for name, value in facts.items()]
    columns = [peer for peer in peers if any(peer in line.others for line in lines)]
    head = "".join(f"{'/ ' + peer:>19}" for peer in columns)
    told += ["", f"{'':<51}{OURS:>21}{head}   to reach"]
    for line in lines:
        cells = "".join(f"{_shown(line.ratio_to(peer), '.2f'):>19}" for peer in columns)
        told.append(
            f"{line.title:<51}{_shown(line.ours_spread, line.form):>21}{cells}   {_words(line, columns)}".rstrip()
        )
    lost = [f"{name}: {count} acknowledged mails are missing" for name, count in missing.items() if count]
    return "\n".join([*told, "", *lost]).rstrip()


def _words(line: Line, columns: Sequence[str]) -> str:
    """What has no column: ratios to other things than peers; and the goals."""
    others = (name for name in line.others if name not in columns)
    found = [f"{_shown(line.ratio_to(name), '.2f')} x {name}" for name in others]
    found += [goal.told(line) for goal in line.goals if goal.is_reached(line) is not None]
    return "; ".join(found)


def data_of(
    lines: Sequence[Line], results: Results, facts: Mapping[str, str], missing: Mapping[str, int]
) -> dict[str, object]:
    """Every round, for a file."""
    return {
        "facts": dict(facts),
        "missing": dict(missing),
        "lines": [
            {
                "title": line.title,
                OURS: list(line.ours),
                "others": {name: list(values) for name, values in line.others.items()},
                "goals": {goal.told(line): goal.is_reached(line) for goal in line.goals},
            }
            for line in lines
        ],
        "loads": [
            {
                "server": server,
                **asdict(scenario),
                "work": scenario.work.value,
                "rounds": [asdict(load) for load in loads],
            }
            for (server, scenario), loads in results.loads.items()
        ],
    }


def _shown(spread: Spread | None, form: str) -> str:
    if spread is None:
        return "-"
    if spread.lowest == spread.highest:
        return f"{spread.median:{form}}"
    return f"{spread.median:{form}} ({spread.lowest:{form}}-{spread.highest:{form}})"
