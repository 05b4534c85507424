"""gatepost dkim: the keys that mail is signed with, and what the DNS must say of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, cast

import click

from gatepost.cli.front import EXIT_NO, EXIT_WORLD, Face
from gatepost.cli.output import json_option, say, say_json, say_table
from gatepost.control.dkim_keys import KeyKind, compared, new_key, zone_lines
from gatepost.standards.dkim_sign import SigningKey, pem_of, txt_strings

NO_KEY: Final = "no domain has a key: `gatepost dkim keygen`"


@click.group()
def command() -> None:
    """Make signing keys, show their DNS records, and compare them with the DNS."""


@command.command()
@click.argument("domain")
@click.argument("selector")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["rsa", "ed25519"]),
    default="rsa",
    show_default=True,
    help="The algorithm.",
)
@click.option("--bits", type=click.IntRange(1024, 4096), default=None, help="Of an RSA key. Default: 2048")
@click.option("--file", "path", metavar="PATH", help="Default: STATE/dkim/DOMAIN/SELECTOR.pem")
@click.pass_obj
def keygen(face: Face, domain: str, selector: str, kind: str, bits: int | None, path: str | None) -> None:
    """Make a key and its file, mode 0600; print its DNS record and its lines for the configuration.

    An existing file is never overwritten. Publish the record first; set state to "active" when
    `gatepost dkim check` finds it.
    """
    if bits is not None and kind != "rsa":
        raise click.UsageError("--bits is for RSA keys: an Ed25519 key has 256")
    try:
        key = new_key(domain, selector, cast(KeyKind, kind), bits=bits or 2048)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    state = face.configuration.settings.server.state_directory
    file = Path(path) if path else Path(state) / "dkim" / key.domain / f"{key.selector}.pem"
    _write(file, pem_of(key.key), owner=face.configuration.settings.server.user)
    say(f"{file}: written. Publish this record:")
    say(zone_lines(key))
    say("and add this to the configuration:")
    say(f'[dkim-signing.domains."{key.domain}".selectors."{key.selector}"]')
    say(f'key-file = "{file.absolute()}"')
    say('state = "next"')


def _write(file: Path, pem: bytes, *, owner: str) -> None:
    """A new file that only its owner can read: the account that root becomes, so that the gateway can."""
    given_away = owner if os.geteuid() == 0 else ""
    try:
        missing = [one for one in file.parents if not one.exists()]
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(pem)
            out.flush()
            os.fsync(out.fileno())
        for one in (file, *missing) if given_away else ():
            shutil.chown(one, given_away)
    except FileExistsError:
        click.echo(
            f"{file}: is there already, and a key is never overwritten; take another selector", err=True
        )
        raise click.exceptions.Exit(EXIT_NO) from None
    except (OSError, LookupError) as error:
        click.echo(f"{file}: cannot be written: {error}", err=True)
        raise click.exceptions.Exit(EXIT_WORLD) from None


@command.command()
@json_option
@click.pass_obj
def show(face: Face, as_json: bool) -> None:
    """List the keys of the configuration."""
    rows = [
        (key.domain, key.selector, _kind(key), state)
        for state, key in face.world.dkim_keys(face.configuration.settings)
    ]
    if as_json:
        say_json([dict(zip(("domain", "selector", "type", "state"), row, strict=True)) for row in rows])
        return
    say_table(("DOMAIN", "SELECTOR", "TYPE", "STATE"), rows, empty=NO_KEY)


@command.command()
@json_option
@click.argument("domain", required=False)
@click.pass_obj
def records(face: Face, domain: str | None, as_json: bool) -> None:
    """Print the TXT records to publish, in strings of at most 255 octets, as a zone file has them."""
    keys = _chosen(face, domain)
    if as_json:
        say_json([{"name": key.name, "strings": txt_strings(key.record)} for _, key in keys])
        return
    for _, key in keys:
        say(zone_lines(key))
    if not keys:
        say(NO_KEY)


@command.command()
@json_option
@click.argument("domain", required=False)
@click.pass_obj
def check(face: Face, domain: str | None, as_json: bool) -> None:
    """Compare what the DNS says with the keys. Exit status 1 when a record is wrong, 3 when nobody answered."""
    keys = _chosen(face, domain)
    answers = face.world.texts(face.configuration.settings, [key.name for _, key in keys])
    found = [(state, compared(key, answers[key.name])) for state, key in keys]
    if as_json:
        say_json([{"name": p.name, "state": s, "problem": p.problem, "unknown": p.unknown} for s, p in found])
    else:
        say_table(
            ("NAME", "STATE", "DNS"),
            [(p.name, s, p.problem or "as it should be") for s, p in found],
            empty=NO_KEY,
        )
    if any(p.problem and not p.unknown for _, p in found):
        raise click.exceptions.Exit(EXIT_NO)
    if any(p.unknown for _, p in found):
        raise click.exceptions.Exit(EXIT_WORLD)


def _chosen(face: Face, domain: str | None) -> list[tuple[str, SigningKey]]:
    keys = face.world.dkim_keys(face.configuration.settings)
    chosen = [pair for pair in keys if domain is None or pair[1].domain == domain.lower()]
    if domain is not None and not chosen:
        click.echo(f"{domain}: has no key in the configuration", err=True)
        raise click.exceptions.Exit(EXIT_NO)
    return chosen


def _kind(key: SigningKey) -> str:
    return f"rsa {key.key.key_size}" if hasattr(key.key, "key_size") else "ed25519"
