"""`python -m bench.bodies [--rounds 5] [--sizes 16,32,64,128,256]`: bodies in the database beside bodies in files.

Two gateways that differ in `queue.memory-body` alone, in turn, at each size: taken in, and taken in and delivered.
Decision 0325 says what follows.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.gatepost_server import Gatepost
from bench.lines import Line
from bench.load import offer
from bench.machine import facts
from bench.measures import Load, Scenario, Work
from bench.report import text_of
from bench.rounds import in_turn
from bench.sink import MailSink

IN_FILES: Final = "in files"
_ALWAYS: Final = '[queue]\nmemory-body = "16MiB"\n'
_NEVER: Final = '[queue]\nmemory-body = "1KiB"\n'
_OCTETS: Final = 32 << 20
"""Of each load; at least MESSAGES_LOW messages."""
MESSAGES_LOW: Final = 200
MESSAGES_HIGH: Final = 1000
_LOADS: Final = ((10, Work.ACCEPT), (50, Work.ACCEPT), (10, Work.RELAY))

_FIGURES: Final[tuple[tuple[str, str, Callable[[Load], float]], ...]] = (
    ("messages/s", ".0f", lambda load: load.rate),
    ("CPU s/1000", ".2f", lambda load: load.cpu_ms),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each size and load."""
    parser = argparse.ArgumentParser(prog="python -m bench.bodies", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="16,32,64,128,256", help="in KiB")
    parser.add_argument("--directory", default="/var/tmp")
    wishes = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="gatepost-bodies-", dir=wishes.directory))
    sizes = [int(one) * 1024 for one in wishes.sizes.split(",")]
    print(text_of(_lines(sizes, wishes.rounds, directory), facts(directory), {}))
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def _lines(sizes: Sequence[int], rounds: int, directory: Path) -> list[Line]:
    loads: dict[tuple[Scenario, str], list[Load]] = {}
    scenarios = [
        Scenario(sessions, True, max(MESSAGES_LOW, min(MESSAGES_HIGH, _OCTETS // size)), work, size)
        for size in sizes
        for sessions, work in _LOADS
    ]
    with ExitStack() as running:
        gates: dict[bool, list[tuple[str, Gatepost]]] = {False: [], True: []}
        for how, more in (("", _ALWAYS), (IN_FILES, _NEVER)):
            place = directory / (how.replace(" ", "-") or "in-rows")
            sink = running.enter_context(MailSink(directory))
            gates[False].append((how, running.enter_context(Gatepost(place / "keep", more=more))))
            gates[True].append((how, running.enter_context(Gatepost(place / "relay", sink, more=more))))
        for pair in gates.values():
            for _, gate in pair:
                offer(Scenario(10, True, 100, Work.ACCEPT if gate.sink is None else Work.RELAY), gate)
        for number in range(rounds):
            print(f"{time.strftime('%H:%M:%S')} round {number + 1} of {rounds}", file=sys.stderr)
            for scenario in scenarios:
                for how, gate in in_turn(gates[scenario.work is Work.RELAY], number):
                    loads.setdefault((scenario, how), []).append(offer(scenario, gate))
    return [line for scenario in scenarios for line in _of(scenario, loads)]


def _of(scenario: Scenario, loads: dict[tuple[Scenario, str], list[Load]]) -> list[Line]:
    ours, theirs = loads[scenario, ""], loads[scenario, IN_FILES]
    size = f"{scenario.size_bytes // 1024} KiB"
    work = "relayed" if scenario.work is Work.RELAY else "kept"
    title = f"{size}, {scenario.sessions} sessions, {work}"
    return [
        Line(f"{title}: {name}", form, [of(load) for load in ours], {IN_FILES: [of(load) for load in theirs]})
        for name, form, of in _FIGURES
    ]


if __name__ == "__main__":
    sys.exit(main())
