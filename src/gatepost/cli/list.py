"""gatepost list: the IP block list and the IP allow list. Every change counts within a second, without a reload."""

from __future__ import annotations

import math
import sys

import click

from gatepost.cli.front import EXIT_NO, EXIT_PARTLY, Face
from gatepost.cli.output import Moment, complain, json_option, say, say_json, say_table, when
from gatepost.cli.queue import who
from gatepost.config.schema import parse_duration
from gatepost.control.list_files import (
    FILE_LIMIT_BYTES,
    KINDS,
    FileKind,
    decoded,
    kind_of,
    parse_entries,
    written,
)
from gatepost.ports.lists import LISTS, NEVER, Entry, ListName

_LIST = click.argument("name", metavar="LIST", type=click.Choice(LISTS))
_SHOWN_PROBLEMS = 20


@click.group()
def command() -> None:
    """See and change the IP lists: block (refused) and allow (spared what agents.ip-lists.allow-skips names).

    An entry is an address, a network (CIDR) or a range a-b, IPv4 or IPv6. LIST is block or allow.
    """


@command.command()
@_LIST
@click.argument("network")
@click.option(
    "--for", "span", metavar="TIME", help="How long it counts: 90m, 12h, 30d. Otherwise it never expires."
)
@click.option("--until", type=Moment(), help="When it expires: 2026-11-22 or 2026-11-22T13:05 (UTC).")
@click.option("--comment", default="", help="Why, for whoever reads the list later.")
@click.pass_obj
def add(face: Face, name: ListName, network: str, span: str | None, until: object, comment: str) -> None:
    """Put NETWORK on LIST, or change the entry for the same addresses."""
    expires_at = _expiry(face, span, until)
    with face.world.lists(face.configuration.settings) as lists:
        try:
            entry = lists.add(
                name, network, expires_at=expires_at, author=who(), comment=comment, by_person=True
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    say(
        f"{entry.network}: on the {name} list"
        + (f" until {when(expires_at)}" if math.isfinite(expires_at) else "")
    )


@command.command()
@_LIST
@click.argument("network")
@click.pass_obj
def remove(face: Face, name: ListName, network: str) -> None:
    """Take the entry for exactly NETWORK off LIST, whoever made it."""
    with face.world.lists(face.configuration.settings) as lists:
        try:
            done = lists.remove(name, network)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    if not done:
        click.echo(
            f"{network}: is not an entry of the {name} list; `gatepost list test {network}` shows why",
            err=True,
        )
        raise click.exceptions.Exit(EXIT_NO)
    say(f"{network}: off the {name} list")


@command.command()
@click.argument("name", metavar="[LIST]", type=click.Choice(LISTS), required=False)
@click.option("--machine", is_flag=True, help="Only entries that the gateway made itself.")
@json_option
@click.pass_obj
def show(face: Face, name: ListName | None, machine: bool, as_json: bool) -> None:
    """Show the entries of LIST, or of both, with how many sessions each was found for."""
    with face.world.lists(face.configuration.settings) as lists:
        entries = [entry for one in ([name] if name else LISTS) for entry in lists.entries(one)]
    if machine:
        entries = [entry for entry in entries if not entry.by_person]
    _show(entries, as_json=as_json, empty="no entry")


@command.command()
@click.argument("address")
@json_option
@click.pass_obj
def test(face: Face, address: str, as_json: bool) -> None:
    """Show every entry, of our own and of feeds, that holds ADDRESS. Exit status 1 when there is none."""
    with face.world.lists(face.configuration.settings) as lists:
        try:
            entries = [entry for one in LISTS for entry in lists.matches(one, address)]
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    _show(entries, as_json=as_json, empty=f"{address} is on no list")
    if not entries:
        raise click.exceptions.Exit(EXIT_NO)


@command.command("export")
@_LIST
@click.option(
    "--format", "kind", type=click.Choice(KINDS), default="text", show_default=True, help="What to write."
)
@click.pass_obj
def export(face: Face, name: ListName, kind: FileKind) -> None:
    """Write the entries of LIST to standard output. Text has networks and comments, CSV and JSON everything."""
    with face.world.lists(face.configuration.settings) as lists:
        click.echo(written(lists.entries(name), kind), nl=False)


@command.command("import")
@_LIST
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--format",
    "kind",
    type=click.Choice(KINDS),
    help="What FILE is; else its beginning tells.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def import_(face: Face, name: ListName, file: str, kind: FileKind | None, dry_run: bool) -> None:
    """Put the entries of FILE ("-" is standard input) on LIST: text, CSV or JSON.

    CSV may be what Exchange writes: Get-IPBlockListEntry | Export-Csv. Expired entries are skipped, and lines that
    are no entries are named; exit status 4 then.
    """
    try:
        text = decoded(_read(file))
        lines = list(parse_entries(text, kind or kind_of(text)))
    except ValueError as error:
        raise click.UsageError(f"{file} {error}") from None
    problems = [line for line in lines if isinstance(line, tuple)]
    done = 0
    with face.world.lists(face.configuration.settings) as lists:
        for line in lines:
            if isinstance(line, tuple) or line.expires_at <= face.world.now():
                continue
            try:
                if not dry_run:
                    lists.add(
                        name,
                        line.network,
                        expires_at=line.expires_at,
                        author=line.author or who(),
                        comment=line.comment,
                        by_person=True,
                    )
                else:
                    lists.check(line.network)
                done += 1
            except ValueError as error:
                problems.append((line.number, str(error)))
    say(f"{done} entries {'would be' if dry_run else 'are'} on the {name} list")
    for number, reason in problems[:_SHOWN_PROBLEMS]:
        complain(f"line {number}: {reason}")
    if len(problems) > _SHOWN_PROBLEMS:
        click.echo(f"and {len(problems) - _SHOWN_PROBLEMS} more lines", err=True)
    if problems:
        raise click.exceptions.Exit(EXIT_PARTLY if done else EXIT_NO)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(FILE_LIMIT_BYTES + 1)
    with open(file, "rb") as source:
        return source.read(FILE_LIMIT_BYTES + 1)


def _expiry(face: Face, span: str | None, until: object) -> float:
    if span is not None and until is not None:
        raise click.UsageError("either --for or --until")
    if isinstance(until, tuple):
        raise click.UsageError("--until is a moment; a span is said with --for")
    if span is not None:
        try:
            return face.world.now() + float(str(parse_duration(span)))
        except ValueError as error:
            raise click.UsageError(f"--for: {error}") from None
    return NEVER if until is None else float(str(until))


def _show(entries: list[Entry], *, as_json: bool, empty: str) -> None:
    if as_json:
        say_json(
            [
                {
                    "list": e.list_name,
                    "network": e.network,
                    "expires_at": e.expires_at if math.isfinite(e.expires_at) else None,
                    "author": e.author,
                    "by_person": e.by_person,
                    "feed": e.feed or None,
                    "comment": e.comment,
                    "added_at": e.added_at,
                    "hits": e.hits,
                }
                for e in entries
            ]
        )
        return
    rows = [
        (
            e.list_name,
            e.network,
            when(e.expires_at) if math.isfinite(e.expires_at) else "never",
            f"feed {e.feed}" if e.feed else e.author + ("" if e.by_person else " (machine)"),
            e.hits,
            e.comment,
        )
        for e in entries
    ]
    say_table(("LIST", "NETWORK", "EXPIRES", "BY", "HITS", "COMMENT"), rows, empty=empty)
