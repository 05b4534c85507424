"""gatepost queue: what waits to be delivered."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NoReturn

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table, span, when
from gatepost.cli.selection import (
    MailIdType,
    Manner,
    Selection,
    answer,
    bulk,
    change,
    found_by,
    limit_option,
    list_mails,
    selecting,
)
from gatepost.cli.shown import mail_json, mail_lines, why_silent
from gatepost.control.commands import (
    RemoveMail,
    ResumeHop,
    ResumeMail,
    RetryHop,
    RetryMail,
    SuspendHop,
    SuspendMail,
)
from gatepost.control.links import WorkerLink, tell_all
from gatepost.control.mails import content_of, mail_of, records_of, summary_of
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import MailState
from gatepost.ports.store import RecordFilter, StoreReader
from gatepost.records.tracking import Event

_COPY_BYTES = 1 << 20
_GRAVES_SHOWN = 10


@click.group()
def command() -> None:
    """See and change what waits to be delivered.

    Texts in filters match whole, or with * as wildcard; case is ignored. A command about a
    mail with several recipients is about those that fit the filters.
    """


@command.command("list")
@selecting()
@limit_option
@click.option("--summary", is_flag=True, help="One line for each next hop instead of one for each mail.")
@json_option
def list_(face: Face, selection: Selection, limit: int, summary: bool, as_json: bool) -> None:
    """List mails, oldest first."""
    with face.world.readers(face.configuration.settings) as readers:
        if summary:
            _summary(readers, face.world.now(), as_json=as_json)
            return
        mails = [found.mail for found in islice(found_by(readers, selection), limit)]
    list_mails(mails, empty="the queue is empty", limit=limit, as_json=as_json)


def _summary(readers: Sequence[StoreReader], now: float, *, as_json: bool) -> None:
    hops = summary_of(readers)
    if as_json:
        say_json(
            [
                {
                    "next_hop": h.next_hop,
                    "mails": h.mails,
                    "recipients": h.recipients,
                    "states": dict(h.states),
                    "oldest": when(h.oldest_at),
                    "next_try": when(h.next_due_at),
                    "last_reply": h.last_reply,
                }
                for h in hops
            ]
        )
        return
    rows = [
        (
            h.next_hop or "(none)",
            h.mails,
            h.recipients,
            ", ".join(f"{number} {state}" for state, number in sorted(h.states.items())),
            span(now - h.oldest_at),
            when(h.next_due_at),
            h.last_reply[:60],
        )
        for h in hops
    ]
    heads = ("NEXT HOP", "MAILS", "RECIPIENTS", "STATES", "OLDEST", "NEXT TRY", "LAST REPLY")
    say_table(heads, rows, empty="the queue is empty")


@command.command()
@click.argument("mail_id", type=MailIdType(), metavar="ID")
@click.option("--headers", is_flag=True, help="Print the mail's header section, too.")
@json_option
@click.pass_obj
def show(face: Face, mail_id: int, headers: bool, as_json: bool) -> None:
    """Show everything about one mail but its body."""
    with face.world.readers(face.configuration.settings) as readers:
        mail = mail_of(readers, mail_id)
        content = content_of(readers, mail_id) if mail and headers else None
        graves = (
            records_of(readers, RecordFilter(mail_id=mail_id, event=Event.BADMAIL.value), limit=_GRAVES_SHOWN)
            if mail
            else []
        )
    if mail is None:
        not_here(mail_id)
    head = content[1].head.decode("utf-8", "replace") if content else ""
    if as_json:
        silent = {"no_notice": list(why_silent(graves))} if graves else {}
        say_json({**mail_json(mail), **silent, **({"headers": head} if headers else {})})
        return
    for name, value in (*mail_lines(mail), *(("dead since", why) for why in why_silent(graves))):
        say(f"{name:<14}{value}".replace("\n", " "))
    if head:
        say()
        for line in head.rstrip("\r\n").split("\r\n"):
            say(line)


def not_here(mail_id: int) -> NoReturn:
    """Say that a mail is in no store, and end."""
    click.echo(
        f"{mail_id_text(mail_id)}: not in the queue (any more); "
        f"`gatepost track --id {mail_id_text(mail_id)}` tells what became of it",
        err=True,
    )
    raise click.exceptions.Exit(EXIT_NO)


@command.command()
@selecting()
@bulk
@click.option(
    "--via", default="", metavar="NAME", help="By this send connector, whatever address spaces say."
)
def retry(face: Face, selection: Selection, manner: Manner, via: str) -> None:
    """Try mails now, whatever they wait for.

    Unreachable, poison and dead mail goes back to the queue, and the routing of today is
    used. --next-hop alone, or --all, also ends the rest of a next hop that could not be reached.
    With --via mail leaves by another send connector: to another gateway, say, before this one is
    switched off.
    """
    if via and via not in face.configuration.settings.send_connectors:
        raise click.BadParameter(f"there is no send connector {via!r}", param_hint="--via")
    hop = selection.only_next_hop
    if not via and hop is not None and not manner.dry_run and not selection.is_empty:
        with face.world.links(face.configuration) as links:
            answer(tell_all(links, RetryHop(next_hop=hop, by=who())), as_json=manner.as_json)
        return
    change(
        face,
        selection,
        lambda targets: RetryMail(targets=targets, via=via, by=who()),
        verb="retry",
        manner=manner,
    )


@command.command()
@selecting()
@bulk
@click.option(
    "--ndr", is_flag=True, help="Tell the senders, with a non-delivery report. Never about a notice."
)
def remove(face: Face, selection: Selection, manner: Manner, ndr: bool) -> None:
    """Take mails out of the queue for good."""
    change(
        face,
        selection,
        lambda targets: RemoveMail(targets=targets, notice=ndr, by=who()),
        verb="remove",
        manner=manner,
    )


@command.command()
@selecting()
@bulk
def suspend(face: Face, selection: Selection, manner: Manner) -> None:
    """Attempt mails no more until they are resumed.

    They do not expire meanwhile. One that is older than queue.expiry by then is tried once more.
    """
    change(
        face,
        selection,
        lambda targets: SuspendMail(targets=targets, by=who()),
        verb="suspend",
        manner=manner,
    )


@command.command()
@selecting(state=False)
@bulk
def resume(face: Face, selection: Selection, manner: Manner) -> None:
    """Put suspended mails back, due now."""
    change(
        face,
        selection,
        lambda targets: ResumeMail(targets=targets, by=who()),
        verb="resume",
        state=MailState.SUSPENDED,
        manner=manner,
    )


@command.command("suspend-hop")
@click.argument("next_hop", metavar="NEXT-HOP")
@json_option
@click.pass_obj
def suspend_hop(face: Face, next_hop: str, as_json: bool) -> None:
    """Attempt nothing for a next hop, as `queue list --summary` names it, until it is resumed.

    It lasts over reloads, until the worker restarts; a send connector with `suspended = true` lasts longer.
    """
    with face.world.links(face.configuration) as links:
        done = tell_all(_any(links), SuspendHop(next_hop=next_hop, by=who()))
    if as_json:
        answer(done, as_json=True)
        return
    with face.world.readers(face.configuration.settings) as readers:
        waiting = sum(hop.recipients for hop in summary_of(readers) if hop.next_hop == next_hop)
    say(f"{next_hop} is suspended, {waiting} recipients wait for it")
    if not waiting:
        say("check the name if that is unexpected: `gatepost queue list --summary` has those of today")


@command.command("resume-hop")
@click.argument("next_hop", metavar="NEXT-HOP")
@json_option
@click.pass_obj
def resume_hop(face: Face, next_hop: str, as_json: bool) -> None:
    """Go on with a suspended next hop."""
    with face.world.links(face.configuration) as links:
        answer(tell_all(_any(links), ResumeHop(next_hop=next_hop, by=who())), as_json=as_json)


def _any(links: Sequence[WorkerLink]) -> Sequence[WorkerLink]:
    """Raises WorldFault when there is nobody to tell."""
    if not links:
        raise WorldFault("the gateway does not run: there is no worker to tell")
    return links


@command.command()
@click.argument("ids", nargs=-1, required=True, type=MailIdType(), metavar="ID...")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, exists=True, writable=True),
    default=".",
    show_default=True,
    help="Where to write ID.eml.",
)
@click.option("--stdout", is_flag=True, help="Write to standard output instead; for one mail.")
@click.pass_obj
def export(face: Face, ids: tuple[int, ...], directory: str, stdout: bool) -> None:
    """Write mails as they were received, byte for byte, mode 0600. They stay in the queue."""
    if stdout and len(ids) > 1:
        raise click.UsageError("--stdout is for one mail")
    missing = 0
    with face.world.readers(face.configuration.settings) as readers:
        for mail_id in ids:
            found = content_of(readers, mail_id)
            if found is None:
                missing += 1
                click.echo(f"{mail_id_text(mail_id)}: not in the queue (any more)", err=True)
            elif stdout:
                for block in _blocks(*found):
                    sys.stdout.buffer.write(block)
            else:
                say(str(_write(Path(directory, f"{mail_id_text(mail_id)}.eml"), *found)))
    if missing:
        raise click.exceptions.Exit(EXIT_NO)


def _write(path: Path, reader: StoreReader, content: Content) -> Path:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "wb") as out:
            for block in _blocks(reader, content):
                out.write(block)
    except OSError as error:
        raise WorldFault(f"cannot write {path}: {error.strerror}") from error
    return path


def _blocks(reader: StoreReader, content: Content) -> Iterator[bytes]:
    yield content.head
    if not isinstance(content.body, SpooledBody):
        yield content.body
        return
    with open(reader.body_path(content.body), "rb") as body:
        while block := body.read(_COPY_BYTES):
            yield block


def who() -> str:
    """Who asks, for the record: the account of this terminal."""
    import getpass

    try:
        return f"{getpass.getuser()} (uid {os.getuid()})"
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
