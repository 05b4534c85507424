"""gatepost status: whether the gateway runs, and how its workers are."""

from __future__ import annotations

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table, span
from gatepost.control.commands import AskStatus, WorkerStatus
from gatepost.control.mails import summary_of
from gatepost.model.fault import WorldFault

_HEADS = ("WORKER", "PID", "UP", "CONFIGURATION", "SESSIONS", "TAKES MAIL")


@click.command()
@json_option
@click.pass_obj
def command(face: Face, as_json: bool) -> None:
    """Show whether the gateway runs, how its workers are, and what waits. Exit status 1 when it is down."""
    settings = face.configuration.settings
    workers = []
    for link in face.world.running(settings):
        reply = link.ask(AskStatus())
        if not isinstance(reply, WorkerStatus):
            raise WorldFault(f"worker {link.worker} answered something else")
        workers.append(reply)
    with face.world.readers(settings) as readers:
        hops = summary_of(readers)
    waiting = sum(hop.recipients for hop in hops)
    stale = [w.worker for w in workers if w.revision != face.configuration.revision]
    if as_json:
        say_json(
            {"running": bool(workers), "waiting_recipients": waiting, "workers": [_json(w) for w in workers]}
        )
    elif workers:
        now = face.world.now()
        rows = [_row(w, now) for w in workers]
        say_table(_HEADS, rows, empty="")
    else:
        say("the gateway does not run")
    if not as_json:
        say(f"{waiting} recipients wait, for {len(hops)} next hops")
        if stale:
            say(
                f"the configuration file was changed since it was loaded: revision {face.configuration.revision}"
            )
    if not workers:
        raise click.exceptions.Exit(EXIT_NO)


def _row(worker: WorkerStatus, now: float) -> tuple[object, ...]:
    takes = f"no: {worker.not_accepting}" if worker.not_accepting else "yes"
    up = span(now - worker.started_at)
    return (worker.worker, worker.process_id, up, worker.revision, worker.sessions, takes)


def _json(worker: WorkerStatus) -> dict[str, object]:
    return {
        "worker": worker.worker,
        "process_id": worker.process_id,
        "started_at": worker.started_at,
        "revision": worker.revision,
        "sessions": worker.sessions,
        "not_accepting": worker.not_accepting,
        "hops": [
            {
                "next_hop": hop.next_hop,
                "waiting": hop.waiting,
                "in_flight": hop.in_flight,
                "connections": hop.connections,
                "suspended": hop.suspended,
                "retry_at": hop.retry_at,
                "last_reply": hop.last_reply,
            }
            for hop in worker.hops
        ],
    }
