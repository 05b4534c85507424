"""`gatepost lab dns`: a name server for drills, that answers from a zone text and fails where it is told to."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from gatepost.config.networks import Binding
from gatepost.lab.arguments import binding, duration
from gatepost.lab.dns_lies import TWISTS
from gatepost.lab.dns_server import Fault, LabDns
from gatepost.lab.report import console

ZONE_LIMIT_BYTES: Final = 4 << 20
_EVERYTHING: Final = "."


def run(args: Sequence[str]) -> int:
    """Serve until Ctrl-C: 0; 1 when it cannot read the zone or listen, 2 for wrong arguments."""
    wishes = _parser().parse_args(list(args))
    out = console()
    try:
        names = LabDns(_zone(wishes.zone), dict(wishes.fault))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        out.print(f"gatepost lab dns: {wishes.zone}: {reason}", soft_wrap=True)
        return 1
    names.watch = lambda name, kind, way: out.print(f"{name or _EVERYTHING} {kind} by {way}", soft_wrap=True)
    try:
        return asyncio.run(_serve(names, wishes.listen, wishes.heal_after, out))
    except OSError as error:
        out.print(f"gatepost lab dns: {wishes.listen.address}:{wishes.listen.port}: {error.strerror}")
        return 1


def _zone(file: Path | None) -> str:
    if file is None:
        return ""
    with file.open("rb") as opened:
        octets = opened.read(ZONE_LIMIT_BYTES + 1)
    if len(octets) > ZONE_LIMIT_BYTES:
        raise ValueError(f"larger than {ZONE_LIMIT_BYTES >> 20} MiB")
    return octets.decode("utf-8")  # UnicodeDecodeError is a ValueError


async def _serve(names: LabDns, listen: Binding, heal_after_s: float, out: Console) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await names.start(listen.address, listen.port)
    out.print(f"{listen.address}:{names.port}, until Ctrl-C", soft_wrap=True)
    if heal_after_s and names.faults:
        loop.call_later(heal_after_s, _heal, names, out)
    await stop.wait()
    await names.stop()
    return 0


def _heal(names: LabDns, out: Console) -> None:
    names.faults.clear()
    out.print("healed: every answer is true from now on")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gatepost lab dns",
        description="Answer DNS questions from a zone text, by UDP and TCP, and fail where told to: for drills.",
    )
    parser.add_argument("--listen", type=binding, required=True, help="address and port, 127.0.0.1:5353")
    parser.add_argument(
        "--zone", type=Path, help='lines "name type data": "b.example MX 10 mx.b.example."; without: no names'
    )
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME=FAULT[:DELAY]",
        help=f'what goes wrong about a name and those below it ("." all), and how late: {", ".join(TWISTS)}',
    )
    parser.add_argument(
        "--heal-after", type=duration, default=0.0, help="end the faults after this time: 60s"
    )
    return parser


def _fault(text: str) -> tuple[str, Fault]:
    """ "b.example=servfail", ".=late:3s"."""
    name, equals, said = text.partition("=")
    word, colon, delay = said.partition(":")
    if not name or not equals or word not in TWISTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FAULT with one of {', '.join(TWISTS)}")
    if word == "late" and not colon:
        raise argparse.ArgumentTypeError(f"{text!r}: how late? {text}:3s")
    return name.strip(".").lower(), Fault(TWISTS[word], delay_s=duration(delay) if colon else 0.0)
