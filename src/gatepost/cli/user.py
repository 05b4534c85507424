"""gatepost user: accounts that may authenticate. A password comes from a prompt or from standard input."""

from __future__ import annotations

import sys

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table
from gatepost.control.password_policy import account_problem, password_problem


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


@command.command("list")
@json_option
@click.pass_obj
def list_(face: Face, as_json: bool) -> None:
    """List the accounts."""
    accounts = face.world.accounts(face.configuration.settings).read().values()
    if as_json:
        say_json([{"user": a.user, "disabled": a.disabled, "scram": a.scram is not None} for a in accounts])
        return
    rows = [
        (a.user, "disabled" if a.disabled else "enabled", "yes" if a.scram is not None else "no")
        for a in accounts
    ]
    say_table(("USER", "STATE", "SCRAM"), rows, empty="there is no account")


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
