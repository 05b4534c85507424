"""gatepost init: five questions, and a first configuration that passes its own check."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import click

from gatepost.cli.config import summary
from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import say
from gatepost.config.errors import ConfigurationErrors
from gatepost.config.first_file import (
    FirstAnswers,
    first_file,
    first_recipients,
    parse_domains,
    parse_hostname,
    parse_mailboxes,
    parse_networks,
)
from gatepost.config.load import Configuration
from gatepost.model.fault import WorldFault

ACCOUNT = "gatepost"
EVERYBODY = "everybody"
T = TypeVar("T")


@click.command()
@click.option("--hostname", help="Our name, such as mx.example.com.")
@click.option("--domains", help="Domains we take mail for, with commas or blanks between them.")
@click.option(
    "--mailboxes",
    help="Where accepted mail goes: [192.0.2.10], mail.example.com:2525, lmtp:[127.0.0.1]:24 or "
    "maildir:/var/mail/{domain}/{local}.",
)
@click.option("--recipients", help="A file with the addresses that exist, one a line; or everybody.")
@click.option(
    "--relay-from", help='Our machines that may send to the world: addresses and networks; "" for none.'
)
@click.option("--state-directory", default="/var/lib/gatepost", show_default=True, help="Where mail is kept.")
@click.option("--force", is_flag=True, help="Replace a configuration that is there.")
@click.pass_obj
def command(
    face: Face,
    hostname: str | None,
    domains: str | None,
    mailboxes: str | None,
    recipients: str | None,
    relay_from: str | None,
    state_directory: str,
    force: bool,
) -> None:
    """Ask five questions and write a first configuration, with comments, to --config.

    Answers given as options are not asked for, so it works without a terminal. The file is checked before it is
    put in its place; one that is there is never replaced without --force. A list of recipients that is not there
    yet is begun with postmaster.
    """
    target = Path(face.config_path)
    if target.exists() and not force:
        click.echo(f"gatepost: {target} is there already; --force replaces it", err=True)
        raise click.exceptions.Exit(EXIT_NO)
    answers = FirstAnswers(
        hostname=_ask(
            "--hostname", hostname, "What is this machine called in DNS?", parse_hostname, _our_name()
        ),
        domains=_ask("--domains", domains, "For which domains does it take mail?", parse_domains),
        mailboxes=_ask(
            "--mailboxes",
            mailboxes,
            "Where are the mailboxes? ([192.0.2.10], mail.example.com, lmtp:[127.0.0.1]:24, maildir:/path/{local})",
            parse_mailboxes,
        ),
        recipients=_ask(
            "--recipients",
            recipients,
            f"Which file lists the addresses that exist? ({EVERYBODY}: take mail for everybody)",
            _recipients,
            str(target.absolute().parent / "recipients"),
        ),
        relay_from=_ask(
            "--relay-from",
            relay_from,
            "Which of your machines may send to the world through it? (addresses, networks; empty: none)",
            parse_networks,
            "",
        ),
        state_directory=state_directory,
        user=ACCOUNT if _account() else "",
    )
    _write(face, target, answers, force=force)


def _ask(
    option: str, given: str | None, question: str, parse: Callable[[str], T], default: str | None = None
) -> T:
    """The option's value, or the answer of somebody at a terminal, asked until it is one."""
    if given is None and not _at_a_terminal():
        raise click.UsageError(f"{option} is needed where there is no terminal to ask at")

    def checked(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise click.UsageError(f"{option}: {error}") from None

    if given is not None:
        return checked(given)
    answer: T = click.prompt(question, default=default, value_proc=checked, show_default=bool(default))
    return answer


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _recipients(text: str) -> str:
    if text.strip() == EVERYBODY:
        return ""
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not an absolute path, nor {EVERYBODY}")
    return text


def _our_name() -> str | None:
    name = socket.gethostname()
    return name if "." in name else None


def _account() -> pwd.struct_passwd | None:
    """The gateway's account, when there is one and we may give it files."""
    try:
        return pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None
    except KeyError:
        return None


def _write(face: Face, target: Path, answers: FirstAnswers, *, force: bool) -> None:
    """Check it beside its place, then put it there in one step."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    made: list[Path] = []
    is_done = False
    try:
        if answers.recipients and not (listed := Path(answers.recipients)).exists():
            _put(listed, first_recipients(answers))
            made.append(listed)
        _put(fresh, first_file(answers))
        configuration = _checked(face, fresh, target)
        if force:
            fresh.replace(target)
        else:
            os.link(fresh, target)  # never over a file that came meanwhile
            fresh.unlink()
        is_done = True
    except OSError as error:
        raise WorldFault(
            f"{error.filename2 or error.filename or target} cannot be written: {error.strerror}"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
        for path in () if is_done else made:
            path.unlink(missing_ok=True)
    for warning in configuration.warnings:
        click.echo(f"{warning.key}: {warning.message} (warning)", err=True)
    for line in summary(configuration):
        say(line)
    for path in (*made, target):
        say(f"written: {path}")
    say("`gatepost run` starts it; `gatepost config reference` explains everything else that may stand there")


def _checked(face: Face, fresh: Path, target: Path) -> Configuration:
    """As it will be in its place. Raises ConfigurationErrors about that place."""
    try:
        return face.world.load(str(fresh))
    except ConfigurationErrors as found:
        raise ConfigurationErrors([replace(error, file=str(target)) for error in found.errors]) from None


def _put(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if account := _account():
            os.fchown(file.fileno(), 0, account.pw_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
