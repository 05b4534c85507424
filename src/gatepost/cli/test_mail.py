"""gatepost test mail: play a mail from its sender to our door, and explain the verdict."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatepost.cli.front import DEFAULT_CONFIGURATION, EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table
from gatepost.cli.zone_option import zone_option

if TYPE_CHECKING:
    from gatepost.control.played import Played
    from gatepost.control.scenario import Script

_OF_MAIL = ("client", "helo", "sender", "author", "subject", "body", "message", "user", "connector")


def _sign(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[dict[str, str], ...]:
    """DOMAIN, DOMAIN:SELECTOR or DOMAIN:SELECTOR:rsa|ed25519."""
    return tuple(
        {
            name: part
            for name, part in zip(("domain", "selector", "key"), value.split(":"), strict=False)
            if part
        }
        for value in values
    )


def _hop(_ctx: click.Context, _param: click.Parameter, value: str) -> dict[str, str] | None:
    if not value:
        return None
    helo, at, client = value.rpartition("@")
    if not at or not helo:
        raise click.BadParameter(
            f"{value[:100]!r} is not NAME@ADDRESS such as mx.forwarder.example@192.0.2.9"
        )
    return {"helo": helo, "client": client}


@click.command()
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO]...")
@click.option("--list", "list_them", is_flag=True, help="List the scenarios that come with Gatepost.")
@click.option("--client", metavar="IP", help="The address that the mail comes from.")
@click.option("--helo", metavar="NAME", help="What the client calls itself.")
@click.option("--from", "sender", metavar="ADDRESS", help='MAIL FROM; "" is the null sender.')
@click.option("--to", "recipients", metavar="ADDRESS", multiple=True, help="A recipient; may be repeated.")
@click.option("--message", metavar="FILE", help="The whole message; without it one is made.")
@click.option("--header-from", "author", metavar="TEXT", help="The From field of a message that is made.")
@click.option(
    "--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="One more field, such as Sender."
)
@click.option("--subject", metavar="TEXT", help="The subject of a message that is made.")
@click.option("--body", metavar="TEXT", help="The text of a message that is made.")
@click.option("--user", metavar="NAME", help="The client has logged in to this account.")
@click.option("--no-tls", is_flag=True, help="The session is not encrypted.")
@click.option("--connector", metavar="NAME", help="The receive connector; without it the one for the client.")
@click.option(
    "--sign",
    metavar="DOMAIN[:SELECTOR[:rsa|ed25519]]",
    multiple=True,
    callback=_sign,
    help="The sender signs for this domain, with a key made now that the DNS of the play has.",
)
@click.option("--forwarder", metavar="NAME@IP", default="", callback=_hop, help="Somebody passes it on.")
@click.option(
    "--forwarder-changes",
    metavar="WHAT",
    default="",
    help="What it changes: footer, subject, with commas between.",
)
@click.option(
    "--forwarder-from", metavar="ADDRESS", help="The MAIL FROM it uses; without it the one that came."
)
@click.option("--forwarder-seals", metavar="DOMAIN[:SELECTOR]", default="", help="It adds an ARC set.")
@zone_option
@click.option(
    "--own-configuration/--first-configuration",
    "own",
    default=None,
    help=(
        "Judge by the configuration of --config, or by one as `gatepost init` writes it. "
        "Without either: by the file, if it is there."
    ),
)
@click.option("--check", is_flag=True, help="Exit status 0 when all is as the scenario expects, 1 when not.")
@click.option("--dialog", is_flag=True, help="Show what was said in the session.")
@click.option("--header-section", is_flag=True, help="Show the header section of what would be kept.")
@click.option("--save", metavar="FILE", help="Write the message as it would be kept.")
@json_option
@click.pass_obj
def mail(
    face: Face, /, scenarios: tuple[str, ...], list_them: bool, check: bool, as_json: bool, **wishes: Any
) -> None:
    """Play a mail from its sender to our door, by the real facts, agents and policy; nothing is sent or kept.

    A SCENARIO is a file, or the name of one that comes with Gatepost; options say what is otherwise. With records of
    its own a play asks no name server; without, the configured ones answer.

    Exit status of one play: 0 accepted, 10 quarantined, 11 discarded, 12 deferred, 13 refused. Of several plays and
    with --check: 0 when all came out as expected, 1 when not.
    """
    from gatepost.control.scenario import read_script, shipped

    if list_them:
        scripts = [read_script(name) for name in shipped()]
        say_table(
            ("SCENARIO", "WHAT HAPPENS"), [(s.name, str(s.data.get("about", ""))) for s in scripts], empty=""
        )
        return
    flags = _flags(wishes)
    scripts = [read_script(name) for name in scenarios] if scenarios else [_by_flags(flags)]
    path = _configuration_path(face, wishes["own"])
    plays = [face.world.play(path, script, flags) for script in scripts]
    if as_json:
        say_json([_as_json(played) for played in plays] if len(plays) > 1 else _as_json(plays[0]))
    elif len(plays) > 1:
        _say_plays(plays)
    else:
        _say_play(plays[0], wishes)
    if wishes["save"]:
        _save(plays, wishes["save"])
    if check or len(plays) > 1:
        raise click.exceptions.Exit(EXIT_NO if any(played.problems for played in plays) else 0)
    raise click.exceptions.Exit(plays[0].exit_status)


def _configuration_path(face: Face, own: bool | None) -> str:
    """ "": none. The usual place counts when there is a file."""
    if own is None:
        own = face.config_path != DEFAULT_CONFIGURATION or os.path.exists(face.config_path)
    return face.config_path if own else ""


def _flags(wishes: dict[str, Any]) -> dict[str, Any]:
    """What the options say, as the tables of a scenario."""
    mail: dict[str, Any] = {name: wishes[name] for name in _OF_MAIL if wishes[name] is not None}
    if "message" in mail:
        mail["message"] = os.path.abspath(mail["message"])
    for name in ("recipients", "headers"):
        if wishes[name]:
            mail[name] = list(wishes[name])
    if wishes["no_tls"]:
        mail["tls"] = False
    flags: dict[str, Any] = {"mail": mail} if mail else {}
    if wishes["sign"]:
        flags["sign"] = list(wishes["sign"])
    if (hop := _forwarder(wishes)) is not None:
        flags["hops"] = [hop]
    if wishes["zone"]:
        flags["dns"] = {"records": wishes["zone"]}
    return flags


def _forwarder(wishes: dict[str, Any]) -> dict[str, Any] | None:
    names = ("forwarder_changes", "forwarder_from", "forwarder_seals")
    hop: dict[str, Any] | None = wishes["forwarder"]
    if hop is None:
        if any(wishes[name] for name in names):
            raise click.UsageError("who passes the mail on? --forwarder NAME@IP")
        return None
    if wishes["forwarder_changes"]:
        hop["changes"] = [word.strip() for word in wishes["forwarder_changes"].split(",")]
    if wishes["forwarder_from"] is not None:
        hop["sender"] = wishes["forwarder_from"]
    if wishes["forwarder_seals"]:
        domain, _, selector = wishes["forwarder_seals"].partition(":")
        hop["seal"] = {"domain": domain, **({"selector": selector} if selector else {})}
    return hop


def _by_flags(flags: dict[str, Any]) -> Script:
    """Options alone make the scenario."""
    from gatepost.control.scenario import Script, shipped

    missing = [
        option
        for option, name in (("--client", "client"), ("--from", "sender"), ("--to", "recipients"))
        if name not in flags.get("mail", {})
    ]
    if missing:
        raise click.UsageError(
            f"a scenario, or {', '.join(missing)} as well; scenarios: {', '.join(shipped())}"
        )
    return Script(name="mail", file="command line", text="", data={}, folder=Path())


def _say_plays(plays: list[Played]) -> None:
    rows = [
        (
            played.name,
            played.outcome,
            played.decided_by or "-",
            " ".join(f"{name}={result}" for name, result in sorted(played.results.items())) or "-",
            "; ".join(played.problems) or "as expected",
        )
        for played in plays
    ]
    say_table(("SCENARIO", "OUTCOME", "DECIDED BY", "RESULTS", "EXPECTED"), rows, empty="")


def _say_play(played: Played, wishes: dict[str, Any]) -> None:
    if played.about:
        say(played.about)
        say()
    for number, step in enumerate(played.way):
        say(f"{'  ' * number}{step}")
    say()
    for line in (*played.dialog, "") if wishes["dialog"] else ():
        say(line)
    _say_verdict(played)
    for octets in _header_lines(played) if wishes["header_section"] else ():
        say(octets.decode("utf-8", "replace").expandtabs())
    for line in (f"not as expected: {problem}" for problem in played.problems):
        say(line)


def _say_verdict(played: Played) -> None:
    for line in (*played.notes, f"judged by {played.configuration}"):
        say(line)
    by = f" by {played.decided_by}" if played.decided_by else ""
    say(f"{played.outcome.upper()}{by}: {played.reply}")
    if played.results:
        say(" ".join(f"{name}={result}" for name, result in sorted(played.results.items())))
    for kept in played.kept:
        say(f"{kept.state} for {', '.join(kept.recipients)}, next hop {kept.next_hop}")
    say()
    for line in played.explanation.lines() if played.explanation else ("no agent was asked",):
        say(line)
    say()


def _header_lines(played: Played) -> list[bytes]:
    return [
        line for kept in played.kept for line in (*kept.message.partition(b"\r\n\r\n")[0].split(b"\r\n"), b"")
    ]


def _save(plays: list[Played], place: str) -> None:
    from gatepost.model.fault import WorldFault

    kept = [one for played in plays for one in played.kept]
    if len(kept) != 1:
        raise WorldFault(f"{len(kept)} messages would be kept, and --save writes one: nothing was written")
    try:
        Path(place).write_bytes(kept[0].message)
    except OSError as error:
        raise WorldFault(f"{place} cannot be written: {error.strerror}") from error


def _as_json(played: Played) -> dict[str, Any]:
    import json

    return {
        "name": played.name,
        "outcome": played.outcome,
        "decided_by": played.decided_by or None,
        "reason": played.reason or None,
        "reply": played.reply,
        "results": dict(played.results),
        "findings": list(played.findings),
        "way": list(played.way),
        "dialog": list(played.dialog),
        "notes": list(played.notes),
        "configuration": played.configuration,
        "kept": [
            {"recipients": list(k.recipients), "state": k.state, "next_hop": k.next_hop} for k in played.kept
        ],
        "not_as_expected": list(played.problems),
        "explanation": json.loads(played.explanation.as_json()) if played.explanation else None,
    }
