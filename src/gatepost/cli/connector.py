"""gatepost connector: what each receive connector does at the moment, and changing it."""

from __future__ import annotations

from collections import Counter

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table
from gatepost.cli.queue import who
from gatepost.control.commands import AskStatus, WorkerStatus
from gatepost.control.gateway import ConnectorVerb, Held, HoldConnector
from gatepost.control.links import refused_by
from gatepost.model.connector_state import ConnectorState


@click.group()
def command() -> None:
    """See, pause, drain, stop and start receive connectors while the gateway runs, in every worker at once.

    New clients of a connector that does not run are answered 421 4.3.2 and come back later. The state lasts
    over reloads and until the gateway stops; `enabled = false` in the configuration lasts longer.
    """


@command.command("list")
@json_option
@click.pass_obj
def list_(face: Face, as_json: bool) -> None:
    """List the receive connectors, what they do and how many sessions are open."""
    sessions: Counter[str] = Counter()
    states: dict[str, set[ConnectorState]] = {}
    workers = [link.ask(AskStatus()) for link in face.world.running(face.configuration.settings)]
    for worker in workers:
        for door in worker.connectors if isinstance(worker, WorkerStatus) else ():
            sessions[door.name] += door.sessions
            states.setdefault(door.name, set()).add(door.state)
    doors = face.configuration.settings.receive_connectors
    rows = [
        (name, _said(states.get(name), on=door.enabled), sessions[name], door.listen)
        for name, door in doors.items()
    ]
    if as_json:
        say_json(
            [
                {"name": n, "state": state, "sessions": count, "listen": list(at)}
                for n, state, count, at in rows
            ]
        )
        return
    shown = [(n, state, count, ", ".join(at)) for n, state, count, at in rows]
    say_table(("CONNECTOR", "STATE", "SESSIONS", "LISTENS"), shown, empty="there is no receive connector")


def _said(states: set[ConnectorState] | None, *, on: bool) -> str:
    if not on:
        return "disabled"
    if not states:
        return "down"
    return "/".join(sorted(states))


@command.command()
@click.argument("name")
@click.pass_obj
def pause(face: Face, name: str) -> None:
    """Send new clients of NAME away for now; sessions that are open go on."""
    _hold(face, name, "pause")


@command.command()
@click.argument("name")
@click.pass_obj
def resume(face: Face, name: str) -> None:
    """Take new clients again, after pause or drain."""
    _hold(face, name, "resume")


@command.command()
@click.argument("name")
@click.pass_obj
def drain(face: Face, name: str) -> None:
    """As pause, and end open sessions: those that are sending a message after it, the others at once."""
    _hold(face, name, "drain")


@command.command()
@click.argument("name")
@click.pass_obj
def stop(face: Face, name: str) -> None:
    """As drain, and close after server.stop-timeout what has not ended."""
    _hold(face, name, "stop")


@command.command()
@click.argument("name")
@click.pass_obj
def start(face: Face, name: str) -> None:
    """Let NAME run again, whatever was done to it."""
    _hold(face, name, "start")


def _hold(face: Face, name: str, verb: ConnectorVerb) -> None:
    reply = face.world.gateway(face.configuration.settings, HoldConnector(name=name, verb=verb, by=who()))
    if isinstance(reply, Held):
        say(f"{name}: {reply.state}")
        return
    click.echo(f"gatepost: {refused_by(reply)}", err=True)
    raise click.exceptions.Exit(EXIT_NO)
