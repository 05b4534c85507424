"""gatepost directory: the sources of recipients, their age, and what they say of one address."""

from __future__ import annotations

import click

from gatepost.cli.front import EXIT_NO, EXIT_WORLD, Face
from gatepost.cli.output import json_option, say, say_json, say_table, span, when


@click.group()
def command() -> None:
    """See and copy the directories that recipients are listed in, and test an address against them."""


@command.command("list")
@json_option
@click.pass_obj
def list_(face: Face, as_json: bool) -> None:
    """List the directories with the number of recipients and the age of each index."""
    states = face.world.directories(face.configuration.settings).states()
    if as_json:
        say_json(
            [
                {
                    "name": s.name,
                    "type": s.type,
                    "recipients": s.recipients,
                    "synced_at": s.synced_at,
                    "problem": s.problem,
                }
                for s in states
            ]
        )
        return
    now = face.world.now()
    say_table(
        ("Name", "Type", "Recipients", "Synced", "Age", "State"),
        [
            (
                s.name,
                s.type,
                s.recipients,
                when(s.synced_at),
                span(max(0.0, now - s.synced_at)) if s.synced_at else "-",
                s.problem or "ok",
            )
            for s in states
        ],
        empty="no directories ([directories] in the configuration)",
    )


@command.command()
@click.argument("name")
@click.option("--accept-loss", is_flag=True, help="Take the copy over even if most recipients are gone.")
@click.pass_obj
def sync(face: Face, name: str, accept_loss: bool) -> None:
    """Copy a directory now. A running gateway takes the new index up within a second."""
    settings = face.configuration.settings
    directory = settings.directories.get(name)
    if directory is None:
        click.echo(f"gatepost: there is no [directories.{name}]", err=True)
        raise click.exceptions.Exit(EXIT_NO)
    if directory.type == "smtp":
        click.echo(f"gatepost: {name} is asked at each RCPT and has no copy", err=True)
        raise click.exceptions.Exit(EXIT_NO)
    result = face.world.directories(settings).sync(name, accept_loss=accept_loss)
    if result is None:
        click.echo(f"gatepost: {name} is being copied by somebody else just now", err=True)
        raise click.exceptions.Exit(EXIT_WORLD)
    say(f"{name}: {result.entries} recipients, {result.added} new, {result.dropped} gone")
    if result.skipped:
        named = ", ".join(result.examples[:5])
        say(f"{result.skipped} values are no mail address and were skipped: {named}")


@command.command()
@click.argument("address")
@json_option
@click.pass_obj
def test(face: Face, address: str, as_json: bool) -> None:
    """Ask every directory for an address: what a RCPT for it is answered by. Exit status 1: it is not listed."""
    from gatepost.model.fault import PeerFault
    from gatepost.protocol.addresses import parse_mailbox

    try:
        parse_mailbox(address)
    except PeerFault as fault:
        raise click.UsageError(f"{address[:320]!r} is no mail address: {fault.reason}") from None
    answers = face.world.directories(face.configuration.settings).ask(address)
    if as_json:
        say_json([{"directory": a.directory, "answer": a.answer, "reason": a.reason} for a in answers])
    else:
        say_table(
            ("Directory", "Answer", "Reason"),
            [(a.directory, a.answer, a.reason) for a in answers],
            empty="no directory answers for this domain",
        )
    if not any(a.answer.startswith("listed") for a in answers):
        raise click.exceptions.Exit(EXIT_NO)
