"""gatepost agent-log: what the agents objected to."""

from __future__ import annotations

from typing import Any

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import Moment, json_option, moment_at, say_json, say_table, when
from gatepost.cli.selection import MailIdType
from gatepost.cli.shown import record_json
from gatepost.control.mails import records_of
from gatepost.ports.store import RecordFilter

_SEARCHED = 10_000
_HEADS = ("TIME", "CLIENT", "AGENT", "EVENT", "ACTION", "SENDER", "RECIPIENT", "RESPONSE", "REASON")


@click.command()
@click.option(
    "--sender", default=None, metavar="TEXT", help='From this return path; "<>" is the null sender.'
)
@click.option("--recipient", default="", metavar="TEXT", help="To this recipient.")
@click.option("--agent", default="", metavar="NAME", help="By this agent, among the newest 10000 that fit.")
@click.option(
    "--action", default="", metavar="TEXT", help="With this action: RejectCommand, RejectMessage, ..."
)
@click.option(
    "--since",
    type=Moment(),
    default=None,
    help="From this time on: 2026-11-22, 2026-11-22T13:05, or 2h (ago).",
)
@click.option("--until", type=Moment(), default=None, help="Before this time.")
@click.option("--id", "mail_id", type=MailIdType(), default=None, help="About this mail.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Most entries shown."
)
@json_option
@click.pass_obj
def command(
    face: Face,
    sender: str | None,
    recipient: str,
    agent: str,
    action: str,
    since: Any,
    until: Any,
    mail_id: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """See what the agents objected to, newest first. Refused mail is here, too."""
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
        records = records_of(readers, wanted, limit=_SEARCHED if agent else limit)
    pairs = [(record_json(record), when(record.at)) for record in records]
    found = [(entry, at) for entry, at in pairs if agent in ("", entry.get("Agent"))][:limit]
    if as_json:
        say_json([entry for entry, _ in found])
    else:
        say_table(_HEADS, [_row(entry, at) for entry, at in found], empty="no entry fits")
    if not found:
        raise click.exceptions.Exit(EXIT_NO)


def _row(entry: dict[str, Any], at: str) -> tuple[object, ...]:
    recipients = entry.get("Recipient") or ()
    said = (entry.get(name, "") for name in ("RemoteEndpoint", "Agent", "Event", "Action", "P1FromAddress"))
    return (at, *said, ";".join(map(str, recipients)), entry.get("SmtpResponse", ""), entry.get("Reason", ""))
