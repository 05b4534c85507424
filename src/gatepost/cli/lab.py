"""gatepost lab: the gateway with a small internet around it, on loopback."""

from __future__ import annotations

import click

from gatepost.cli.front import Face


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION]...")
@click.pass_context
def command(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run the gateway with a small internet around it, on loopback, and send mail through it.

    Needs no configuration and touches nothing of the machine but a directory of its own. --help says more.

    For drills, with a --help of their own: `gatepost lab fault-proxy` passes TCP connections on and spoils them;
    `gatepost lab dns` answers DNS questions from a zone text, and fails where it is told to.
    """
    face: Face = ctx.obj
    ctx.exit(face.world.lab(arguments))
