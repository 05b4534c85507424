"""gatepost track: what became of a mail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from gatepost.cli.csv_export import csv_option, say_log
from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, moment_at, say, say_json, say_table
from gatepost.cli.selection import (
    SEARCH,
    MailIdType,
    recipient_option,
    sender_option,
    since_option,
    until_option,
)
from gatepost.cli.shown import RECORD_HEADS, record_json, record_row
from gatepost.control.mails import records_of
from gatepost.ports.store import RecordFilter
from gatepost.records.csv_log import tracking_lines


@click.command()
@sender_option
@recipient_option
@since_option
@until_option
@click.option("--message-id", type=SEARCH, default="", metavar="TEXT", help="With this Message-ID field.")
@click.option(
    "--event",
    type=SEARCH,
    default="",
    metavar="TEXT",
    help="Of this event: RECEIVE, SEND, DELIVER, DEFER, FAIL, DSN, ...",
)
@click.option("--id", "mail_id", type=MailIdType(), default=None, help="Of this mail.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most records shown."
)
@csv_option
@json_option
@click.pass_obj
def command(
    face: Face,
    sender: str | None,
    recipient: str,
    since: Any,
    until: Any,
    message_id: str,
    event: str,
    mail_id: int | None,
    limit: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Find out what became of a mail: its records, newest first.

    Texts match whole, or with * as wildcard; case is ignored. Times are UTC. Mail that was never taken (refused,
    greylisted) has no record here: `gatepost agent-log` has it.
    """
    now = face.world.now()
    wanted = RecordFilter(
        since_at=moment_at(since, now),
        until_at=moment_at(until, now),
        mail_id=mail_id,
        event=event.upper(),
        sender=sender,
        recipient=recipient,
        message_id=message_id,
    )
    show_records(face, wanted, limit=limit, as_csv=as_csv, as_json=as_json)


def show_records(face: Face, wanted: RecordFilter, *, limit: int, as_csv: bool, as_json: bool) -> None:
    """The records that fit; exit status 1 when there is none."""
    refused = replace(wanted, kind="agent", event="Reject*")
    asks_for_mail = not wanted.event and wanted.mail_id is None
    with face.world.readers(face.configuration.settings) as readers:
        records = records_of(readers, wanted, limit=limit)
        was_refused = (
            asks_for_mail and not (as_json or as_csv) and bool(records_of(readers, refused, limit=1))
        )
    if as_csv:
        say_log(tracking_lines(reversed(records), at=face.world.now()))
    elif as_json:
        say_json([record_json(record) for record in records])
    else:
        say_table(RECORD_HEADS, [record_row(record) for record in records], empty="no record fits")
        if len(records) == limit:
            say(f"... the newest {limit}; more with --limit")
    if was_refused:
        click.echo("mail that fits was refused, too: `gatepost agent-log` with the same options", err=True)
    if not records:
        raise click.exceptions.Exit(EXIT_NO)
