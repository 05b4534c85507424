"""gatepost dead: mail that was given up without telling anybody, because nobody may be told."""

from __future__ import annotations

from itertools import islice

import click

from gatepost.cli.front import Face
from gatepost.cli.output import json_option
from gatepost.cli.queue import export as export_mail
from gatepost.cli.queue import show as show_mail
from gatepost.cli.queue import who
from gatepost.cli.selection import (
    Manner,
    Selection,
    bulk,
    change,
    found_by,
    limit_option,
    list_mails,
    selecting,
)
from gatepost.control.commands import RemoveMail, RetryMail
from gatepost.model.queued import MailState


@click.group()
def command() -> None:
    """See and change mail that was given up without a notice.

    What fails ends here when its sender may not be told: a sender nobody vouches for
    (notices.to), the null sender, a notice of ours.
    """


command.add_command(show_mail, "show")
command.add_command(export_mail, "export")


@command.command("list")
@selecting(state=False)
@limit_option
@json_option
def list_(face: Face, selection: Selection, limit: int, as_json: bool) -> None:
    """List dead mails, oldest first."""
    dead = selection.within(MailState.DEAD)
    with face.world.readers(face.configuration.settings) as readers:
        mails = [found.mail for found in islice(found_by(readers, dead), limit)]
    list_mails(mails, empty="there is no dead mail", limit=limit, as_json=as_json)


@command.command()
@selecting(state=False)
@bulk
def retry(face: Face, selection: Selection, manner: Manner) -> None:
    """Put dead mails back into the queue, due now."""
    change(
        face,
        selection,
        lambda targets: RetryMail(targets=targets, by=who()),
        verb="retry",
        state=MailState.DEAD,
        manner=manner,
    )


@command.command()
@selecting(state=False)
@bulk
def remove(face: Face, selection: Selection, manner: Manner) -> None:
    """Remove dead mails for good."""
    change(
        face,
        selection,
        lambda targets: RemoveMail(targets=targets, by=who()),
        verb="remove",
        state=MailState.DEAD,
        manner=manner,
    )
