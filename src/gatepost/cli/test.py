"""gatepost test: what the gateway would find out, asked now."""

from __future__ import annotations

import click

from gatepost.cli.front import EXIT_NO, EXIT_WORLD, Face
from gatepost.cli.output import json_option, say_json, say_table
from gatepost.config.networks import is_ip


@click.group()
def command() -> None:
    """Try what the gateway would find out; nothing is changed."""


@command.command()
@click.argument("address")
@click.option("--provider", default="", metavar="NAME", help="Ask this one only.")
@json_option
@click.pass_obj
def blocklist(face: Face, address: str, provider: str, as_json: bool) -> None:
    """Ask all block and allow list providers about ADDRESS, now and past every rest.

    Exit status 0 when a provider lists it, 1 when none does, 3 when none answers.
    """
    settings = face.configuration.settings
    if not is_ip(address):
        raise click.UsageError(f"{address[:100]!r} is not an IP address")
    names = (*settings.block_list_providers, *settings.allow_list_providers)
    if provider and provider not in names:
        raise click.UsageError(f"there is no provider {provider!r}; there are: {', '.join(names) or 'none'}")
    answers = face.world.ask_providers(settings, address, provider)
    if as_json:
        say_json(
            [
                {
                    "provider": a.provider,
                    "kind": a.kind,
                    "zone": a.zone,
                    "listed": a.is_listed,
                    "codes": list(a.judged.codes),
                    "ignored": [*a.judged.ignored, *a.judged.strange],
                    "refused": a.judged.refused or None,
                    "text": a.text,
                    "problem": a.problem or None,
                    "elapsed_ms": round(1000 * a.elapsed_s, 1),
                }
                for a in answers
            ]
        )
    else:
        rows = [
            (
                a.provider,
                a.kind,
                a.zone,
                a.problem or ("listed" if a.is_listed else "not listed"),
                " ".join(
                    (*a.judged.codes, *(f"({code})" for code in (*a.judged.ignored, *a.judged.strange)))
                ),
                f"{1000 * a.elapsed_s:.0f} ms",
                a.text,
            )
            for a in answers
        ]
        say_table(
            ("PROVIDER", "KIND", "ZONE", "ANSWER", "CODES", "TOOK", "TEXT"),
            rows,
            empty="there is no provider",
        )
    if not any(a.is_listed for a in answers):
        silent = bool(answers) and all(a.problem for a in answers)
        raise click.exceptions.Exit(EXIT_WORLD if silent else EXIT_NO)
