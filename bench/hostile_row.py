"""Good mail among floods, slow senders and harvesters, against the same good mail alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.cost import memory_bytes
from bench.gatepost_server import Gatepost
from bench.lines import Goal, Line
from bench.load import LoadFailed
from bench.measures import percentile
from bench.rows import Plan

ALONE: Final = "good mail alone"
_QUIET_S: Final = 30.0
_SAMPLE_S: Final = 1.0
_MEMORY_SHARE: Final = 0.75
"""back-pressure.memory.high, of the machine's memory for each worker: the number that bounds it."""


class HostileGatepost(Gatepost):
    """All limits as they come, also for this machine's own addresses, which are usually spared.

    connection-rate is lifted: the default of a hundred new sessions a second of everybody together would turn
    away good mail with the flood (docs/benchmarks.md).
    """

    limits = """\
[receive-connectors.internet.limits]
unrated = []
connection-rate = 0
"""


def hostile_lines(plan: Plan, directory: Path, say: Callable[[str], None]) -> list[Line]:
    """One run of each."""
    quiet_s = min(_QUIET_S, plan.hostile_s / 2)
    with HostileGatepost(directory / "hostile") as gate:
        say(f"good mail alone, {quiet_s:.0f} s")
        alone, _ = _play(gate, quiet_s, "quiet")
        say(f"among floods, slow senders and harvesters, {plan.hostile_s:.0f} s")
        among, peak_bytes = _play(gate, plan.hostile_s, "loud")
        kept, taken = gate.kept(), alone["taken"] + among["taken"]
        if kept < taken:
            raise LoadFailed(f"{taken - kept} of {taken} acknowledged mails are missing")
        say(f"hostile: {among['hostile']}; good mail lost: {among['lost']}")
    bound_mib = _MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    rates = [one["taken"] / seconds for one, seconds in ((among, plan.hostile_s), (alone, quiet_s))]
    p50, p99 = (
        [percentile(one["replies_s"], share) * 1000 for one in (among, alone)] for share in (0.5, 0.99)
    )
    lags = [percentile(one["lags_s"], 0.99) * 1000 for one in (among, alone)]
    title = "good mail in a hostile mix"
    return [
        Line(f"{title}: messages/s", ".1f", rates[:1], {ALONE: rates[1:]}, (Goal(ALONE, 0.8),)),
        Line(f"{title}: reply p50 ms", ".1f", p50[:1], {ALONE: p50[1:]}),
        Line(f"{title}: reply p99 ms", ".1f", p99[:1], {ALONE: p99[1:]}, (Goal("", 1000, at_most=True),)),
        Line(f"{title}: the clients' own lag p99 ms", ".1f", lags[:1], {ALONE: lags[1:]}),
        Line(f"{title}: memory MiB", ".0f", [peak_bytes / 2**20], {}, (Goal("", bound_mib, at_most=True),)),
    ]


def _play(gate: Gatepost, seconds: float, how: str) -> tuple[dict[str, Any], int]:
    """What the clients say, and the most memory the gateway had meanwhile. Raises LoadFailed."""
    command = [sys.executable, "-m", "bench.hostile", str(gate.port), str(seconds), how]
    file = gate.directory / f"heard-{how}"
    peak_bytes = 0
    with file.open("wb") as said, subprocess.Popen(command, stdout=said) as clients:
        while clients.poll() is None:
            peak_bytes = max(peak_bytes, memory_bytes(*gate.pids))
            time.sleep(_SAMPLE_S)
    if clients.returncode:
        raise LoadFailed(f"the {how} clients failed")
    heard: dict[str, Any] = json.loads(file.read_bytes())
    return heard, peak_bytes
