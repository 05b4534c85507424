"""gatepost user: accounts that may authenticate. A password comes from a prompt or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table
from gatepost.cli.world import Account
from gatepost.config.networks import is_sender
from gatepost.control.password_policy import account_problem, password_problem
from gatepost.model.account import folded_user
from gatepost.routing.accepted import sender_key


@click.group()
def command() -> None:
    """Add, change and remove accounts that may authenticate. Changes count at once."""


@command.command()
@click.argument("name")
@click.pass_obj
def add(face: Face, name: str) -> None:
    """Add an account. The password is asked for, or read from standard input (one line).

    It has users.password-length characters or more, and is neither common nor made of the name.
    """
    book = face.world.accounts(face.configuration.settings)
    if book.knows(name):
        click.echo(f"{name}: is there already; `gatepost user passwd {name}` changes its password", err=True)
        raise click.exceptions.Exit(EXIT_NO)
    _put(face, name)
    say(f"{name}: added")


@command.command()
@click.argument("name")
@click.pass_obj
def passwd(face: Face, name: str) -> None:
    """Give an account a new password; a disabled one is enabled by it."""
    book = face.world.accounts(face.configuration.settings)
    if not book.knows(name):
        _nobody(name)
    _put(face, name)
    say(f"{name}: has a new password")


@command.command()
@click.argument("name")
@click.pass_obj
def disable(face: Face, name: str) -> None:
    """Refuse an account's password and tokens from now on; `gatepost user enable` lets it in again."""
    if not face.world.accounts(face.configuration.settings).disable(name):
        _nobody(name)
    say(f"{name}: disabled")


@command.command()
@click.argument("name")
@click.pass_obj
def enable(face: Face, name: str) -> None:
    """Let a disabled account in again, with the password it had."""
    if not face.world.accounts(face.configuration.settings).enable(name):
        _nobody(name)
    say(f"{name}: enabled")


@command.command()
@click.argument("name")
@click.pass_obj
def remove(face: Face, name: str) -> None:
    """Remove an account."""
    if not face.world.accounts(face.configuration.settings).remove(name):
        _nobody(name)
    say(f"{name}: removed")


@command.command()
@click.argument("name")
@click.argument("addresses", nargs=-1, required=True)
@click.pass_obj
def grant(face: Face, name: str, addresses: tuple[str, ...]) -> None:
    """Let an account send as these ADDRESSES, too (Exchange: Send As); *@domain for all of a domain.

    *@*.domain is for all of its subdomains. It counts within a second, whichever way the account logs in: by
    password, certificate, token or ticket.
    """
    book = face.world.accounts(face.configuration.settings)
    try:
        book.grant(name, _keys(addresses))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not book.knows(name):
        click.echo(f"{name}: no account here; it counts for whoever others vouch for by this name", err=True)
    say(f"{name}: may send as {', '.join(sorted(book.granted()[folded_user(name)]))}")


@command.command()
@click.argument("name")
@click.argument("addresses", nargs=-1, required=True)
@click.pass_obj
def revoke(face: Face, name: str, addresses: tuple[str, ...]) -> None:
    """Let an account send as these ADDRESSES no more; what users.addresses of the configuration says stays."""
    missing = face.world.accounts(face.configuration.settings).revoke(name, _keys(addresses))
    for address in sorted(missing):
        click.echo(f"{name}: was not given {address} by `gatepost user grant`", err=True)
    if missing:
        raise click.exceptions.Exit(EXIT_NO)
    say(f"{name}: may not send as {', '.join(addresses)} any more")


@command.command("list")
@json_option
@click.pass_obj
def list_(face: Face, as_json: bool) -> None:
    """List the accounts, and what each may send as besides itself, by `grant` or by users.addresses."""
    settings = face.configuration.settings
    book = face.world.accounts(settings)
    accounts, given = book.read(), dict(book.granted())
    for user, addresses in settings.users.addresses.items():
        name = folded_user(user)
        given[name] = given.get(name, frozenset()) | _keys(addresses)
    rows = [
        (user, _state(accounts.get(user)), _has_scram(accounts.get(user)), sorted(given.get(user, ())))
        for user in sorted({*accounts, *given})
    ]
    if as_json:
        say_json(
            [
                {
                    "user": user,
                    "disabled": state == "disabled",
                    "scram": scram,
                    "known": user in accounts,
                    "send_as": own,
                }
                for user, state, scram, own in rows
            ]
        )
        return
    shown = [(u, state, "yes" if scram else "no", ", ".join(own) or "-") for u, state, scram, own in rows]
    say_table(("USER", "STATE", "SCRAM", "MAY SEND AS"), shown, empty="there is no account")


def _state(account: Account | None) -> str:
    if account is None:
        return "elsewhere"
    return "disabled" if account.disabled else "enabled"


def _has_scram(account: Account | None) -> bool:
    """Whether it can log in by SCRAM."""
    return account is not None and account.scram is not None


def _keys(addresses: Sequence[str]) -> frozenset[str]:
    for address in addresses:
        if not is_sender(address):
            raise click.UsageError(f"{address!r} is neither a mail address nor *@domain or *@*.domain")
    return frozenset(map(sender_key, addresses))


def _put(face: Face, name: str) -> None:
    settings = face.configuration.settings
    if problem := account_problem(name):
        raise click.UsageError(problem)
    password = _password()
    if problem := password_problem(password, user=name, least_characters=settings.users.password_length):
        raise click.UsageError(problem)
    try:
        face.world.accounts(settings).put(name, password)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _password() -> str:
    """From a terminal twice and unseen; else the first line of standard input. Never from an argument (T11)."""
    if sys.stdin.isatty():
        said: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return said
    return sys.stdin.readline(4096).rstrip("\r\n")


def _nobody(name: str) -> None:
    click.echo(f"{name}: there is no such account", err=True)
    raise click.exceptions.Exit(EXIT_NO)
