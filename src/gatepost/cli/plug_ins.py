"""gatepost plug-ins: agents and facts of third parties that were switched off because they failed again and again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table, when
from gatepost.control.commands import PlugInOff, WorkerStatus

_HEADS: Final = ("PLUG-IN", "OFF SINCE", "FAULTS", "LAST FAULT", "UNTIL")
_BACK: Final = "it is resumed"


@click.group()
def command() -> None:
    """See and switch on agents and facts of your own that failed so often that they were switched off.

    What [policy.faults] says decides when that happens. A reload or a restart switches all of them on.
    """


@command.command("list")
@json_option
@click.pass_obj
def list_(face: Face, as_json: bool) -> None:
    """List those that are switched off, whether the gateway runs or not."""
    from gatepost.policy.fuses import off_in  # loads facts: not for --help

    with face.world.shared(face.configuration.settings) as shared:
        found = [PlugInOff(*one) for one in off_in(shared)]
    if as_json:
        say_json([_json(one) for one in found])
        return
    rows = [(o.plug_in, when(o.since), o.faults, o.error, when(o.until) if o.until else _BACK) for o in found]
    say_table(_HEADS, rows, empty="nothing is switched off")


@command.command()
@click.argument("name")
@click.pass_obj
def resume(face: Face, name: str) -> None:
    """Have NAME asked again, in every worker within a second: "agent subject-words", say, or subject-words."""
    from gatepost.policy.fuses import forget_faults, off_in

    with face.world.shared(face.configuration.settings) as shared:
        off = [one.plug_in for one in off_in(shared)]
        found = [plug_in for plug_in in off if name in (plug_in, plug_in.partition(" ")[2])]
        for plug_in in found:
            forget_faults(shared, plug_in)
    if not found:
        click.echo(
            f"gatepost: {name!r} is not switched off (what is: {', '.join(off) or 'nothing'})", err=True
        )
        raise click.exceptions.Exit(EXIT_NO)
    for plug_in in found:
        say(f"{plug_in}: asked again")


def plug_in_lines(workers: Iterable[WorkerStatus]) -> Iterator[str]:
    """For `gatepost status`: what is switched off, each once."""
    for one in _once(workers):
        back = f"until {when(one.until)}" if one.until else "until `gatepost plug-ins resume` or a reload"
        yield f"{one.plug_in} is switched off after {one.faults} faults ({one.error}), {back}"


def plug_in_json(workers: Iterable[WorkerStatus]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [_json(one) for one in _once(workers)]


def _once(workers: Iterable[WorkerStatus]) -> Sequence[PlugInOff]:
    found = {one.plug_in: one for worker in workers for one in worker.plug_ins_off}
    return [found[name] for name in sorted(found)]


def _json(one: PlugInOff) -> dict[str, Any]:
    return {
        "plug_in": one.plug_in,
        "since": one.since,
        "faults": one.faults,
        "error": one.error,
        "until": one.until or None,
    }
