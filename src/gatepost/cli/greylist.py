"""gatepost greylist: what was put off, what came again, and what that was good for."""

from __future__ import annotations

import math
from typing import Final

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table, when

SHOWN: Final = 100
_HEADS = ("NETWORK, SENDER'S DOMAIN, RECIPIENT", "FIRST", "PASSED", "PASSES", "UNTIL")


@click.group()
def command() -> None:
    """See and forget what greylisting remembers."""


@command.command()
@click.argument("text", default="")
@click.option("--networks", is_flag=True, help="Networks that come again, instead of attempts.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=SHOWN, show_default=True, help="Most lines."
)
@json_option
@click.pass_obj
def show(face: Face, text: str, networks: bool, limit: int, as_json: bool) -> None:
    """Show the attempts that are remembered, the latest first; with TEXT those whose key has it."""
    from gatepost.model.greylist import ATTEMPTS_SPACE, NETWORKS_SPACE, Attempt

    with face.world.shared(face.configuration.settings) as shared:
        items = [i for i in shared.items(NETWORKS_SPACE if networks else ATTEMPTS_SPACE) if text in i.key]
    found = [(item, Attempt.decode(item.value)) for item in items]
    found.sort(key=lambda pair: (-max(pair[1].first_at, pair[1].passed_at), pair[0].key))
    found = found[:limit]
    if as_json:
        say_json(
            [
                {
                    "key": item.key,
                    "first_at": attempt.first_at or None,
                    "passed_at": attempt.passed_at or None,
                    "passes": attempt.passes,
                    "expires_at": item.expires_at,
                }
                for item, attempt in found
            ]
        )
        return
    lines = [(i.key, when(a.first_at), when(a.passed_at), a.passes, when(i.expires_at)) for i, a in found]
    say_table(_HEADS, lines, empty="nothing is remembered")
    if len(items) > limit:
        say(f"{len(items) - limit} more: --limit")


@command.command()
@json_option
@click.pass_obj
def statistics(face: Face, as_json: bool) -> None:
    """Show what greylisting bought: how many attempts were put off, and how many never came again."""
    from gatepost.model.greylist import STATISTICS_KEY, STATISTICS_SPACE, Came

    now = face.world.now()
    with face.world.shared(face.configuration.settings) as shared:
        counts = shared.counts(STATISTICS_SPACE, STATISTICS_KEY, fading=math.inf, now=now)
    numbers = dict(zip(Came, counts or (0.0,) * len(Came), strict=True))
    put_off, again = round(numbers[Came.NEW]), round(numbers[Came.AGAIN])
    kept_away = max(0, put_off - again)
    if as_json:
        say_json(
            {**{came.name.lower(): round(count) for came, count in numbers.items()}, "kept_away": kept_away}
        )
        return
    say(f"{put_off} attempts were put off; {again} of them came again and passed")
    share = f" ({kept_away / put_off:.0%})" if put_off else ""
    say(f"{kept_away}{share} have not come again, those of the last hours included")
    say(f"{round(numbers[Came.EARLY])} came again too early, and were put off once more")
    say(
        f"{round(numbers[Came.KNOWN])} passed at once because they had come again before, "
        f"{round(numbers[Came.NETWORK])} by their network, {round(numbers[Came.SPARED])} as spared clients"
    )


@command.command()
@click.argument("key")
@click.pass_obj
def remove(face: Face, key: str) -> None:
    """Forget an attempt by its whole key as `show` prints it, or a network with all of its attempts."""
    from gatepost.model.greylist import ATTEMPTS_SPACE, NETWORKS_SPACE

    with face.world.shared(face.configuration.settings) as shared:
        found = [
            (space, item.key)
            for space in (ATTEMPTS_SPACE, NETWORKS_SPACE)
            for item in shared.items(space)
            if item.key == key or item.key.startswith(f"{key} ")
        ]
        for space, entry in found:
            shared.remove(space, entry)
    if not found:
        click.echo(
            f"gatepost: nothing is remembered of {key!r}; `gatepost greylist show` lists the keys", err=True
        )
        raise click.exceptions.Exit(EXIT_NO)
    say(f"{len(found)} entries are forgotten")
