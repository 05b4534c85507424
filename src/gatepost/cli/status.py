"""gatepost status: whether the gateway runs, and how its workers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from gatepost.cli.certificate_status import certificate_json, certificates_of, say_certificates
from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table, span
from gatepost.cli.plug_ins import plug_in_json, plug_in_lines
from gatepost.cli.provider_status import provider_lines
from gatepost.cli.report_status import report_lines
from gatepost.control.commands import LEVELS, AskStatus, ResourceState, WorkerStatus
from gatepost.control.gateway import AskWorkers, Life, Workers
from gatepost.control.mails import summary_of
from gatepost.model.connector_state import ConnectorState
from gatepost.model.fault import WorldFault

_HEADS = ("WORKER", "PID", "UP", "CONFIGURATION", "SESSIONS", "PRESSURE", "TAKES MAIL")


@click.command()
@json_option
@click.pass_obj
def command(face: Face, as_json: bool) -> None:
    """Show whether the gateway runs, how its workers, connectors and certificates are, and what waits.

    Exit status 1 when it is down, when a worker does not answer, and when one takes no mail.
    """
    settings = face.configuration.settings
    workers = []
    for link in face.world.running(settings):
        reply = link.ask(AskStatus())
        if not isinstance(reply, WorkerStatus):
            raise WorldFault(f"worker {link.worker} answered something else")
        workers.append(reply)
    missing = _missing(face, [w.worker for w in workers])
    with face.world.readers(settings) as readers:
        hops = summary_of(readers)
    waiting = sum(hop.recipients for hop in hops)
    stale = [w.worker for w in workers if w.revision != face.configuration.revision]
    if as_json:
        say_json(
            {
                "running": bool(workers),
                "waiting_recipients": waiting,
                "workers": [_json(w) for w in workers],
                "certificates": [certificate_json(one, face.world.now()) for one in certificates_of(workers)],
                "missing": [life.worker for life in missing],
                "plug_ins_off": plug_in_json(workers),
            }
        )
    elif workers:
        now = face.world.now()
        rows = [_row(w, now) for w in workers]
        say_table(_HEADS, rows, empty="")
        for line in (
            *_troubles(workers),
            *_pressed(workers),
            *plug_in_lines(workers),
            *provider_lines(face),
            *report_lines(face),
        ):
            say(line)
        for life in missing:
            often = f", and died {life.deaths} times in a row: the log says why" if life.deaths else ""
            say(f"worker {life.worker} does not answer{often}")
        say_certificates(workers, now=now, warning_s=settings.server.certificate_warning_s)
    else:
        say("the gateway does not run")
    if not as_json:
        say(f"{waiting} recipients wait, for {len(hops)} next hops")
        if stale:
            say(
                f"the configuration file was changed since it was loaded: revision {face.configuration.revision}"
            )
    if not workers or missing or any(w.not_accepting for w in workers):
        raise click.exceptions.Exit(EXIT_NO)


def _missing(face: Face, answering: Sequence[int]) -> list[Life]:
    """Workers that should be there and do not answer; none when the supervisor is not there, either."""
    try:
        said = face.world.gateway(face.configuration.settings, AskWorkers())
    except WorldFault:
        return []
    return [life for life in said.lives if life.worker not in answering] if isinstance(said, Workers) else []


def _troubles(workers: Sequence[WorkerStatus]) -> Iterator[str]:
    """What is not as usual."""
    states: dict[str, set[str]] = {}
    for worker in workers:
        for door in worker.connectors:
            states.setdefault(door.name, set()).add(door.state)
        if worker.clock_jump_s:
            yield (
                f"worker {worker.worker}: the clock jumped by {span(abs(worker.clock_jump_s))} and is not believed; "
                "`gatepost clock confirm` when it is right"
            )
        if worker.shared_problem:
            yield f"worker {worker.worker}: works from memory, shares nothing: {worker.shared_problem}"
    for next_hop in sorted({hop.next_hop for worker in workers for hop in worker.hops if hop.suspended}):
        yield f"next hop {next_hop} is suspended until `gatepost queue resume-hop {next_hop}`"
    for name, found in states.items():
        if found != {ConnectorState.RUNNING}:
            yield f"receive connector {name} is {'/'.join(sorted(found))}: new clients are answered 421"


def _row(worker: WorkerStatus, now: float) -> tuple[object, ...]:
    takes = f"no: {worker.not_accepting}" if worker.not_accepting else "yes"
    up = span(now - worker.started_at)
    return (worker.worker, worker.process_id, up, worker.revision, worker.sessions, _pressure(worker), takes)


def _pressure(worker: WorkerStatus) -> str:
    """The worst level of a worker's resources."""
    levels = {state.level for state in worker.resources}
    return next((level for level in reversed(LEVELS) if level in levels), LEVELS[0])


def _pressed(workers: Sequence[WorkerStatus]) -> Iterator[str]:
    """A line for each resource that is not at its normal level, and for each connector under stress."""
    for worker in workers:
        for state in worker.resources:
            if state.level != LEVELS[0]:
                yield (
                    f"worker {worker.worker}: {state.resource} is {state.level}: "
                    f"{_amount(state, state.value)}, {state.level} from {_amount(state, _mark(state, state.level))}, "
                    f"normal again at {_amount(state, _mark(state, LEVELS[0]))}"
                )
        for connector in worker.stressed:
            yield f"worker {worker.worker}: the stress profile of receive-connectors.{connector} is in force"


def _mark(state: ResourceState, level: str) -> float:
    return state.marks[LEVELS.index(level)]


def _amount(state: ResourceState, value: float) -> str:
    match state.resource:
        case "disk":
            return f"{value / (1 << 20):.0f}MiB free"
        case "inodes":
            return f"{value:.0f} free"
        case "memory" | "system-memory":
            return f"{value:.0f} %"
        case "loop-lag":
            return f"{value:g}s"
        case _:
            return f"{value:.0f}"


def _json(worker: WorkerStatus) -> dict[str, object]:
    return {
        "worker": worker.worker,
        "process_id": worker.process_id,
        "started_at": worker.started_at,
        "revision": worker.revision,
        "sessions": worker.sessions,
        "not_accepting": worker.not_accepting,
        "clock_jump_s": worker.clock_jump_s,
        "connectors": [
            {"name": door.name, "state": door.state, "sessions": door.sessions} for door in worker.connectors
        ],
        "pressure": _pressure(worker),
        "resources": [
            {
                "resource": state.resource,
                "level": state.level,
                "value": state.value,
                **dict(zip(LEVELS, state.marks, strict=True)),
            }
            for state in worker.resources
        ],
        "stressed": list(worker.stressed),
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
