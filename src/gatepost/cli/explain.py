"""gatepost explain: why a mail was treated as it was."""

from __future__ import annotations

import json

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table
from gatepost.cli.selection import MailIdType
from gatepost.cli.shown import RECORD_HEADS, record_json, record_row, why_silent
from gatepost.control.mails import dossier_of, records_of
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import mail_id_text
from gatepost.ports.store import RecordFilter

_RECORDS_SHOWN = 50


@click.command()
@click.argument("mail_id", type=MailIdType(), metavar="ID")
@json_option
@click.pass_obj
def command(face: Face, mail_id: int, as_json: bool) -> None:
    """Show what was known and thought of a mail, by whom, what followed, and what would have turned it."""
    from gatepost.policy.explain import explain  # loads every agent: not for --help
    from gatepost.policy.order import fact_types
    from gatepost.policy.third_party import find_third_party

    settings = face.configuration.settings
    with face.world.readers(settings) as readers:
        dossier = dossier_of(readers, mail_id)
        records = records_of(readers, RecordFilter(mail_id=mail_id), limit=_RECORDS_SHOWN)
    if dossier is None and not records:
        click.echo(
            f"{mail_id_text(mail_id)}: nothing is known of it (any more); "
            "records.dossier-age and records.tracking-age say how long it is kept",
            err=True,
        )
        raise click.exceptions.Exit(EXIT_NO)
    explanation = None
    if dossier is not None:
        try:
            explanation = explain(dossier, fact_types(find_third_party(settings.policy.agents_directory)))
        except ValueError as error:
            raise WorldFault(f"the dossier of {mail_id_text(mail_id)} cannot be read: {error}") from error
    if as_json:
        said = json.loads(explanation.as_json()) if explanation else None
        say_json({"explanation": said, "records": [record_json(record) for record in records]})
        return
    for line in (
        explanation.lines() if explanation else ("no agent was asked about it, or it is not kept any more",)
    ):
        say(line)
    if records:
        say()
        say_table(RECORD_HEADS, [record_row(record) for record in reversed(records)], empty="")
    for why in why_silent(reversed(records)):
        say(f"became a dead letter at {why}")
