"""`python -m bench [--rounds 5] [--rows accept,relay] [--short]`: prints one table; never fails on a time."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import authentication
from bench.aiosmtpd_peer import Aiosmtpd
from bench.gatepost_server import Gatepost, ListingGatepost
from bench.haraka_peer import Haraka
from bench.hostile_row import hostile_lines
from bench.lines import Goal, Line
from bench.load import LoadFailed, smtp_source
from bench.machine import facts
from bench.postfix import Postfix
from bench.queues import growth_lines, start_lines
from bench.report import data_of, lines_of, text_of
from bench.rounds import Results, measure, missing
from bench.rows import LOADS, ROWS, Plan
from bench.rspamd import FilteredPostfix
from bench.server import Server
from bench.sink import MailSink
from bench.workers import worker_lines

PEERS: Final[tuple[type[Server], ...]] = (Gatepost, Postfix, FilteredPostfix, Haraka, Aiosmtpd)
_ONE_STEP_DOWN: Final = 0o755  # Postfix's own account must reach its files
_SHORT_QUEUES: Final = (20_000,)
_SHORT_SESSIONS: Final = (10, 50)
_SHORT_HOSTILE_S: Final = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 only when there is nothing to measure with, or a mail that was acknowledged is missing."""
    wishes = _parser().parse_args(arguments)
    if smtp_source() is None:
        print("smtp-source is not installed (tools/services.sh installs it): nothing to measure with")
        return 1
    usual = Plan()
    plan = Plan(
        rounds=wishes.rounds or (2 if wishes.short else usual.rounds),
        sessions=wishes.sessions or (_SHORT_SESSIONS if wishes.short else usual.sessions),
        share=wishes.share or (0.2 if wishes.short else usual.share),
        rows=wishes.rows,
        queues=wishes.queues or (_SHORT_QUEUES if wishes.short else usual.queues),
        hostile_s=wishes.hostile or (_SHORT_HOSTILE_S if wishes.short else usual.hostile_s),
        output=Path(wishes.output),
        is_short=wishes.short,
    )
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=wishes.directory))
    directory.chmod(_ONE_STEP_DOWN)
    try:
        status = _run(plan, directory, only=wishes.only)
    except LoadFailed as failure:
        print(f"no figures: {failure}\nlook below {directory}")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return status


def _run(plan: Plan, directory: Path, *, only: Sequence[str]) -> int:
    kinds = [kind for kind in PEERS if not only or kind.name.lower() in only]
    for kind in list(kinds):
        if reason := kind.why_not():
            print(f"{reason}: without {kind.name}")
            kinds.remove(kind)
    known = facts(directory)
    results, lost = _loads(plan, kinds, directory, known)
    lines = lines_of(results)
    if Gatepost in kinds:
        lines += _others(plan, directory)
    print(text_of(lines, known, lost))
    file = plan.output / f"bench-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data_of(lines, results, known, lost), indent=1))
    print(f"every round: {file}")
    return 1 if any(lost.values()) else 0


def _loads(
    plan: Plan, kinds: Sequence[type[Server]], directory: Path, known: dict[str, str]
) -> tuple[Results, dict[str, int]]:
    """The rows that are loads, of all servers at once. known: gets their versions."""
    if not {*LOADS, "latency", "idle"}.intersection(plan.rows):
        return Results(), {}
    with ExitStack() as running:
        servers = [running.enter_context(kind(directory / kind.name.lower())) for kind in kinds]
        relays: list[Server] = []
        for kind in (kind for kind in kinds if kind.can_relay and "relay" in plan.rows):
            sink = running.enter_context(MailSink(directory))
            relays.append(running.enter_context(kind(directory / f"{kind.name.lower()}-relay", sink)))
        listing = (
            [running.enter_context(ListingGatepost(directory / "gatepost-lists"))]
            if Gatepost in kinds and "lists" in plan.rows
            else []
        )
        known |= {server.name: server.version for server in servers}
        results = measure(plan, servers, relays, listing, _say)
        return results, dict(missing(results, (*servers, *relays)))


def _others(plan: Plan, directory: Path) -> list[Line]:
    """The rows with gateways of their own, or none."""
    lines: list[Line] = []
    if "authentication" in plan.rows:
        _say("who sent a mail")
        mine_ms, theirs_ms = authentication.measured()
        others = {"dkimpy + pyspf + dmarc": [theirs_ms]} if theirs_ms is not None else {}
        goal = Goal("", authentication.GOAL_MS, at_most=True)
        title = "who sent it, a mail of 16 KiB: CPU ms"
        lines.append(Line(title, ".3f", [mine_ms], others, (goal,)))
    for row, measured in (
        ("workers", worker_lines),
        ("start", start_lines),
        ("growth", growth_lines),
        ("hostile", hostile_lines),
    ):
        if row in plan.rows:
            lines += measured(plan, directory, _say)
    return lines


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    rows = "; ".join(f"{row}: {what}" for row, what in ROWS.items())
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, epilog=f"Rows are {rows}.")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--sessions", type=_numbers, default=(), help="of the rows accept and kept")
    parser.add_argument(
        "--short", action="store_true", help="two rounds, a fifth of the messages, short queues"
    )
    parser.add_argument("--share", type=float, default=0.0, help="of the usual numbers of messages")
    parser.add_argument(
        "--rows", type=_rows, default=tuple(ROWS), help="what is measured, with commas between"
    )
    parser.add_argument(
        "--only", type=lambda text: text.lower().split(","), default=(), help="servers, with commas between"
    )
    parser.add_argument(
        "--queues", type=_numbers, default=(), help="mails queued, for the rows start and growth"
    )
    parser.add_argument("--hostile", type=float, default=0.0, help="seconds of the row hostile")
    parser.add_argument("--output", default="build", help="where results and filled stores are kept")
    parser.add_argument(
        "--directory",
        default=os.environ.get("BENCH_DIRECTORY", "/var/tmp"),
        help="where all servers keep their mail: a real disk, not memory",
    )
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(","))


def _rows(text: str) -> tuple[str, ...]:
    wanted = tuple(text.split(","))
    for row in wanted:
        if row not in ROWS:
            raise argparse.ArgumentTypeError(f"{row!r} is no row; there are {', '.join(ROWS)}")
    return wanted


if __name__ == "__main__":
    # A job that is stopped stops its servers: the exception ends every `with` on its way.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main())
