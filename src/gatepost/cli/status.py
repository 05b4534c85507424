"""gatepost status: whether the gateway runs, and how its workers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from gatepost.cli.certificate_status import certificate_json, certificates_of, say_certificates
from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import counted, json_option, say, say_json, say_table, span, when
from gatepost.cli.plug_ins import plug_in_json, plug_in_lines
from gatepost.cli.provider_status import provider_lines
from gatepost.cli.report_status import report_lines
from gatepost.config.errors import ConfigurationErrors
from gatepost.control.commands import LEVELS, AskStatus, ResourceState, WorkerStatus
from gatepost.control.gateway import AskWorkers, Life, RefusedReload, Workers
from gatepost.control.mails import summary_of
from gatepost.model.connector_state import ConnectorState
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState
from gatepost.ports.store import HopSummary

_HOPS_SHOWN = 10
_TO_BE_TRIED = (MailState.READY.value, MailState.LEASED.value, MailState.DEFERRED.value)
_HEADS = ("WORKER", "PID", "UP", "CONFIGURATION", "SESSIONS", "PRESSURE", "TAKES MAIL")


@click.command()
@json_option
@click.pass_obj
def command(face: Face, as_json: bool) -> None:
    """Show whether the gateway runs, how its workers, connectors and certificates are, and what waits.

    Exit status 1 when it is down, when a worker does not answer, and when one takes no mail. When the file has
    mistakes, they are told, and how the gateway is that goes on with an older one.
    """
    try:
        settings = face.configuration.settings
    except ConfigurationErrors as errors:
        _nobody_answers(face, errors, as_json=as_json)
        raise
    seen = _look(face)
    if as_json:
        say_json(_seen_json(face, seen))
    else:
        _say_seen(face, seen, warning_s=settings.server.certificate_warning_s)
    if (
        not seen.workers
        or seen.missing
        or seen.unread
        or seen.silence
        or any(w.not_accepting for w in seen.workers)
    ):
        raise click.exceptions.Exit(EXIT_NO)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What could be found out, whatever else could not."""

    workers: Sequence[WorkerStatus]
    missing: Sequence[Life]
    """Workers that should be there and do not answer."""
    down: Mapping[str, int]
    """Other processes that are not there, and how often in a row they died."""
    refused: RefusedReload | None
    hops: Sequence[HopSummary]
    unread: str
    """Why the queue could not be read."""
    silence: str
    """Why the supervisor said nothing; "" when it did."""
    is_changed: bool
    """The file is not what the workers go on with."""

    @property
    def states(self) -> Counter[str]:
        """How many recipients are in each state."""
        return sum((Counter(hop.states) for hop in self.hops), Counter())

    @property
    def waiting(self) -> int:
        """Recipients that are to be attempted, now or later."""
        return sum(_waiting(hop) for hop in self.hops)

    @property
    def hops_waited_for(self) -> int:
        """Next hops of theirs."""
        return sum(1 for hop in self.hops if _waiting(hop))


def _waiting(hop: HopSummary) -> int:
    return sum(hop.states.get(state, 0) for state in _TO_BE_TRIED)


def _held(states: Counter[str]) -> str:
    """Those that nobody attempts until a person says so, by state."""
    held = [f"{number} {state}" for state, number in sorted(states.items()) if state not in _TO_BE_TRIED]
    return f"; held for a person: {', '.join(held)}" if held else ""


def _look(face: Face) -> _Seen:
    configuration = face.configuration
    workers, silent = [], []
    for link in face.world.running(configuration.settings):
        try:
            reply = link.ask(AskStatus())
        except WorldFault:  # it stands still: the others are looked at all the same
            silent.append(Life(link.worker, ready=False))
            continue
        if not isinstance(reply, WorkerStatus):
            raise WorldFault(f"worker {link.worker} answered something else")
        workers.append(reply)
    gateway, silence = _supervisor(face)
    answering = {worker.worker for worker in workers}
    lives = {life.worker: life for life in (*silent, *(gateway.lives if gateway else ()))}
    hops: Sequence[HopSummary] = ()
    unread = ""
    try:
        with face.world.readers(configuration.settings) as readers:
            hops = summary_of(readers)
    except WorldFault as fault:
        unread = fault.reason
    return _Seen(
        workers=workers,
        missing=[life for number, life in sorted(lives.items()) if number not in answering],
        down=gateway.down if gateway else {},
        refused=gateway.refused if gateway else None,
        hops=hops,
        unread=unread,
        silence=silence,
        is_changed=not face.mistakes and any(w.revision != configuration.revision for w in workers),
    )


def _supervisor(face: Face) -> tuple[Workers | None, str]:
    """What the supervisor says; or None, and why."""
    try:
        said = face.world.gateway(face.configuration.settings, AskWorkers())
    except WorldFault as fault:
        return None, fault.reason
    return (said, "") if isinstance(said, Workers) else (None, "")


def _nobody_answers(face: Face, errors: ConfigurationErrors, *, as_json: bool) -> None:
    """The file has mistakes, and there is no gateway to ask instead."""
    if as_json:
        mistakes = [str(error) for error in errors.errors]
        say_json({"running": False, "workers": [], "missing": [], "mistakes": mistakes})
    else:
        say(f"no gateway answers that was started with {face.config_path}")


def _seen_json(face: Face, seen: _Seen) -> dict[str, object]:
    refused = seen.refused
    return {
        "running": bool(seen.workers),
        "waiting_recipients": seen.waiting,
        "recipients": dict(seen.states),
        "workers": [_json(w) for w in seen.workers],
        "certificates": [certificate_json(one, face.world.now()) for one in certificates_of(seen.workers)],
        "missing": [life.worker for life in seen.missing],
        "down": list(seen.down),
        "plug_ins_off": plug_in_json(seen.workers),
        "mistakes": [str(mistake) for mistake in face.mistakes],
        "changed": seen.is_changed,
        "reload_refused": {"at": when(refused.at), "reason": refused.reason} if refused else None,
        "queue_unreadable": seen.unread,
        "supervisor_silent": seen.silence if seen.workers else "",
    }


def _say_seen(face: Face, seen: _Seen, *, warning_s: float) -> None:
    workers, now = seen.workers, face.world.now()
    if workers:
        say_table(_HEADS, [_row(w, now) for w in workers], empty="")
    elif not seen.missing:
        say("the gateway does not run")
    for line in (
        *_troubles(workers),
        *_hops_at_rest(workers, now),
        *_pressed(workers),
        *plug_in_lines(workers),
        *(provider_lines(face) if workers else ()),
        *(report_lines(face) if workers else ()),
    ):
        say(line)
    if workers and seen.silence:
        say(f"the supervisor does not answer, and nobody restarts workers: {seen.silence}")
    for life in seen.missing:
        often = f", and died {life.deaths} times in a row: the log says why" if life.deaths else ""
        say(f"worker {life.worker} does not answer{often}")
    for name, deaths in seen.down.items():
        say(f"the process {name} does not run, and died {deaths} times in a row: the log says why")
    say_certificates(workers, now=now, warning_s=warning_s)
    if seen.unread:
        say(f"what waits cannot be seen: {seen.unread}")
    else:
        hops = counted(seen.hops_waited_for, "next hop")
        say(f"{counted(seen.waiting, 'recipient')} waiting, for {hops}{_held(seen.states)}")
    if seen.refused is not None:
        say(f"the reload at {when(seen.refused.at)} was refused, and the older configuration goes on:")
        say(f"  {seen.refused.reason}")
    if seen.is_changed:
        say(f"the configuration file was changed since it was loaded: revision {face.configuration.revision}")


def _hops_at_rest(workers: Sequence[WorkerStatus], now: float) -> Iterator[str]:
    """Next hops that nobody could be reached at, those of most mail first."""
    resting: dict[str, tuple[int, float, str]] = {}
    for hop in (hop for worker in workers for hop in worker.hops if hop.retry_at > now and not hop.suspended):
        waiting, retry_at, _ = resting.get(hop.next_hop, (0, hop.retry_at, ""))
        resting[hop.next_hop] = (waiting + hop.waiting, min(retry_at, hop.retry_at), hop.last_reply)
    ordered = sorted(resting.items(), key=lambda one: (-one[1][0], one[0]))
    for next_hop, (_, retry_at, reply) in ordered[:_HOPS_SHOWN]:
        yield f"next hop {next_hop} rests until {when(retry_at)}: {reply}"
    if len(ordered) > _HOPS_SHOWN:
        yield f"... and {len(ordered) - _HOPS_SHOWN} more next hops: `gatepost queue list --summary`"


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
