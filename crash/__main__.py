"""`python -m crash [--kills 50] [--seed N]`: exit status 0 only when every promise was kept."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop
from powercut.library import NoCompiler, build

from crash.mutants import MUTANTS
from crash.report import text_of, write_account
from crash.run import Outcome, Plan, run

_PATIENCE_WITH_A_LIAR_S: Final = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, prints, and keeps the account below build/."""
    wishes = _parser().parse_args(arguments)
    if wishes.prove:
        return _prove(wishes)
    try:
        outcome = _run(wishes, mutant=wishes.mutant)
    except TimeoutError:
        print(
            f"seed {wishes.seed}: the gateway did not come up; look at gatepost.log below {_build()}/crash-*"
        )
        return 1
    print(text_of(outcome))
    if outcome.is_good and not wishes.keep:
        shutil.rmtree(outcome.plan.directory)
    else:
        print(f"its state and log are kept in {outcome.plan.directory}")
    return 0 if outcome.is_good else 1


def _prove(wishes: argparse.Namespace) -> int:
    """Every lying gateway must be found out, for the right reason: exit status 0 when all were."""
    undetected = 0
    for name, mutant in MUTANTS.items():
        outcome = _run(wishes, mutant=name)
        shutil.rmtree(outcome.plan.directory)
        count = outcome.count(mutant.must_find)
        undetected += not count
        print(f"{name:24}{mutant.must_find.value}: {count or 'NOT FOUND'}", flush=True)
    return 1 if undetected else 0


def _run(wishes: argparse.Namespace, *, mutant: str | None) -> Outcome:
    plan = Plan(
        seed=wishes.seed,
        kills=wishes.kills,
        directory=Path(tempfile.mkdtemp(prefix="crash-", dir=_build())),
        clients=wishes.clients,
        event_loop=wishes.event_loop,
        background=not wishes.no_background,
        empty_within_s=wishes.empty_within if mutant is None else _PATIENCE_WITH_A_LIAR_S,
        arguments=("-m", "crash.mutants", mutant) if mutant else ("-m", "crash.moments"),
        library=_library(),
    )
    outcome = uvloop.run(run(plan))
    write_account(outcome, _build() / f"crash-{mutant or 'gatepost'}-{plan.seed}.json")
    return outcome


def _library() -> Path | None:
    try:
        return build(_build())
    except NoCompiler as reason:
        print(f"{reason}: every kill is at random", flush=True)
        return None


def _parser() -> argparse.ArgumentParser:
    environment = os.environ
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=int(environment.get("KILLS", "50")))
    parser.add_argument(
        "--seed",
        type=int,
        default=int(environment.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**6),
    )
    parser.add_argument("--clients", type=int, default=20, help="connections of the ledger")
    parser.add_argument("--event-loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--no-background", action="store_true", help="no smtp-source beside it")
    parser.add_argument("--keep", action="store_true", help="keep the state directory of a good run, too")
    parser.add_argument(
        "--empty-within", type=float, default=90.0, help="seconds to empty the queue after the kills"
    )
    parser.add_argument(
        "--prove", action="store_true", help="run every lying gateway: each must be found out"
    )
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="a gateway that lies: the run must fail")
    return parser


def _build() -> Path:
    build = Path("build").absolute()
    build.mkdir(exist_ok=True)
    return build


if __name__ == "__main__":
    # A job that is stopped stops its gateways: the exception ends every `with` on its way.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main())
