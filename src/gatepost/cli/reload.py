"""gatepost reload: the running gateway goes on with the configuration as it is now, or says why not."""

from __future__ import annotations

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import counted, json_option, say, say_json
from gatepost.cli.queue import who
from gatepost.control.gateway import Mistakes, Reload, Reloaded
from gatepost.control.links import refused_by


@click.command()
@json_option
@click.pass_obj
def command(face: Face, as_json: bool) -> None:
    """Have the running gateway read its configuration again, and wait until every worker goes on with it.

    Sessions and deliveries go on. A configuration with a mistake, or one that needs a restart, changes nothing:
    exit status 1.
    """
    as_it_is = face.world.load(face.config_path)  # never what is in force already
    reply = face.world.gateway(as_it_is.settings, Reload(by=who()))
    match reply:
        case Reloaded():
            _say_reloaded(reply, as_json=as_json)
        case Mistakes(mistakes=mistakes):
            if as_json:
                rows = [{"line": m.line, "key": m.key, "message": m.said} for m in mistakes]
                say_json({"ok": False, "errors": rows})
            for mistake in mistakes:
                click.echo(mistake.said, err=True)
            click.echo("gatepost: nothing was changed", err=True)
            raise click.exceptions.Exit(EXIT_NO)
        case _:
            reason = refused_by(reply)
            if as_json:
                say_json({"ok": False, "errors": [{"line": 0, "key": "", "message": reason}]})
            click.echo(f"gatepost: {reason}; nothing was changed", err=True)
            raise click.exceptions.Exit(EXIT_NO)


def _say_reloaded(reply: Reloaded, *, as_json: bool) -> None:
    if as_json:
        restarted = [{"worker": one.worker, "reason": one.reason} for one in reply.restarted]
        say_json(
            {
                "ok": True,
                "revision": reply.revision,
                "workers": list(reply.workers),
                "restarted": restarted,
                "warnings": list(reply.warnings),
            }
        )
        return
    for warning in reply.warnings:
        click.echo(f"{warning} (warning)", err=True)
    for one in reply.restarted:
        say(f"worker {one.worker} restarts after its sessions: {one.reason}")
    say(f"revision {reply.revision} is in force in {counted(len(reply.workers), 'worker')}")
