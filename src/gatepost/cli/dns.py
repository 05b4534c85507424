"""gatepost dns: how the name servers serve the gateway, and what they say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import click

from gatepost.cli import dns_records
from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table
from gatepost.control.commands import AskMetrics, Samples
from gatepost.ports.resolver import LookedUp, Mx, RecordType, Tlsa

_ZONE_HEADS = ("ZONE", "FOUND", "NONE", "UNKNOWN", "MEAN WAIT")
_SERVER_HEADS = ("SERVER", "ANSWERS", "REFUSALS", "SILENCES", "MEAN WAIT", "USUAL WAIT")
_TYPES = [kind.name for kind in RecordType]

Sums = dict[str, dict[str, float]]


@click.group()
def command() -> None:
    """See how the name servers serve the gateway; look at, make and publish the records of own domains."""


for _records in (dns_records.survey, dns_records.wizard, dns_records.history):
    command.add_command(_records)


@command.command()
@json_option
@click.pass_obj
def statistics(face: Face, as_json: bool) -> None:
    """Show questions by zone, and answers by server, of all workers since they began.

    Zones that are not in dns.watched-zones are counted together as "other".
    """
    links = face.world.running(face.configuration.settings)
    if not links:
        click.echo("gatepost: the gateway does not run", err=True)
        raise click.exceptions.Exit(EXIT_NO)
    zones, servers, totals = _summed(
        reply for link in links if isinstance(reply := link.ask(AskMetrics()), Samples)
    )
    if as_json:
        say_json({"zones": zones, "servers": servers, "cache": totals})
        return
    rows = [
        (
            zone,
            *(f"{said[key]:.0f}" for key in ("found", "none", "unknown")),
            _mean(said, "found", "none", "unknown"),
        )
        for zone, said in sorted(zones.items())
    ]
    say_table(_ZONE_HEADS, rows, empty="no question was sent yet")
    rows = [
        (
            server,
            *(f"{said[key]:.0f}" for key in ("answers", "refusals", "silences")),
            _mean(said, "answers"),
            f"{said['usual_s'] * 1000:.1f} ms" if said["usual_s"] else "-",
        )
        for server, said in sorted(servers.items())
    ]
    say_table(_SERVER_HEADS, rows, empty="")
    say(
        f"{totals['hits']:.0f} answers were known already; {totals['answers']:.0f} are kept, "
        f"{totals['waiting']:.0f} questions are on their way"
    )
    if totals["silent"]:
        say(
            f"{totals['silent']:.0f} workers hear no server: what they would have asked is unknown until one answers"
        )


@command.command()
@click.argument("name")
@click.argument("kind", metavar="[TYPE]", default="A", type=click.Choice(_TYPES, case_sensitive=False))
@json_option
@click.pass_obj
def ask(face: Face, name: str, kind: str, as_json: bool) -> None:
    """Ask the configured servers for a name, as the gateway would. TYPE is A unless given.

    Exit status 1 when there is no such record.
    """
    said = face.world.look_up(face.configuration.settings, name, RecordType[kind.upper()])
    shown = [_shown(record) for record in said.records]
    if as_json:
        say_json({"records": shown, "exists": said.exists, "is_secure": said.is_secure, "ttl_s": said.ttl_s})
    else:
        for line in shown:
            say(line)
        if not shown:
            say("no such record" if said.exists else "no such name")
        say(f"{_proven(said)}; to be believed for {said.ttl_s} s")
    if not shown:
        raise click.exceptions.Exit(EXIT_NO)


def _proven(said: LookedUp) -> str:
    return "proven by DNSSEC" if said.is_secure else "not proven by DNSSEC"


def _shown(record: str | bytes | Mx | Tlsa) -> str:
    match record:
        case Mx(preference, host):
            return f"{preference} {host or '.'}"
        case Tlsa():
            return f"{record.usage} {record.selector} {record.matching} {record.data.hex()}"
        case bytes():
            text = record.decode("utf-8", "backslashreplace")
            return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
        case _:
            return record


def _summed(replies: Iterable[Samples]) -> tuple[Sums, Sums, dict[str, float]]:
    """By zone, by server, and all together."""
    zones: Sums = defaultdict(lambda: {"found": 0.0, "none": 0.0, "unknown": 0.0, "wait_s": 0.0})
    servers: Sums = defaultdict(
        lambda: {"answers": 0.0, "refusals": 0.0, "silences": 0.0, "wait_s": 0.0, "usual_s": 0.0}
    )
    totals = {"hits": 0.0, "answers": 0.0, "waiting": 0.0, "silent": 0.0}
    for reply in replies:
        for name, pairs, value in reply.samples:
            labels = dict(pairs)
            match name:
                case "dns_questions":
                    zones[labels["zone"]][labels["outcome"]] += value
                case "dns_wait_seconds":
                    zones[labels["zone"]]["wait_s"] += value
                case "dns_server_wait_seconds":
                    servers[labels["server"]]["wait_s"] += value
                case "dns_server_usual_seconds":  # of the worker for which it is slowest
                    servers[labels["server"]]["usual_s"] = max(servers[labels["server"]]["usual_s"], value)
                case "dns_server_answers" | "dns_server_refusals" | "dns_server_silences":
                    servers[labels["server"]][name.rpartition("_")[2]] += value
                case "dns_cache_hits" | "dns_cached_answers" | "dns_waiting_questions" | "dns_silent":
                    totals[_TOTALS[name]] += value
                case _:
                    pass
    return dict(zones), dict(servers), totals


_TOTALS = {
    "dns_cache_hits": "hits",
    "dns_cached_answers": "answers",
    "dns_waiting_questions": "waiting",
    "dns_silent": "silent",
}


def _mean(said: dict[str, float], *counted: str) -> str:
    number = sum(said[key] for key in counted)
    return f"{said['wait_s'] / number * 1000:.1f} ms" if number else "-"
