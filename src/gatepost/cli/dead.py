"""gatepost dead: mail that was given up without telling anybody, because nobody may be told."""

from __future__ import annotations

from itertools import islice

import click

from gatepost.cli.front import Face
from gatepost.cli.output import json_option, say_json, say_table
from gatepost.cli.queue import show as show_mail
from gatepost.cli.queue import who
from gatepost.cli.selection import Selection, bulk, change, found_by, selecting
from gatepost.cli.shown import MAIL_HEADS, mail_json, mail_row
from gatepost.control.commands import RemoveMail, RetryMail
from gatepost.model.queued import MailState


@click.group()
def command() -> None:
    """See and change mail that was given up without a notice.

    A notice of ours that cannot be delivered ends here: a notice about a notice would run in circles.
    """


command.add_command(show_mail, "show")


@command.command("list")
@selecting(state=False)
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="Most mails shown."
)
@json_option
def list_(face: Face, selection: Selection, limit: int, as_json: bool) -> None:
    """List dead mails, oldest first."""
    dead = selection.within(MailState.DEAD)
    with face.world.readers(face.configuration.settings) as readers:
        mails = [found.mail for found in islice(found_by(readers, dead), limit)]
    if as_json:
        say_json([mail_json(mail) for mail in mails])
        return
    say_table(MAIL_HEADS, [mail_row(mail) for mail in mails], empty="there is no dead mail")


@command.command()
@selecting(state=False)
@bulk
@json_option
def retry(face: Face, selection: Selection, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Put dead mails back into the queue, due now."""
    change(
        face,
        selection,
        lambda targets: RetryMail(targets=targets, by=who()),
        verb="retry",
        state=MailState.DEAD,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )


@command.command()
@selecting(state=False)
@bulk
@json_option
def remove(face: Face, selection: Selection, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Remove dead mails for good."""
    change(
        face,
        selection,
        lambda targets: RemoveMail(targets=targets, by=who()),
        verb="remove",
        state=MailState.DEAD,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
