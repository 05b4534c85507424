"""--csv: records as the log files of Exchange, for spreadsheets and scripts that read those (docs/tracking.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click


def csv_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds it to a command that lists records."""
    return click.option(
        "--csv", "as_csv", is_flag=True, help="As a log file of Exchange: CSV with #Fields, the oldest first."
    )(command)


def say_log(lines: Iterable[str]) -> None:
    """What records.csv_log made of them; each line has its end."""
    for line in lines:
        click.echo(line, nl=False)
