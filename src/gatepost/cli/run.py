"""gatepost run: the gateway itself."""

from __future__ import annotations

import click

from gatepost.cli.front import Face


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run the gateway in the foreground until SIGTERM or SIGINT. SIGHUP reads the configuration again."""
    face: Face = ctx.obj
    ctx.exit(face.world.run(face.config_path))
