"""gatepost agents: who is asked about a mail, and in which order."""

from __future__ import annotations

import click

from gatepost.cli.front import Face
from gatepost.cli.output import json_option, say_json, say_table

_HEADS = ("AGENT", "STAGES", "ASKED", "WHEN UNKNOWN", "WHAT IT DOES")


@click.command()
@click.option("--findings", is_flag=True, help="List what the agents can notice, with points, instead.")
@json_option
@click.pass_obj
def command(face: Face, findings: bool, as_json: bool) -> None:
    """List the agents in the order in which they are asked at each stage."""
    from gatepost.policy.order import agent_settings, rows  # loads every agent: not for --help

    configuration = face.configuration
    policy = configuration.settings.policy
    found = rows(policy.agents_directory)
    tables = {name: table() for name, table in agent_settings(policy.agents_directory).items()}
    tables.update(configuration.agents)
    off = {name for name, table in tables.items() if not getattr(table, "enabled", True)}
    off.update(policy.disabled)
    if as_json:
        say_json(
            [
                {
                    "name": row.name,
                    "stages": [stage.value for stage in row.stages],
                    "enabled": row.name not in off,
                    "when_unknown": row.when_unknown.name.lower(),
                    "filter": row.is_filter,
                    "third_party": row.third_party,
                    "means": row.means,
                    "findings": [
                        {"name": f.name, "points": policy.points.get(f.name, f.points), "means": f.means}
                        for f in row.findings
                    ],
                }
                for row in found
            ]
        )
    elif findings:
        say_table(
            ("FINDING", "POINTS", "AGENT", "MEANS"),
            [
                (f.name, policy.points.get(f.name, f.points), r.name, f.means)
                for r in found
                for f in r.findings
            ],
            empty="no agent has findings",
        )
    else:
        lines = [
            (
                row.name,
                ", ".join(stage.value for stage in row.stages),
                "no" if row.name in off else "yes",
                row.when_unknown.name.lower(),
                row.means,
            )
            for row in found
        ]
        say_table(_HEADS, lines, empty="there is no agent")
