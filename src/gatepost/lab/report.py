"""How the lab tells what happened: a table for people and for build logs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepost.lab.configuration import OURS
from gatepost.lab.errands import ANN, Row
from gatepost.lab.world import LabWorld

_LOG_WIDTH: Final = 150
_RIGHT, _WRONG = Text("ok", style="green"), Text("WRONG", style="bold red")


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a log."""
    made = Console(highlight=False, markup=False)
    if not made.is_terminal:
        made.width = _LOG_WIDTH
    return made


def show_rows(out: Console, rows: Sequence[Row]) -> None:
    """The table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("#", justify="right")
    for head, ratio in (("sent", 4), ("reply", 5), ("what became of it", 4), ("why", 6)):
        table.add_column(head, ratio=ratio, overflow="fold")
    table.add_column("")
    for number, row in enumerate(rows, 1):
        table.add_row(
            str(number), row.sent, row.reply, row.became, row.why, _RIGHT if row.is_right else _WRONG
        )
    out.print(table)


def show_verdict(out: Console, rows: Sequence[Row]) -> None:
    """One line: how many are as they must be."""
    right = sum(row.is_right for row in rows)
    out.print(f"\n{right} of {len(rows)} as they must be")


def show_invitation(out: Console, world: LabWorld, rows: Sequence[Row]) -> None:
    """What an operator can do now, as commands that work."""
    ids = [row.mail_id for row in rows if row.mail_id]
    explained = ids[0] if ids else "ID"
    gatepost = f"{_command()} --config {world.gateway.configuration}"
    smtp = world.ports.smtp
    lines = [
        "",
        f"The gateway listens on 127.0.0.1:{smtp}. Send something:",
        f"    swaks --server 127.0.0.1:{smtp} --from you@elsewhere.example --to {ANN} --tls",
        f"    telnet 127.0.0.1 {smtp}",
        "See what became of it, and why:",
        f"    {gatepost} explain {explained}",
        f"    {gatepost} track --recipient '*@{OURS}'",
        f"    {gatepost} queue list",
        "Play a mail that nobody sends, and have the verdict explained (--list: more of them):",
        f"    {gatepost} test mail spoofed-ceo",
        f"Name server 127.0.0.1:{world.ports.dns}, mailbox server 127.0.0.1:{world.ports.mailboxes}, "
        f"internet 127.0.0.1:{world.ports.internet}, metrics http://127.0.0.1:{world.ports.metrics}/metrics",
        f"Configuration {world.gateway.configuration}, log {world.gateway.log}",
        "",
        "Ctrl-C ends it.",
    ]
    for line in lines:
        out.print(line, soft_wrap=True)


def _command() -> str:
    """How this gatepost is called from here."""
    found = Path(sys.executable).with_name("gatepost")
    here = Path.cwd()
    return str(found.relative_to(here) if found.is_relative_to(here) else found)
