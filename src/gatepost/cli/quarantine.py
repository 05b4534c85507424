"""gatepost quarantine: mail that waits for a person."""

from __future__ import annotations

from itertools import islice

import click

from gatepost.cli.front import Face
from gatepost.cli.output import json_option, octets, say_json, say_table, when
from gatepost.cli.queue import show as show_mail
from gatepost.cli.queue import who
from gatepost.cli.selection import Selection, bulk, change, found_by, selecting
from gatepost.cli.shown import address_text, mail_json
from gatepost.control.commands import DeleteQuarantine, ReleaseQuarantine
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import MailState, QueuedMail

_HEADS = ("ID", "TAKEN", "SIZE", "SCL", "SENDER", "RECIPIENT", "SUBJECT", "REASON")


@click.group()
def command() -> None:
    """See, release and delete mail that waits for a person."""


command.add_command(show_mail, "show")


@command.command("list")
@selecting(state=False)
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="Most mails shown."
)
@json_option
def list_(face: Face, selection: Selection, limit: int, as_json: bool) -> None:
    """List quarantined mails, oldest first."""
    held = selection.within(MailState.QUARANTINED)
    with face.world.readers(face.configuration.settings) as readers:
        mails = [found.mail for found in islice(found_by(readers, held), limit)]
    if as_json:
        say_json([mail_json(mail) for mail in mails])
        return
    say_table(_HEADS, [_row(mail) for mail in mails], empty="nothing is in quarantine")


def _row(mail: QueuedMail) -> tuple[object, ...]:
    first = mail.recipients[0]
    more = f" (+{len(mail.recipients) - 1})" if len(mail.recipients) > 1 else ""
    return (
        mail_id_text(mail.mail_id),
        when(mail.received_at),
        octets(mail.size_bytes),
        mail.scl,
        address_text(mail.sender),
        f"{first.recipient.address}{more}",
        mail.subject[:60],
        first.last_reply[:60],
    )


@command.command()
@selecting(state=False)
@bulk
@json_option
def release(face: Face, selection: Selection, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Deliver mails to their original recipients. They are not judged again."""
    change(
        face,
        selection,
        lambda targets: ReleaseQuarantine(targets=targets, by=who()),
        verb="release",
        state=MailState.QUARANTINED,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )


@command.command()
@selecting(state=False)
@bulk
@json_option
def delete(face: Face, selection: Selection, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove mails for good. Nobody is told."""
    change(
        face,
        selection,
        lambda targets: DeleteQuarantine(targets=targets, by=who()),
        verb="delete",
        state=MailState.QUARANTINED,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
