"""`gatepost lab`: brings the lab up, runs every errand, shows the table, serves until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from gatepost.lab.errands import ERRANDS, Errand, Row
from gatepost.lab.gateway import GatewayFailed
from gatepost.lab.report import console, show_invitation, show_rows, show_verdict
from gatepost.lab.world import LabWorld

ERRAND_TIMEOUT_S: Final = 90.0
_SOCKET_PATH_BYTES: Final = 107
_LONGEST: Final = "state/control/worker-0.sock"
_MARK: Final = ".gatepost-lab"
_OURS: Final = ("state", "gatepost.toml", "gatepost.log", "recipients.txt")


def run(args: Sequence[str]) -> int:
    """0 when every row is as it must be and the gateway stopped cleanly, else 1; 2 for wrong arguments."""
    wishes = _parser().parse_args(list(args))
    out = console()
    try:
        directory = prepared(place_for(wishes.directory))
    except OSError as error:
        out.print(f"gatepost lab: {error}")
        return 2
    return asyncio.run(_lab(LabWorld(directory), out, once=wishes.once))


def place_for(wish: str) -> Path:
    """The directory that was asked for, else ./.lab, else one in the temporary directory when the path is long.

    A Unix socket's path has at most 107 octets, and the gateway has its sockets below the state directory.
    """
    if wish:
        return Path(wish).absolute()
    usual = Path(".lab").absolute()
    if len(os.fsencode(usual / _LONGEST)) <= _SOCKET_PATH_BYTES:
        return usual
    return Path(tempfile.mkdtemp(prefix="gatepost-lab-"))


def prepared(directory: Path) -> Path:
    """An empty lab directory, where only what a lab left behind is removed. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory / _MARK).exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty and was not made by gatepost lab")
    (directory / _MARK).touch()
    for name in _OURS:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return directory


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gatepost lab",
        description="The gateway between a name server, a mailbox server and an internet of its own, on loopback.",
    )
    parser.add_argument("--once", action="store_true", help="end after the table")
    parser.add_argument("--directory", default="", help="where configuration, state and log go (.lab)")
    return parser


async def _lab(world: LabWorld, out: Console, *, once: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    rows: list[Row] = []
    status = 1
    try:
        await world.start()
        rows = await _run_errands(world, out, stop)
        show_rows(out, rows)
        explained = await _explains(world, rows, out)
        show_verdict(out, rows)
        if not once and not stop.is_set():
            show_invitation(out, world, rows)
            await stop.wait()
        status = 0 if explained and len(rows) == len(ERRANDS) and all(row.is_right for row in rows) else 1
    except GatewayFailed as failed:
        out.print(f"gatepost lab: {failed}")
    finally:
        status = await _ended(world, out) or status
    if status:
        out.print(f"\nThe end of {world.gateway.log}:\n{world.gateway.log_end()}", soft_wrap=True)
    return status


async def _run_errands(world: LabWorld, out: Console, stop: asyncio.Event) -> list[Row]:
    """All at once; an errand that gets no answer is a wrong row, not the end of the lab."""
    if out.is_terminal:
        out.print(f"{len(ERRANDS)} errands on their way ...", end="\r", soft_wrap=True)
    running = [asyncio.ensure_future(_row_of(errand, world)) for errand in ERRANDS]
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait(
        [asyncio.ensure_future(asyncio.wait(running)), stopping], return_when="FIRST_COMPLETED"
    )
    stopping.cancel()
    return [task.result() for task in running if task.done()]


async def _row_of(errand: Errand, world: LabWorld) -> Row:
    try:
        async with asyncio.timeout(ERRAND_TIMEOUT_S):
            return await errand(world)
    except (OSError, ValueError, KeyError) as error:
        sent = errand.__name__.replace("_", " ")
        return Row(sent=sent, reply="-", became=f"{type(error).__name__}: {error}", is_right=False)


async def _explains(world: LabWorld, rows: Sequence[Row], out: Console) -> bool:
    """The refused mail explained by the command line, as an administrator would ask."""
    mail_id = next((row.mail_id for row in rows if row.is_explained), "")
    explained = await world.witness.explain(mail_id) if mail_id else ""
    out.print(f"\n$ gatepost explain {mail_id}\n{explained or 'NOTHING'}", soft_wrap=True)
    return bool(explained)


async def _ended(world: LabWorld, out: Console) -> int:
    try:
        return await world.stop()
    except GatewayFailed as failed:
        out.print(f"gatepost lab: {failed}")
        return 1
