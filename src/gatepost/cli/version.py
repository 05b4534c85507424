"""gatepost version."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from gatepost.cli.output import json_option, say, say_json


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Print the version of Gatepost and of Python."""
    try:
        ours = version("gatepost")
    except PackageNotFoundError:
        ours = "unknown (not installed as a package)"
    if as_json:
        say_json({"gatepost": ours, "python": platform.python_version()})
    else:
        say(f"gatepost {ours}, Python {platform.python_version()}")
