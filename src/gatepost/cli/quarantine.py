"""gatepost quarantine: mail that waits for a person."""

from __future__ import annotations

from itertools import islice

import click

from gatepost.cli.front import Face
from gatepost.cli.output import json_option, octets, when
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
from gatepost.cli.shown import address_text
from gatepost.control.commands import DeleteQuarantine, ReleaseQuarantine
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import MailState, QueuedMail

_HEADS = ("ID", "TAKEN", "SIZE", "SCL", "SENDER", "RECIPIENT", "SUBJECT", "REASON")


@click.group()
def command() -> None:
    """See, release and delete mail that waits for a person."""


command.add_command(show_mail, "show")
command.add_command(export_mail, "export")


@command.command("list")
@selecting(state=False)
@limit_option
@json_option
def list_(face: Face, selection: Selection, limit: int, as_json: bool) -> None:
    """List quarantined mails, oldest first."""
    held = selection.within(MailState.QUARANTINED)
    with face.world.readers(face.configuration.settings) as readers:
        mails = [found.mail for found in islice(found_by(readers, held), limit)]
    list_mails(mails, heads=_HEADS, row=_row, empty="nothing is in quarantine", limit=limit, as_json=as_json)


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
def release(face: Face, selection: Selection, manner: Manner) -> None:
    """Deliver mails to their original recipients. They are not judged again."""
    change(
        face,
        selection,
        lambda targets: ReleaseQuarantine(targets=targets, by=who()),
        verb="release",
        state=MailState.QUARANTINED,
        manner=manner,
    )


@command.command()
@selecting(state=False)
@bulk
def delete(face: Face, selection: Selection, manner: Manner) -> None:
    """Remove mails for good. Nobody is told."""
    change(
        face,
        selection,
        lambda targets: DeleteQuarantine(targets=targets, by=who()),
        verb="delete",
        state=MailState.QUARANTINED,
        manner=manner,
    )
