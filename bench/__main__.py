"""`python -m bench [--rounds 5] [--sessions 1,10,50] [--short]`: prints one table; never fails on a time."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import authentication
from bench.gatepost_server import Gatepost, ListingGatepost
from bench.load import LoadFailed, smtp_source
from bench.machine import facts
from bench.postfix import Postfix, why_not
from bench.report import data_of, text_of
from bench.rounds import Plan, measure, missing
from bench.server import Server
from bench.sink import MailSink

_ONE_STEP_DOWN = 0o755  # Postfix's own account must reach its files


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 only when there is nothing to measure with, or a mail that was acknowledged is missing."""
    wishes = _parser().parse_args(arguments)
    if smtp_source() is None:
        print("smtp-source is not installed (tools/services.sh installs it): nothing to measure with")
        return 1
    plan = Plan(
        rounds=wishes.rounds or (2 if wishes.short else 5),
        sessions=tuple(int(one) for one in wishes.sessions.split(",")),
        share=0.25 if wishes.short else 1.0,
    )
    directory = Path(tempfile.mkdtemp(prefix="gatepost-bench-", dir=wishes.directory))
    directory.chmod(_ONE_STEP_DOWN)
    try:
        status = _run(plan, directory, only=wishes.only)
    except LoadFailed as failure:
        print(f"no figures: {failure}\nlook below {directory}")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return status


def _run(plan: Plan, directory: Path, *, only: str) -> int:
    kinds: list[type[Server]] = [Gatepost] if only != "postfix" else []
    if reason := why_not():
        print(f"{reason}: Gatepost alone is measured")
    elif only != "gatepost":
        kinds.append(Postfix)
    known = facts(directory)
    with ExitStack() as running:
        servers = [running.enter_context(kind(directory / kind.name.lower())) for kind in kinds]
        relays: list[Server] = []
        for kind in kinds:
            sink = running.enter_context(MailSink(directory))
            relays.append(running.enter_context(kind(directory / f"{kind.name.lower()}-relay", sink)))
        listing = (
            [running.enter_context(ListingGatepost(directory / "gatepost-lists"))]
            if Gatepost in kinds
            else []
        )
        known |= {server.name: server.version for server in servers}
        known["when"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        results = measure(plan, servers, relays, listing, lambda text: print(text, file=sys.stderr))
        lost = missing(results, (*servers, *relays))
    print(text_of(results, known, lost))
    print(authentication.line(*authentication.measured()))
    file = Path("build") / f"bench-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(data_of(results, known, lost), indent=1))
    print(f"every round: {file}")
    return 1 if any(lost.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--sessions", default="1,10,50")
    parser.add_argument("--short", action="store_true", help="two rounds, a quarter of the messages")
    parser.add_argument("--only", choices=("gatepost", "postfix"), default="")
    parser.add_argument(
        "--directory",
        default=os.environ.get("BENCH_DIRECTORY", "/var/tmp"),
        help="where both servers keep their mail: a real disk, not memory",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
