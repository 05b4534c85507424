"""How answers look: a table for people, aligned text for pipes, JSON for programs. Peers' text cannot bite."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Any, Final, Literal

import click

from gatepost.config.schema import parse_duration

_CELL_LIMIT: Final = 200
_FOLDED_AT: Final = 30
"""Cells that are longer may be folded in a table on a terminal."""
_GAP: Final = 3
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--json, which every command that answers has."""
    return click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")(command)


def plain(text: object) -> str:
    """Peer's text for a terminal: nothing that moves the cursor, turns the writing round or ends the line."""
    said = str(text)
    if said.isprintable():
        return said
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in said)


def say(text: str = "") -> None:
    """One line of an answer, made printable."""
    click.echo("\n".join(plain(line) for line in text.split("\n")))


def say_json(value: object) -> None:
    """Printable ASCII only, so that no terminal is tricked."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True).replace("\x7f", "\\u007f"))


def say_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Rows under their heads; `empty` when there is none. Numbers stand right."""
    if not rows:
        say(empty)
        return
    cells = [[plain(cell)[:_CELL_LIMIT] for cell in row] for row in rows]
    widths = [max(len(line[n]) for line in (list(heads), *cells)) for n in range(len(heads))]
    if sys.stdout.isatty():
        columns = get_terminal_size().columns
        if sum(min(width, _FOLDED_AT) + _GAP for width in widths) <= columns:
            _rich_table(heads, cells, rows[0], widths)
        else:
            for line in cells:
                click.echo("\n".join(packed(heads, line, columns)))
        return
    for line in (list(heads), *cells):
        click.echo("  ".join(_padded(line, widths, rows[0])).rstrip())


def _padded(line: Sequence[str], widths: Sequence[int], sample: Sequence[object]) -> list[str]:
    return [
        cell.rjust(width) if isinstance(kind, int | float) else cell.ljust(width)
        for cell, width, kind in zip(line, widths, sample, strict=True)
    ]


def packed(heads: Sequence[str], cells: Sequence[str], columns: int) -> list[str]:
    """One row for a terminal that is too narrow for the table: no cell is broken, so that it can be copied."""
    lines = [cells[0]]
    for head, cell in zip(heads[1:], cells[1:], strict=True):
        said = f"{head} {cell}"
        if not cell:
            continue
        if len(lines[-1]) + 2 + len(said) <= columns:
            lines[-1] += f"  {said}"
        else:
            lines.append(f"  {said}")
    return lines


def _rich_table(
    heads: Sequence[str], cells: Sequence[Sequence[str]], sample: Sequence[object], widths: Sequence[int]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head, kind, width in zip(heads, sample, widths, strict=True):
        side: Literal["left", "right"] = "right" if isinstance(kind, int | float) else "left"
        table.add_column(head, justify=side, overflow="fold", no_wrap=width <= _FOLDED_AT)
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))  # Text: brackets of a peer are no markup
    Console().print(table)


def when(at: float) -> str:
    """2026-11-22T13:05:09Z; "-" for never."""
    if not at:
        return "-"
    try:
        return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "?"


def span(seconds: float) -> str:
    """3d4h, 5m12s: the two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for length, unit in _SPANS:
        if left >= length and len(parts) < 2:
            parts.append(f"{left // length}{unit}")
            left %= length
    return "".join(parts) or "0s"


def counted(number: int, what: str) -> str:
    """ "1 worker", "2 workers"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def octets(size_bytes: int) -> str:
    """4.0 KiB."""
    size, unit = float(size_bytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):  # the last one tried is the answer
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


class Moment(click.ParamType):  # type: ignore[type-arg]
    """A time: 2026-11-22, 2026-11-22T13:05 (UTC unless it says otherwise), or how long ago: 90m, 2h, 4d."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | tuple[str, float]:
        """Seconds since the epoch, or ("ago", seconds)."""
        text = str(value)
        try:
            return ("ago", float(str(parse_duration(text))))
        except ValueError:
            pass
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is not a time such as 2026-11-22, 2026-11-22T13:05 or 2h (ago)", param, ctx)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def moment_at(value: float | tuple[str, float] | None, now: float) -> float | None:
    """What Moment gave, as seconds since the epoch."""
    return now - value[1] if isinstance(value, tuple) else value
