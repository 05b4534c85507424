"""gatepost agent-log: what the agents objected to."""

from __future__ import annotations

from typing import Any

import click

from gatepost.cli.csv_export import csv_option, say_log
from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, moment_at, say_json, say_table, when
from gatepost.cli.selection import (
    SEARCH,
    MailIdType,
    recipient_option,
    sender_option,
    since_option,
    until_option,
)
from gatepost.cli.shown import record_json
from gatepost.control.mails import fits, records_of
from gatepost.ports.store import RecordFilter
from gatepost.records.csv_log import agent_log_lines

_SEARCHED = 10_000
_HEADS = ("TIME", "ID", "CLIENT", "AGENT", "EVENT", "ACTION", "SENDER", "RECIPIENT", "RESPONSE", "REASON")


@click.command()
@sender_option
@recipient_option
@click.option(
    "--client-ip",
    type=SEARCH,
    default="",
    metavar="TEXT",
    help="By this client address, among the newest 10000 that fit.",
)
@click.option("--agent", default="", metavar="NAME", help="By this agent, among the newest 10000 that fit.")
@click.option(
    "--action",
    type=SEARCH,
    default="",
    metavar="TEXT",
    help="With this action: RejectCommand, RejectMessage, ...",
)
@since_option
@until_option
@click.option("--id", "mail_id", type=MailIdType(), default=None, help="About this mail.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most entries shown."
)
@csv_option
@json_option
@click.pass_obj
def command(
    face: Face,
    sender: str | None,
    recipient: str,
    client_ip: str,
    agent: str,
    action: str,
    since: Any,
    until: Any,
    mail_id: int | None,
    limit: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """See what the agents objected to, newest first. Refused mail is here, too.

    What was refused before MAIL has no sender yet: look for it by --client-ip. `gatepost explain ID` tells more
    of a mail that has an ID.
    """
    now = face.world.now()
    wanted = RecordFilter(
        kind="agent",
        since_at=moment_at(since, now),
        until_at=moment_at(until, now),
        mail_id=mail_id,
        event=action,
        sender=sender,
        recipient=recipient,
    )
    with face.world.readers(face.configuration.settings) as readers:
        records = records_of(readers, wanted, limit=_SEARCHED if agent or client_ip else limit)
    pairs = [(record_json(record), record) for record in records]
    found = [
        (entry, record)
        for entry, record in pairs
        if agent in ("", entry.get("Agent")) and fits(_client_of(entry), client_ip)
    ][:limit]
    if as_csv:
        say_log(agent_log_lines((record for _, record in reversed(found)), at=now))
    elif as_json:
        say_json([entry for entry, _ in found])
    else:
        say_table(_HEADS, [_row(entry, when(record.at)) for entry, record in found], empty="no entry fits")
    if not found:
        raise click.exceptions.Exit(EXIT_NO)


def _row(entry: dict[str, Any], at: str) -> tuple[object, ...]:
    recipients = entry.get("Recipient") or ()
    said = (entry.get(name, "") for name in ("RemoteEndpoint", "Agent", "Event", "Action", "P1FromAddress"))
    why = entry.get("Reason") or entry.get("ReasonData") or ""
    return (
        at,
        entry.get("NetworkMessageId") or "-",
        *said,
        ";".join(map(str, recipients)),
        entry.get("SmtpResponse", ""),
        why,
    )


def _client_of(entry: dict[str, Any]) -> str:
    """The address in RemoteEndpoint: 192.0.2.1:4711, [2001:db8::1]:4711."""
    return str(entry.get("RemoteEndpoint", "")).rpartition(":")[0].strip("[]")
