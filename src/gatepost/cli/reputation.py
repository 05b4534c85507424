"""gatepost reputation: what is known of a client's address, number by number, and how to forget it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json

if TYPE_CHECKING:
    from gatepost.config.guard_settings import SenderReputation
    from gatepost.facts.sender_reputation import Reputation, Standing


@click.group()
def command() -> None:
    """See what a client's address is thought of, and why; have it begin anew.

    Levels go from 0 (good) to 9. They are worked out of what the address did lately, counted by all workers.
    """


def _address(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not an IP address such as 192.0.2.1 or 2001:db8::1") from None


address_argument = click.argument("address", callback=_address)


@command.command()
@address_argument
@json_option
@click.pass_obj
def show(face: Face, address: str, as_json: bool) -> None:
    """Show the level of an address and every number behind it, and those of its network."""
    from gatepost.facts.sender_reputation import ReputationBook
    from gatepost.model.origin import origin_of

    settings = _settings(face)
    with face.world.shared(face.configuration.settings) as shared:
        book, now = ReputationBook(shared, settings), face.world.now()
        found = book.of(address, now)
        origin = origin_of(address)
        standings = [book.standing(key, now) for key in dict.fromkeys((origin.source, origin.network))]
    if as_json:
        say_json({"address": address, **_level(found), "counted": [_numbers(one) for one in standings]})
        return
    if found.level < 0:
        say(f"{address} has no level: {settings.minimum_mails} mails or unknown recipients are needed")
    else:
        blocked = "blocked" if found.level >= settings.block_at and settings.block_for_s else "not blocked"
        say(
            f"{address} has level {found.level}, that of {found.judged_by}: {blocked} (from {settings.block_at})"
        )
    for standing in standings:
        _say_standing(standing)


@command.command()
@address_argument
@click.pass_obj
def reset(face: Face, address: str) -> None:
    """Forget what an address (of IPv6 its /64) did. Its network's counts stay, and so does a block list entry."""
    from gatepost.facts.sender_reputation import ReputationBook
    from gatepost.model.origin import origin_of

    with face.world.shared(face.configuration.settings) as shared:
        book, source = ReputationBook(shared, _settings(face)), origin_of(address).source
        if not any(book.standing(source, face.world.now()).evidence):
            click.echo(f"gatepost: nothing is known of {source}", err=True)
            raise click.exceptions.Exit(EXIT_NO)
        book.forget(address)
    say(f"{source} begins anew")


def _settings(face: Face) -> SenderReputation:
    from gatepost.config.guard_settings import SenderReputation
    from gatepost.facts.sender_reputation import AGENT

    table = face.configuration.agents[AGENT]
    assert isinstance(table, SenderReputation), "the agent's own table"
    return table


def _say_standing(standing: Standing) -> None:
    level = standing.weighed.level
    say()
    say(f"{standing.key}: {'no level' if level is None else f'level {level}'}")
    for reason in standing.weighed.reasons:
        say(f"  {reason}")
    for name, count in standing.evidence._asdict().items():
        if count >= 0.05:
            say(f"  {name.replace('_', '-')}: {count:.1f}")
    if standing.helo_names:
        say(f"  names in greetings: about {standing.helo_names:.0f}")


def _level(found: Reputation) -> dict[str, Any]:
    level = found.level if found.level >= 0 else None
    return {"level": level, "judged_by": found.judged_by, "reasons": list(found.reasons)}


def _numbers(standing: Standing) -> dict[str, Any]:
    return {
        "key": standing.key,
        "level": standing.weighed.level,
        "reasons": [{"points": round(r.points, 2), "says": r.says} for r in standing.weighed.reasons],
        "evidence": {name: round(count, 2) for name, count in standing.evidence._asdict().items()},
        "helo_names": standing.helo_names,
    }
