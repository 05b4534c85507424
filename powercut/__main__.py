"""`python -m powercut [--states 500] [--seed N]`: exit status 0 only when every promise survived every power cut."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from powercut.disk import CannotJudge, Model
from powercut.explore import Failure, State, cuts_of, every_state, explore, states_of
from powercut.library import NoCompiler, build
from powercut.mutants import MUTANTS
from powercut.record import WORKERS, Recording, record
from powercut.tracing import BrokenTrace, Op, Record, read_trace

_SHOWN: Final = 20
_MEMORY: Final = Path("/dev/shm")


def main(arguments: Sequence[str] | None = None) -> int:
    """Records, explores, prints. 0: nothing found; 1: a promise was broken; 2: it could not be judged."""
    wishes = _parser().parse_args(arguments)
    try:
        return _prove(wishes) if wishes.prove else _one(wishes)
    except NoCompiler as reason:
        print(reason)
    except TimeoutError:
        print(f"seed {wishes.seed}: the gateway did not come up; look at gatepost.log below build/powercut-*")
    except (CannotJudge, BrokenTrace) as reason:
        print(f"seed {wishes.seed}: {reason}")
    return 2


def _one(wishes: argparse.Namespace) -> int:
    directory = Path(wishes.trace).absolute() if wishes.trace else _recorded(wishes, wishes.mutant)
    records = list(read_trace(directory / "trace", _state_of(directory)))
    print(f"seed {wishes.seed}: {_contents(records)}", flush=True)
    states = _states(records, wishes)
    began_at = time.monotonic()
    looked: Counter[Model] = Counter()
    mails: Counter[Model] = Counter()

    failures = []
    for failure in _explored(records, states, looked, mails):
        failures.append(failure)
        if len(failures) <= _SHOWN:
            print(
                f"  {failure.fault.value}: cut after {failure.cut}, {failure.model.value}: {failure.text}",
                flush=True,
            )
    for model in Model:
        print(f"  unsynced {model.value:10}{looked[model]:>7} disks, {mails[model]:>8} mails read on them")
    print(f"  {time.monotonic() - began_at:.0f} s")
    if not failures:
        print("every promise was kept")
        if not wishes.keep and not wishes.trace:
            shutil.rmtree(directory)
        return 0
    print(f"FAILED, {len(failures)} broken promises; the same again with:")
    how_many = (
        f"--every-cut --operations {wishes.operations}" if wishes.every_cut else f"--states {wishes.states}"
    )
    print(f"  python -m powercut --trace {directory} --seed {wishes.seed} {how_many}")
    return 1


def _states(records: Sequence[Record], wishes: argparse.Namespace) -> Sequence[State]:
    """What is looked at. Raises CannotJudge when a trace that should have so many operations has fewer."""
    if not wishes.every_cut:
        return states_of(records, wishes.seed, wishes.states)
    cuts = cuts_of(records, wishes.operations)
    print(f"  every cut of its first {wishes.operations} operations: {cuts}, under each model", flush=True)
    return [state for state in every_state(records, wishes.seed) if state.cut <= cuts]


def _explored(
    records: Sequence[Record], states: Sequence[State], looked: Counter[Model], mails: Counter[Model]
) -> Sequence[Failure]:
    """All failures, counted by the way. The disks are laid out in memory where there is such a place."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None, prefix="powercut-") as place:

        def seen(state: State, found_mails: int) -> None:
            looked[state.model] += 1
            mails[state.model] += found_mails

        return list(
            explore(
                records,
                states,
                Path(place) / "state",
                WORKERS,
                seen=lambda s, found: seen(s, len(found.mails)),
            )
        )


def _prove(wishes: argparse.Namespace) -> int:
    """Every mutant must be found out: exit status 0 when all were."""
    undetected = 0
    for name in MUTANTS:
        directory = _recorded(wishes, name)
        records = list(read_trace(directory / "trace", _state_of(directory)))
        states = states_of(records, wishes.seed, wishes.states)
        failures = _explored(records, states, Counter(), Counter())
        shutil.rmtree(directory)
        undetected += not failures
        found = Counter(failure.fault.value for failure in failures)
        print(f"{name:24}{', '.join(f'{f}: {n}' for f, n in found.items()) or 'NOT FOUND'}", flush=True)
    return 1 if undetected else 0


def _recorded(wishes: argparse.Namespace, mutant: str | None) -> Path:
    build_directory = Path("build").absolute()
    build_directory.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="powercut-", dir=build_directory))
    plan = Recording(
        seed=wishes.seed,
        mails=wishes.mails,
        directory=directory,
        library=build(build_directory),
        deaths=wishes.deaths,
        arguments=("-m", "powercut.mutants", mutant) if mutant else ("-m", "gatepost"),
    )
    (directory / "watched").write_text(str(plan.state))
    uvloop.run(record(plan))
    return directory


def _state_of(directory: Path) -> Path:
    """The path that was watched, which a trace names in full."""
    return Path((directory / "watched").read_text())


def _contents(records: Sequence[Record]) -> str:
    count = Counter(record.op for record in records)
    return (
        f"{len(records)} records: {count[Op.WRITE]} writes, {count[Op.SYNC_END]} syncs, "
        f"{count[Op.SAY]} times 250, {count[Op.DELIVERED]} deliveries"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m powercut", description=__doc__)
    parser.add_argument("--states", type=int, default=500, help="how many disks to look at")
    parser.add_argument(
        "--every-cut", action="store_true", help="every cut of a trace under every model instead"
    )
    parser.add_argument(
        "--operations",
        type=int,
        default=2000,
        help="how many changes and syncs of the trace --every-cut looks at",
    )
    parser.add_argument(
        "--mails", type=int, default=300, help="how many mails are offered in the recorded run"
    )
    parser.add_argument("--deaths", type=int, default=2, help="how many workers are killed in it")
    parser.add_argument(
        "--seed",
        type=int,
        default=int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**6),
    )
    parser.add_argument("--trace", default="", help="explore this recorded run again")
    parser.add_argument("--keep", action="store_true", help="keep the trace of a good run, too")
    parser.add_argument("--prove", action="store_true", help="run every mutant: each must be found out")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="a gateway with a fault: the run must fail")
    return parser


if __name__ == "__main__":
    # A job that is stopped stops its gateways: the exception ends every `with` on its way.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main())
