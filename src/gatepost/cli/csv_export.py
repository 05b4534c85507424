"""--csv: records as the log files of Exchange, for spreadsheets and scripts that read those (docs/tracking.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.control.mails import records_of
from gatepost.model.queued import StoredRecord
from gatepost.ports.store import RecordFilter

Lines = Callable[..., Iterable[str]]
"""records.csv_log.tracking_lines or agent_log_lines."""


def csv_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds it to a command that lists records."""
    return click.option(
        "--csv", "as_csv", is_flag=True, help="As a log file of Exchange: CSV with #Fields, the oldest first."
    )(command)


def export(face: Face, wanted: RecordFilter, lines_of: Lines, *, limit: int) -> None:
    """The newest records that fit, the oldest of them first; exit status 1 when there is none."""
    with face.world.readers(face.configuration.settings) as readers:
        records: list[StoredRecord] = records_of(readers, wanted, limit=limit)
    for line in lines_of(reversed(records), at=face.world.now()):
        click.echo(line, nl=False)
    if not records:
        raise click.exceptions.Exit(EXIT_NO)
