"""`python -m sim [--seeds 500] [--seed N] [--hours 8]`: exit status 0 only when no run found anything."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from sim.run import Result, run

_SHOWN: Final = 5
_IN_REPORT: Final = (
    "mails kept",
    "notices kept",
    "recipients delivered",
    "recipients failed",
    "recipients dead",
    "recipients poison",
    "copies",
    "duplicates",
    "deaths",
    "reloads",
    "disk failures",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays seeds, prints what was found, and keeps the log of every run that found something below build/."""
    wishes = _parser().parse_args(arguments)
    if wishes.seed is not None:
        return _one(wishes.seed)
    until_s = time.monotonic() + (wishes.hours * 3600 if wishes.hours else wishes.within or 1e9)
    first = wishes.first or (int(time.time()) if wishes.hours else 1)
    count = 1 << 40 if wishes.hours else wishes.seeds
    print(f"seeds from {first}", flush=True)
    total: Counter[str] = Counter()
    runs = failed = 0
    virtual_s = 0.0
    for result in _results(range(first, first + count), wishes.processes, until_s):
        runs += 1
        virtual_s += result.virtual_s
        total.update(result.counts)
        if result.findings:
            failed += 1
            _tell(result)
            if wishes.fail_fast:
                break
    print(f"{runs} seeds, {virtual_s / 86400:.0f} days of virtual time, {failed} with findings")
    print(", ".join(f"{total[name]} {name}" for name in _IN_REPORT))
    return 1 if failed or not runs else 0


def _one(seed: int) -> int:
    result = run(seed)
    print(f"seed {seed}: {result.virtual_s:.0f} s of virtual time, digest {result.digest}")
    print(", ".join(f"{count} {name}" for name, count in result.counts.items()))
    if result.findings:
        _tell(result)
    return 1 if result.findings else 0


def _results(seeds: range, processes: int, until_s: float) -> Iterator[Result]:
    """In the order in which they come; no new seed is begun when the time is over."""
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        coming = iter(seeds)
        running: set[Future[Result]] = set()
        while True:
            while len(running) < 2 * processes and time.monotonic() < until_s:
                seed = next(coming, None)
                if seed is None:
                    break
                running.add(pool.submit(_run_for_report, seed))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()


def _run_for_report(seed: int) -> Result:
    result = run(seed)
    return result if result.findings else replace(result, lines=())


def _tell(result: Result) -> None:
    log = _build() / f"sim-{result.seed}.log"
    log.write_text("\n".join((*result.lines, "")), encoding="utf-8", errors="backslashreplace")
    print(f"seed {result.seed}: {len(result.findings)} findings; everything that happened is in {log}")
    for finding in result.findings[:_SHOWN]:
        print(f"    {finding}")
    print(f"    again: make sim ARGS=--seed={result.seed}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds")
    parser.add_argument("--seed", type=int, help="play this one only, and say more")
    parser.add_argument(
        "--first", type=int, default=0, help="the first seed; 0: 1, or the time of day with --hours"
    )
    parser.add_argument("--within", type=float, default=0.0, help="seconds after which no new seed is begun")
    parser.add_argument("--hours", type=float, default=0.0, help="as many seeds as these hours have room for")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first finding")
    return parser


def _build() -> Path:
    build = Path("build").absolute()
    build.mkdir(exist_ok=True)
    return build


if __name__ == "__main__":
    sys.exit(main())
