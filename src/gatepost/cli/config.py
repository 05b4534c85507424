"""gatepost config: what is wrong with the configuration, what it amounts to, what could be in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from gatepost.cli.front import EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json
from gatepost.config.errors import ConfigurationError, ConfigurationErrors
from gatepost.config.load import Configuration
from gatepost.config.profiles import PROFILES
from gatepost.config.reference import SettingText, TableText, tables_of, written
from gatepost.config.schema import Table, file_name_of
from gatepost.config.settings import ReceiveConnector, Settings
from gatepost.config.shape import unit_of


@click.group()
def command() -> None:
    """Check, show and explain the configuration."""


@command.command()
@click.argument("file", required=False, type=click.Path())
@json_option
@click.pass_obj
def check(face: Face, file: str | None, as_json: bool) -> None:
    """Read FILE (or the configuration in force) and say everything that is wrong with it.

    Exit status 1 when it would be refused. Nothing is started or changed. As root it may
    find files readable that the gateway's own account cannot read.
    """
    try:
        configuration = face.world.load(file or face.config_path)
    except ConfigurationErrors as errors:
        if as_json:
            say_json({"ok": False, "errors": [_error_json(error) for error in errors.errors]})
        raise
    if as_json:
        warnings = [{"line": w.line, "key": w.key, "message": w.message} for w in configuration.warnings]
        say_json({"ok": True, "revision": configuration.revision, "warnings": warnings})
        return
    for warning in configuration.warnings:
        click.echo(f"{warning} (warning)", err=True)
    for line in summary(configuration):
        say(line)
    say(f"{configuration.path}: ok, revision {configuration.revision}")


def _error_json(error: ConfigurationError) -> dict[str, Any]:
    return {
        "file": error.file,
        "line": error.line,
        "key": error.key,
        "message": error.message,
        "accepted": list(error.accepted),
        "did_you_mean": error.did_you_mean,
    }


def summary(configuration: Configuration) -> Iterator[str]:
    """What the gateway would do: doors, domains, ways out."""
    settings = configuration.settings
    for name, door in settings.receive_connectors.items():
        state = "" if door.enabled else " (disabled)"
        auth = ", AUTH" if door.auth else ""
        yield (
            f"in   {name}{state}: {', '.join(door.listen)}, TLS {door.tls}{auth}, "
            f"for {', '.join(door.remote_ranges)}, profile {door.profile}"
        )
        yield f"       strangers may: {', '.join(door.anonymous_rights) or 'nothing'}"
        if door.auth:
            yield f"       accounts may: {', '.join(door.authenticated_rights) or 'nothing'}"
        if door.proxies:
            yield f"       proxies name the client (PROXY): {', '.join(door.proxies)}"
        if door.xclient_peers:
            yield f"       peers name the client (XCLIENT): {', '.join(door.xclient_peers)}"
        for who, named in door.ranges.items():
            yield f"       {who} ({', '.join(named.addresses)}) may: {', '.join(named.rights) or 'nothing'}"
    for domain, accepted in settings.accepted_domains.items():
        yield f"for  {domain}: {accepted.type}"
    for name, way in settings.send_connectors.items():
        state = " (disabled)" if not way.enabled else " (suspended)" if way.suspended else ""
        where = way.maildir or ", ".join(way.smart_hosts) or "by MX"
        yield f"out  {name}{state}: {', '.join(way.address_spaces)} to {where}, {way.delivery}, TLS {way.tls}"
    off = [
        name
        for name, table in configuration.agents.items()
        if name in settings.policy.disabled or not getattr(table, "enabled", True)
    ]
    asked = [name for name in configuration.agents if name not in off]
    yield f"asks {', '.join(asked) or 'no agent'}" + (f" (not asked: {', '.join(off)})" if off else "")


@command.command()
@click.option("--all", "everything", is_flag=True, help="Settings that have their default, too.")
@json_option
@click.pass_obj
def show(face: Face, everything: bool, as_json: bool) -> None:
    """Print the configuration in force as one file, with every setting that differs from its default."""
    configuration = face.configuration
    if as_json:
        tables = {
            name: table.model_dump(mode="json", by_alias=True) for name, table in configuration.agents.items()
        }
        say_json({**configuration.settings.model_dump(mode="json", by_alias=True), "agents": tables})
        return
    for line in _table_lines("", configuration.settings, everything=everything):
        say(line)
    for name, table in configuration.agents.items():
        for line in _table_lines(f"agents.{name}", table, everything=everything):
            say(line)


def _table_lines(path: str, table: Table, *, everything: bool, named: bool = False) -> Iterator[str]:
    """A table as TOML, inner tables behind its own settings. named: it counts even when nothing is in it."""
    by_profile = PROFILES[table.profile] if isinstance(table, ReceiveConnector) else {}
    own: list[str] = []
    inner: list[tuple[str, Table, bool]] = []
    for code_name, info in type(table).model_fields.items():
        value = getattr(table, code_name)
        name = file_name_of(code_name)
        here = f"{path}.{name}" if path else name
        if isinstance(value, Table):
            inner.append((here, value, False))
        elif isinstance(value, dict) and value and all(isinstance(v, Table) for v in value.values()):
            inner += [(f"{here}.{_key(key)}", below, True) for key, below in value.items()]
        elif path and (everything or value != info.default or name in by_profile):
            own.append(f"{name} = {written(value, unit_of(code_name))}")
    if own or named:
        yield from (f"[{path}]", *own, "")
    for here, below, is_named in inner:
        yield from _table_lines(here, below, everything=everything, named=is_named)


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.isascii() else written(name)


@command.command()
@click.argument("name", required=False)
@json_option
def reference(name: str | None, as_json: bool) -> None:
    """Explain every setting, or those whose table or name contains NAME."""
    found = list(_matching(name or ""))
    if as_json:
        say_json([_table_json(table) for table in found])
    for table in () if as_json else found:
        say(f"{table.path}  {table.text}")
        for setting in table.settings:
            say(_setting_line(setting))
            say(f"      {setting.text}")
        say()
    if not found:
        click.echo(f"no setting's name contains {name!r}", err=True)
        raise click.exceptions.Exit(EXIT_NO)


def all_tables() -> Iterator[TableText]:
    """Every table of the file, those of the agents behind the others."""
    from gatepost.policy.order import agent_settings  # loads every agent: not for --help

    yield from tables_of(Settings)
    for name, table in agent_settings().items():
        yield from tables_of(table, path=f"agents.{name}")


def _matching(name: str) -> Iterator[TableText]:
    for table in all_tables():
        if name in table.path:
            yield table
        elif settings := tuple(s for s in table.settings if name in s.name):
            yield TableText(path=table.path, text=table.text, settings=settings)


def _setting_line(setting: SettingText) -> str:
    default = f"default {setting.default}" if setting.default else "must be given"
    limits = f", {setting.limits}" if setting.limits else ""
    example = f", for example {setting.example}" if setting.example else ""
    return f"  {setting.name}: {setting.kind}, {default}{limits}{example}"


def _table_json(table: TableText) -> dict[str, Any]:
    names = ("name", "kind", "default", "limits", "text", "example")
    return {
        "table": table.path,
        "text": table.text,
        "settings": [{name: getattr(setting, name) for name in names} for setting in table.settings],
    }
