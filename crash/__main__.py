"""`python -m crash [--kills 50] [--seed N]`: exit status 0 only when every promise was kept."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from crash.mutants import MUTANTS
from crash.report import text_of, write_account
from crash.run import Plan, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, prints, and keeps the account below build/."""
    wishes = _parser().parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="crash-", dir=_build()))
    plan = Plan(
        seed=wishes.seed,
        kills=wishes.kills,
        directory=directory,
        clients=wishes.clients,
        event_loop=wishes.event_loop,
        background=not wishes.no_background,
        arguments=("-m", "crash.mutants", wishes.mutant) if wishes.mutant else ("-m", "gatepost"),
    )
    outcome = uvloop.run(run(plan))
    write_account(outcome, _build() / f"crash-{wishes.mutant or 'gatepost'}-{plan.seed}.json")
    print(text_of(outcome))
    if outcome.is_good and not wishes.keep:
        shutil.rmtree(directory)
    else:
        print(f"its state and log are kept in {directory}")
    return 0 if outcome.is_good else 1


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
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="a gateway that lies: the run must fail")
    return parser


def _build() -> Path:
    build = Path("build").absolute()
    build.mkdir(exist_ok=True)
    return build


if __name__ == "__main__":
    sys.exit(main())
