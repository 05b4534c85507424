"""The first word behind `gatepost`: finds the command, and turns whatever goes wrong into a sentence."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from gatepost.cli.world import ControlWorld
    from gatepost.config.errors import ConfigurationError
    from gatepost.config.load import Configuration

EXIT_NO: Final = 1
"""It was looked for and not found, or the configuration has mistakes."""
EXIT_USAGE: Final = 2
"""The command line itself makes no sense."""
EXIT_WORLD: Final = 3
"""Disk, store or worker could not be reached: the same command may work later."""
EXIT_PARTLY: Final = 4
"""Some of the mails were changed and some were not; each that was not is named."""
EXIT_BUG: Final = 70
"""A bug of Gatepost."""

DEFAULT_CONFIGURATION: Final = "/etc/gatepost/gatepost.toml"

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "run": ("gatepost.cli.run", "Run the gateway in the foreground until it is told to stop."),
    "init": ("gatepost.cli.init", "Ask five questions and write a first configuration."),
    "reload": ("gatepost.cli.reload", "Have the running gateway go on with the configuration as it is now."),
    "connector": ("gatepost.cli.connector", "Pause, drain, stop and start receive connectors."),
    "status": ("gatepost.cli.status", "Show whether the gateway runs, and how its workers are."),
    "config": ("gatepost.cli.config", "Check, show and explain the configuration."),
    "queue": ("gatepost.cli.queue", "See and change what waits to be delivered."),
    "quarantine": ("gatepost.cli.quarantine", "See, release and delete mail that waits for a person."),
    "dead": ("gatepost.cli.dead", "See and change mail that was given up without a notice."),
    "track": ("gatepost.cli.track", "Find out what became of a mail."),
    "agent-log": ("gatepost.cli.agent_log", "See what the agents objected to."),
    "explain": ("gatepost.cli.explain", "Show why a mail was treated as it was."),
    "agents": ("gatepost.cli.agents", "List the agents in the order in which they are asked."),
    "plug-ins": ("gatepost.cli.plug_ins", "See and switch on agents and facts of your own that failed."),
    "reputation": ("gatepost.cli.reputation", "See what a client's address is thought of, and why."),
    "greylist": ("gatepost.cli.greylist", "See and forget what greylisting remembers, and what it bought."),
    "list": ("gatepost.cli.list", "See and change the IP block list and allow list."),
    "test": ("gatepost.cli.test", "Try what the gateway would find out."),
    "reports": ("gatepost.cli.reports", "Read reports of others: DMARC aggregate reports and TLS reports."),
    "user": ("gatepost.cli.user", "Add, change and remove accounts that may authenticate."),
    "directory": (
        "gatepost.cli.directory",
        "See, copy and test the directories that recipients are listed in.",
    ),
    "dkim": ("gatepost.cli.dkim", "Make signing keys and compare them with the DNS."),
    "clock": ("gatepost.cli.clock", "Show and confirm the time the queue believes."),
    "dns": ("gatepost.cli.dns", "See how name servers serve; look at, make and publish own records."),
    "lab": ("gatepost.cli.lab", "Run the gateway with a small internet around it, on loopback."),
    "version": ("gatepost.cli.version", "Print the version."),
}


@dataclass(slots=True)
class Face:
    """What every command gets: the world, and which configuration to use."""

    world: ControlWorld
    config_path: str
    mistakes: tuple[ConfigurationError, ...] = ()
    """Of the file as it is now, when `configuration` is that of the running gateway instead."""
    _configuration: Configuration | None = field(default=None)

    @property
    def configuration(self) -> Configuration:
        """Read once; of a file with mistakes, what the running gateway goes on with. Raises ConfigurationErrors."""
        if self._configuration is None:
            self._configuration = self._read()
        return self._configuration

    def _read(self) -> Configuration:
        from gatepost.cli.output import plain
        from gatepost.config.errors import ConfigurationErrors

        try:
            return self.world.load(self.config_path)
        except ConfigurationErrors as errors:
            found = self.world.in_force(self.config_path)
            if found is None:
                raise
            self.mistakes = errors.errors
        for mistake in self.mistakes:
            click.echo(plain(mistake), err=True)
        click.echo(
            f"gatepost: the file has {count_of(len(self.mistakes), 'mistake')}; the running gateway goes on with "
            f"revision {found.revision}, and so does this command",
            err=True,
        )
        return found


class Front(click.Group):
    """Knows the commands by name; imports the one that is called, and its help only when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # as above
        """None for a name that is not in the table."""
        if cmd_name not in COMMANDS:
            return None
        found = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, with the name that was probably meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # only mistakes pay for it

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # as above
        """From the table, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a sentence and an exit status instead of a traceback."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:  # `| head` has seen enough
            _hush()
            ctx.exit(0)
        except (
            OSError
        ) as error:  # what commands read and write they answer for themselves: this is what they say
            _hush()
            where = error.filename or "standard output"
            click.echo(f"gatepost: {where} cannot be written or read: {error.strerror or error}", err=True)
            ctx.exit(EXIT_WORLD)
        except Exception as error:  # noqa: BLE001  # the edge of the terminal: nobody is shown a traceback unasked
            ctx.exit(_said(error, debug=bool(ctx.params.get("debug"))))


def _hush() -> None:
    """What is still to be written goes nowhere: the interpreter must not fail over it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def build(world: ControlWorld) -> click.Group:
    """The whole command. world: the factories of `main`."""

    @click.group(
        cls=Front,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="Exit status: 0 done; 1 not found or configuration wrong; 2 wrong usage; "
        "3 disk, store or worker out of reach; 4 done for some mails only; 70 a bug of Gatepost.",
    )
    @click.option(
        "--config",
        "config_path",
        metavar="PATH",
        envvar="GATEPOST_CONFIG",
        default=DEFAULT_CONFIGURATION,
        show_default=True,
        show_envvar=True,
        help="The configuration file.",
    )
    @click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
    @click.pass_context
    def gatepost(ctx: click.Context, config_path: str, debug: bool) -> None:  # noqa: ARG001  # read in invoke
        """Gatepost, a secure mail gateway."""
        ctx.obj = Face(world, config_path)

    return gatepost


def count_of(number: int, noun: str) -> str:
    """1 mail, 2 mails."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _said(error: Exception, *, debug: bool) -> int:
    """Print what went wrong and what to do; the exit status."""
    from gatepost.cli.output import plain
    from gatepost.config.errors import ConfigurationErrors
    from gatepost.model.fault import Fault

    if debug:
        traceback.print_exception(error)
    if isinstance(error, ConfigurationErrors):
        for mistake in error.errors:
            click.echo(plain(mistake), err=True)
        click.echo(_advice(error), err=True)
        return EXIT_NO
    if isinstance(error, Fault):
        facts = ", ".join(f"{name} {value}" for name, value in error.facts.items())
        click.echo(plain(f"gatepost: {error.reason}" + (f" ({facts})" if facts else "")), err=True)
        return EXIT_WORLD
    click.echo(
        f"gatepost: a bug of Gatepost: {type(error).__name__}: {plain(error)}. Nothing more was done. "
        "Please report it with the output of the same command after `gatepost --debug`.",
        err=True,
    )
    return EXIT_BUG


def _advice(error: object) -> str:
    from gatepost.config.errors import ConfigurationErrors

    mistakes = error.errors if isinstance(error, ConfigurationErrors) else ()
    if len(mistakes) == 1 and not mistakes[0].key and "Permission denied" in mistakes[0].message:
        return "gatepost: it is for root and the gateway's own account (server.user) only"
    if len(mistakes) == 1 and not mistakes[0].line and "cannot be read" in mistakes[0].message:
        return (
            "gatepost: there is no configuration to work with. Name one with --config PATH or GATEPOST_CONFIG,\n"
            "or write a first one with `gatepost init`, which asks five questions. `gatepost config reference`\n"
            "explains everything else, and `gatepost lab` shows a gateway at work without one."
        )
    return f"gatepost: {count_of(len(mistakes), 'mistake')}; nothing was started or changed."
