"""gatepost clock: the time the queue believes, when the wall clock jumped."""

from __future__ import annotations

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, span, when
from gatepost.cli.queue import who
from gatepost.control.commands import AskStatus, ConfirmClock, WorkerStatus
from gatepost.control.links import tell_all


@click.group()
def command() -> None:
    """See and settle what became of a jump of the clock.

    A clock that jumps by more than an hour is not believed: nothing expires and nothing becomes due by it,
    until it comes back or an administrator confirms it.
    """


@command.command()
@json_option
@click.pass_obj
def show(face: Face, as_json: bool) -> None:
    """Show for each worker how far the wall clock is from the time the queue believes."""
    workers = [w for w in _ask(face) if isinstance(w, WorkerStatus)]
    if as_json:
        say_json([{"worker": w.worker, "jump_s": w.clock_jump_s} for w in workers])
        return
    now = face.world.now()
    for worker in workers:
        jump_s = worker.clock_jump_s
        if not jump_s:
            say(f"worker {worker.worker}: believes the wall clock, {when(now)}")
        else:
            way = "ahead of" if jump_s > 0 else "behind"
            say(
                f"worker {worker.worker}: believes {when(now - jump_s)}; the wall clock says {when(now)}, "
                f"{span(abs(jump_s))} {way} it"
            )


@command.command()
@click.pass_obj
def confirm(face: Face) -> None:
    """Say that the wall clock is right: every worker believes it from now on, and no mail's life is shortened by it."""
    links = face.world.running(face.configuration.settings)
    if not links:
        click.echo("gatepost: the gateway does not run; it believes the clock when it starts", err=True)
        raise click.exceptions.Exit(EXIT_NO)
    tell_all(links, ConfirmClock(by=who()))
    say(f"{len(links)} workers believe {when(face.world.now())}")


def _ask(face: Face) -> list[object]:
    links = face.world.running(face.configuration.settings)
    if not links:
        click.echo("gatepost: the gateway does not run", err=True)
        raise click.exceptions.Exit(EXIT_NO)
    return [link.ask(AskStatus()) for link in links]
