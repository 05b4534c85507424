"""`make fuzz`: every target for a while, by coverage where atheris is installed; then the model of the session."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any, Final

from fuzz import session
from fuzz.cost import costs
from fuzz.mutation import mutants
from fuzz.targets import BY_NAME, CORPUS, TARGETS, Target

FAILURES: Final = Path(".fuzz")
GROWN_LIMIT: Final = 20
"""Files that a target's corpus grows by at most."""
GROWN_LIMIT_BYTES: Final = 300
_SHOWN_BYTES: Final = 200
_PARTS_A_JOB: Final = 4
"""So that none is left alone with a long part at the end."""


def main() -> int:
    """0: everything held. 1: something did not; the input lies in .fuzz/ and is printed."""
    options = _options()
    names = options.target or [target.name for target in TARGETS]
    failed = 0
    with ProcessPoolExecutor(max_workers=options.jobs) as pool:
        work = [pool.submit(_told, _fuzz, name, options) for name in names]
        if not options.target:
            work += [pool.submit(_told, _session, part, options) for part in _parts(options)]
        for done in as_completed(work):
            held, said = done.result()
            failed += not held
            print(said, end="", flush=True)
    print("Everything held." if not failed else f"{failed} of the above did not hold.")
    return 1 if failed else 0


def _told(
    work: Callable[[Any, argparse.Namespace], bool], what: Any, options: argparse.Namespace
) -> tuple[bool, str]:
    """Whether it held, and what it said: several work beside each other."""
    with redirect_stdout(StringIO()) as said:
        held = work(what, options)
    return held, said.getvalue()


def _parts(options: argparse.Namespace) -> list[range]:
    """The conversations, cut among the processes; their numbers are the same for any number of these."""
    size = max(1, -(-options.sequences // (options.jobs * _PARTS_A_JOB)))
    return [range(at, min(at + size, options.sequences)) for at in range(0, options.sequences, size)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument(
        "--target", action="append", choices=sorted(BY_NAME), help="only this one; may be repeated"
    )
    parser.add_argument("--runs", type=int, default=2000, help="inputs from the mutator, for each target")
    parser.add_argument(
        "--guided", type=int, default=0, metavar="SECONDS", help="of coverage-guided search, for each target"
    )
    parser.add_argument(
        "--sequences", type=int, default=100_000, help="conversations with the model of the session"
    )
    parser.add_argument("--seed", type=int, default=1, help="where chance begins")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes beside each other"
    )
    parser.add_argument("--grow", action="store_true", help="keep inputs that reach new code in fuzz/corpus")
    return parser.parse_args()


def _fuzz(name: str, options: argparse.Namespace) -> bool:
    """The corpus, mutants, costs; then the guided search."""
    target = BY_NAME[name]
    started = time.monotonic()
    inputs = mutants(target.seeds(), target.words, seed=options.seed)
    for number in range(options.runs):
        data = next(inputs)
        if not _runs(target, data):
            return False
        if time.monotonic() - started > 600:
            print(f"{target.name}: ends after {number} inputs, 600 s are over")
            break
    expensive = costs(target)
    if expensive:
        print(f"{target.name}: {expensive}")
        return False
    took_s = time.monotonic() - started
    print(f"{target.name:16} {options.runs} inputs and its costs: held ({took_s:.1f} s)", flush=True)
    return not options.guided or _guided(target, options)


def _runs(target: Target, data: bytes) -> bool:
    try:
        target.run(data)
    except Exception:  # noqa: BLE001  # whatever it is, it is the finding
        FAILURES.mkdir(exist_ok=True)
        path = FAILURES / f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        print(f"{target.name}: {data[:_SHOWN_BYTES]!r} ({path})\n{traceback.format_exc(limit=-4)}")
        return False
    return True


def _guided(target: Target, options: argparse.Namespace) -> bool:
    """In a process of its own: libFuzzer ends the one it runs in."""
    if find_spec("atheris") is None:
        print(f"{target.name:16} no guided search: atheris is not installed (tools/setup.sh fuzz)")
        return True
    with tempfile.TemporaryDirectory(prefix="gatepost-fuzz-") as made:
        folder = Path(made, "corpus")
        folder.mkdir()
        for number, seed in enumerate(target.seeds()):
            (folder / f"seed-{number}").write_bytes(seed)
        command = [sys.executable, "-m", "fuzz.guided", target.name, str(options.guided), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if options.grow:
            _grow(target, folder)
    lines = [line for line in done.stderr.splitlines() if " cov: " in line]
    if done.returncode:
        print(f"{target.name}: {done.stdout}{done.stderr[-4000:]}")
        return False
    print(f"{target.name:16} guided: held; {lines[-1].strip() if lines else 'nothing new'}", flush=True)
    return True


def _grow(target: Target, folder: Path) -> None:
    """Small inputs that reached new code become files of the corpus, which is part of the repository."""
    there = len(list((CORPUS / target.name).glob("found-*")))
    found = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
    for path in found[: max(0, GROWN_LIMIT - there)]:
        octets = path.read_bytes()
        if 0 < len(octets) <= GROWN_LIMIT_BYTES and octets not in target.seeds():
            name = f"found-{hashlib.sha256(octets).hexdigest()[:12]}"
            (CORPUS / target.name / name).write_bytes(octets)


def _session(numbers: range, options: argparse.Namespace) -> bool:
    started = time.monotonic()
    for number in numbers:
        wrong = session.play(options.seed * 1_000_000_007 + number)
        if wrong:
            print(f"session: conversation {number} of seed {options.seed}\n{wrong}")
            return False
    took_s = time.monotonic() - started
    print(f"{'session':16} {len(numbers)} conversations, as the model says ({took_s:.1f} s)")
    return True


if __name__ == "__main__":
    sys.exit(main())
