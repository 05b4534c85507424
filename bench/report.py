"""The table of figures and ratios, and the same as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

from bench.measures import OURS, THEIRS, Latency, Load, Spread, ratios, spread_of
from bench.rounds import Results

_FIGURES: Final[tuple[tuple[str, Callable[[Load], float], str], ...]] = (
    ("messages/s", lambda load: load.rate, ".0f"),
    ("CPU ms/message", lambda load: load.cpu_ms, ".3f"),
    ("memory MiB", lambda load: load.memory_bytes / 2**20, ".0f"),
)
_LATENCIES: Final[tuple[tuple[str, Callable[[Latency], float], str], ...]] = (
    ("p50 ms", lambda latency: latency.p50_s * 1000, ".2f"),
    ("p99 ms", lambda latency: latency.p99_s * 1000, ".2f"),
)


def text_of(results: Results, facts: Mapping[str, str], missing: Mapping[str, int]) -> str:
    """One table; ratios are Gatepost divided by Postfix, round by round: median (lowest to highest)."""
    lines = [f"{name}: {value}" for name, value in facts.items()]
    lines += ["", f"{'':<40}{OURS:>22}{THEIRS:>22}   ratio"]
    for scenario in dict.fromkeys(scenario for _, scenario in results.loads):
        ours = results.loads.get((OURS, scenario), [])
        theirs = results.loads.get((THEIRS, scenario), [])
        for title, figure, form in _FIGURES:
            lines.append(
                _row(
                    f"{scenario.title}: {title}", [figure(x) for x in ours], [figure(x) for x in theirs], form
                )
            )
    for kept in (False, True):
        how = "one session, kept open" if kept else "one session, connect to QUIT"
        our_times = results.latencies.get((OURS, kept), [])
        their_times = results.latencies.get((THEIRS, kept), [])
        for title, time_of, form in _LATENCIES:
            lines.append(
                _row(
                    f"{how}: {title}",
                    [time_of(x) for x in our_times],
                    [time_of(x) for x in their_times],
                    form,
                )
            )
    for tls, octets in results.idle.items():
        title = f"an idle connection{' under TLS' if tls else ''}: KB"
        lines.append(_row(title, [octets / 1000], [], ".1f"))
    lines += [
        "",
        *(f"{name}: {count} acknowledged mails are missing" for name, count in missing.items() if count),
    ]
    return "\n".join(lines).rstrip()


def data_of(results: Results, facts: Mapping[str, str], missing: Mapping[str, int]) -> dict[str, object]:
    """Every round, for a file."""
    return {
        "facts": dict(facts),
        "missing": dict(missing),
        "loads": [
            {
                "server": server,
                **asdict(scenario),
                "work": scenario.work.value,
                "rounds": [asdict(load) for load in loads],
            }
            for (server, scenario), loads in results.loads.items()
        ],
        "idle_bytes": {"tls" if tls else "plain": octets for tls, octets in results.idle.items()},
        "latencies": [
            {"server": server, "kept": kept, "rounds": [asdict(latency) for latency in latencies]}
            for (server, kept), latencies in results.latencies.items()
        ],
    }


def _row(title: str, ours: list[float], theirs: list[float], form: str) -> str:
    row = f"{title:<40}{_cell(ours, form):>22}{_cell(theirs, form):>22}"
    return f"{row}   {_shown(ratios(ours, theirs), '.2f')}" if ours and theirs else row


def _cell(values: list[float], form: str) -> str:
    return _shown(spread_of(values), form) if values else "-"


def _shown(spread: Spread, form: str) -> str:
    return f"{spread.median:{form}} ({spread.lowest:{form}}-{spread.highest:{form}})"
