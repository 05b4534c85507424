"""Reads the configuration file once and says everything that is wrong with it at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from gatepost.config.agent_table import AgentTable
from gatepost.config.check_delivery import check_delivery
from gatepost.config.check_directories import check_directories
from gatepost.config.check_dkim import check_dkim
from gatepost.config.check_dmarc_reports import check_dmarc_reports
from gatepost.config.check_doors import check_doors
from gatepost.config.check_guards import check_guards
from gatepost.config.check_integrated import check_integrated
from gatepost.config.check_limits import check_limits
from gatepost.config.check_lists import check_lists
from gatepost.config.check_logins import check_logins
from gatepost.config.check_notices import check_notices
from gatepost.config.check_outbound_tls import check_dns_monitor, check_outbound_tls
from gatepost.config.check_relays import check_relays
from gatepost.config.check_reports import check_reports
from gatepost.config.check_return_paths import check_return_paths
from gatepost.config.check_tls import check_tls
from gatepost.config.check_values import check_values
from gatepost.config.check_ways_out import check_ways_out
from gatepost.config.credentials import Credentials, resolved
from gatepost.config.errors import Complaint, ConfigurationError, ConfigurationErrors, closest, dotted, quoted
from gatepost.config.files import open_to_others
from gatepost.config.overlay import laid_over
from gatepost.config.schema import Table, frozen
from gatepost.config.settings import Settings
from gatepost.config.shape import Path, complaints_of, without
from gatepost.config.toml_lines import DEPTH_LIMIT, KeyPath, lines_of
from gatepost.config.toml_mistakes import remedy

SIZE_LIMIT_BYTES: Final = 4 << 20
REVISION_LENGTH: Final = 12
_PLACE: Final = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")

AgentSettings = Mapping[str, type[Table]]
NO_CREDENTIALS: Final = Credentials()
FindingNames = frozenset[str] | Callable[[str], frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One configuration, checked: what the gateway runs with until the next reload."""

    settings: Settings
    agents: Mapping[str, Table]
    """The settings of every known agent by its name, defaults included."""
    revision: str
    """12 hex digits of the text's SHA-256: recorded with every mail."""
    path: str
    text: str = field(repr=False)
    """The file as it was read."""
    warnings: tuple[ConfigurationError, ...] = ()
    """What is probably not meant, but no reason to refuse."""


def load(
    path: str,
    *,
    agent_settings: AgentSettings | Callable[[str], AgentSettings],
    finding_names: FindingNames | None = None,
    built_in_agents: frozenset[str] = frozenset(),
    credentials: Credentials = NO_CREDENTIALS,
) -> Configuration:
    """Read and check a file.

    agent_settings: agent name -> its table; or what makes that of policy.agents-directory
                    ("" when not set), and may raise ValueError about what it finds there.
    finding_names:  what policy.points may name, made in the same way; None: not checked.
    built_in_agents: names of Gatepost's own agents, which are never switched off for faults.
    credentials:    where settings such as key-file = "credential:NAME" find their files.

    Raises ConfigurationErrors with every mistake, never anything else.
    """
    return load_text(
        _read(path),
        file=path,
        agent_settings=agent_settings,
        finding_names=finding_names,
        built_in_agents=built_in_agents,
        credentials=credentials,
    )


def load_text(
    text: str,
    *,
    file: str,
    agent_settings: AgentSettings | Callable[[str], AgentSettings],
    finding_names: FindingNames | None = None,
    built_in_agents: frozenset[str] = frozenset(),
    credentials: Credentials = NO_CREDENTIALS,
    above: Mapping[str, Any] = MappingProxyType({}),
) -> Configuration:
    """As load(), of a text; `file` is for the messages. above: tables that are laid over those of the text."""
    data, complaints = resolved(laid_over(toml_of(text, file), above), credentials)
    lines = _lines(text)
    folder = _agents_directory(data)
    tables = _agent_tables(folder, agent_settings, complaints)
    settings, shape = _settings(data)
    agents, agent_shape = _agents(data, tables)
    complaints += shape + agent_shape
    if settings is not None:
        broken = {complaint.at[:-1] for complaint in shape}
        names = _finding_names(folder, finding_names)
        found = (
            *_checks(settings),
            *_names(settings, tables, agents, names),
            *_never_off(settings, tables, built_in_agents),
            *_connectors(settings, agents),
        )
        complaints += [c for c in found if not any(c.at[: len(at)] == at for at in broken)]
    errors = [_error(c, file, lines) for c in complaints if not c.is_warning]
    if errors or settings is None:
        raise ConfigurationErrors(errors)
    warnings = sorted((_error(c, file, lines) for c in complaints), key=lambda w: (w.line, w.key))
    return Configuration(
        settings=settings,
        agents=MappingProxyType(agents),
        revision=revision_of(text),
        path=file,
        text=text,
        warnings=tuple(warnings),
    )


def read_again(
    text: str,
    *,
    file: str,
    agent_settings: AgentSettings | Callable[[str], AgentSettings],
    credentials: Credentials = NO_CREDENTIALS,
) -> Configuration:
    """A text that was checked when a gateway took it: what it says, whatever became of the files it names.

    Raises ConfigurationErrors when its shape is not ours.
    """
    data, complaints = resolved(toml_of(text, file), credentials)
    tables = _agent_tables(_agents_directory(data), agent_settings, complaints)
    settings, shape = _settings(data)
    if settings is None:
        raise ConfigurationErrors([_error(c, file, {}) for c in shape])
    return Configuration(
        settings=settings,
        agents=MappingProxyType(_agents(data, tables)[0]),
        revision=revision_of(text),
        path=file,
        text=text,
    )


def revision_of(text: str) -> str:
    """What names a configuration in logs and records."""
    return sha256(text.encode()).hexdigest()[:REVISION_LENGTH]


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(SIZE_LIMIT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _whole_file(path, f"cannot be read: {reason}") from None
    if len(data) > SIZE_LIMIT_BYTES:
        raise _whole_file(path, f"is larger than {SIZE_LIMIT_BYTES >> 20} MiB")
    if problem := open_to_others(path):
        raise _whole_file(path, problem)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _whole_file(path, "is not UTF-8 text", line) from None


def _whole_file(path: str, message: str, line: int = 0) -> ConfigurationErrors:
    return ConfigurationErrors([ConfigurationError(file=path, line=line, key="", message=message)])


def toml_of(text: str, file: str) -> dict[str, Any]:
    """What tomllib makes of a text. Raises ConfigurationErrors with the line."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _PLACE.search(str(error))
        line = int(match[1]) if match and match[1] else text.count("\n") + 1
        message = quoted(_PLACE.sub("", str(error)).strip()).strip('"')
        hint = quoted(remedy(text, line, message))[1:-1]
        raise _whole_file(file, f"not TOML: {message}" + (f": {hint}" if hint else ""), line) from None
    except RecursionError:
        raise _whole_file(file, "not TOML: nested too deeply") from None
    except ValueError as error:  # numbers of thousands of digits, dates that cannot be
        raise _whole_file(file, f"not TOML: {_one_line(error)}") from None
    if _is_too_deep(data):
        raise _whole_file(file, "is nested too deeply")
    return data


def _is_too_deep(data: dict[str, Any]) -> bool:
    """Looked at level by level: dotted names make depths that recursion would not survive."""
    level: list[Any] = [data]
    for _ in range(DEPTH_LIMIT):
        level = [item for value in level for item in _items(value) if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _lines(text: str) -> Mapping[KeyPath, int]:
    try:
        return lines_of(text)
    except RecursionError:
        return {}


def _settings(data: dict[str, Any]) -> tuple[Settings | None, list[Complaint]]:
    """The settings, and what is wrong with their shape.

    With mistakes, the settings are those of the file without them, so that the checks
    that follow may find the other mistakes in the same go; None when that is not possible.
    """
    try:
        return Settings.model_validate(frozen(data)), []
    except ValidationError as error:
        complaints = complaints_of(error, data, Settings)
    try:
        return Settings.model_validate(frozen(without(data, complaints))), complaints
    except ValidationError:
        return None, complaints


def _agents_directory(data: dict[str, Any]) -> str:
    """Where agents of third parties are; "" when it is not set, or not safe to run code from (T03)."""
    policy = data.get("policy")
    folder = policy.get("agents-directory", "") if isinstance(policy, dict) else ""
    if not isinstance(folder, str) or not os.path.isdir(folder) or open_to_others(folder):
        return ""
    return folder


def _agent_tables(
    folder: str,
    agent_settings: AgentSettings | Callable[[str], AgentSettings],
    complaints: list[Complaint],
) -> AgentSettings:
    if not callable(agent_settings):
        return agent_settings
    try:
        return agent_settings(folder)
    except ValueError as error:
        complaints.append(Complaint(at=("policy", "agents-directory"), message=_one_line(error)))
        return agent_settings("")


def _finding_names(folder: str, names: FindingNames | None) -> frozenset[str] | None:
    if not callable(names):
        return names
    try:
        return names(folder)
    except ValueError:  # said by _agent_tables
        return None


def _agents(data: dict[str, Any], tables: AgentSettings) -> tuple[dict[str, Table], list[Complaint]]:
    """Each known agent's table, typed; complaints about tables and unknown agents."""
    given = data.get("agents")
    given = given if isinstance(given, dict) else {}
    agents: dict[str, Table] = {}
    complaints = [_unknown_agent(("agents", n), n, tables) for n in given if n not in tables]
    for name, table in tables.items():
        try:
            typed = agents[name] = table.model_validate(frozen(given.get(name, {})))
            if isinstance(typed, AgentTable):
                complaints += [
                    Complaint(at=("agents", name, key), message=why, is_warning=True)
                    for key, why in typed.dangers()
                ]
        except ValidationError as error:
            complaints += complaints_of(error, data, table, below=("agents", name))
    return agents, complaints


def _checks(settings: Settings) -> Iterator[Complaint]:
    yield from check_values(settings)
    yield from check_notices(settings)
    yield from check_delivery(settings)
    yield from check_directories(settings)
    yield from check_dkim(settings)
    yield from check_outbound_tls(settings)
    yield from check_dns_monitor(settings)
    yield from check_dmarc_reports(settings)
    yield from check_reports(settings)
    yield from check_doors(settings)
    yield from check_relays(settings)
    yield from check_limits(settings)
    yield from check_guards(settings)
    yield from check_lists(settings)
    yield from check_logins(settings)
    yield from check_return_paths(settings)
    yield from check_integrated(settings)
    yield from check_tls(settings)
    yield from check_ways_out(settings)


def _names(
    settings: Settings,
    tables: AgentSettings,
    agents: Mapping[str, Table],
    finding_names: frozenset[str] | None,
) -> Iterator[Complaint]:
    """Names of agents and findings in [policy] and in what the allow list spares."""
    for number, name in enumerate(settings.policy.disabled):
        if name not in tables:
            yield _unknown_agent(("policy", "disabled", number), name, tables)
    for number, name in enumerate(getattr(agents.get("ip-lists"), "allow_skips", ())):
        if name != "exchange" and name not in tables:
            yield _unknown_agent(("agents", "ip-lists", "allow-skips", number), name, tables)
    for name in settings.policy.points if finding_names is not None else ():
        if name not in (finding_names or ()):
            yield Complaint(
                at=("policy", "points", name),
                message="no agent has a finding of this name",
                accepted=tuple(sorted(finding_names or ())),
                did_you_mean=closest(name, finding_names or ()),
            )


def _never_off(settings: Settings, tables: AgentSettings, built_in: frozenset[str]) -> Iterator[Complaint]:
    """Agents in policy.faults.meanwhile-of that are none, or that faults never switch off."""
    for name in settings.policy.faults.meanwhile_of:
        at = ("policy", "faults", "meanwhile-of", name)
        if name not in tables:
            yield _unknown_agent(at, name, tables)
        elif name in built_in:
            yield Complaint(
                at=at,
                message=f"{name} is an agent of Gatepost's own, which faults never switch off: leave it out",
                accepted=tuple(sorted(tables.keys() - built_in)),
            )


def _connectors(settings: Settings, agents: Mapping[str, Table]) -> Iterator[Complaint]:
    """Receive connectors that agents are told to be asked on."""
    doors = settings.receive_connectors
    for agent, table in agents.items():
        for number, name in enumerate(table.connectors if isinstance(table, AgentTable) else ()):
            if name not in doors:
                yield Complaint(
                    at=("agents", agent, "connectors", number),
                    message=f"there is no receive connector {quoted(name)}",
                    accepted=tuple(doors),
                    did_you_mean=closest(name, doors),
                )


def _one_line(error: ValueError) -> str:
    return quoted(str(error)).strip('"')


def _unknown_agent(at: Path, name: str, tables: AgentSettings) -> Complaint:
    return Complaint(
        at=at,
        message=f"there is no agent {quoted(name)}",
        accepted=tuple(sorted(tables)),
        did_you_mean=closest(name, tables),
    )


def _error(complaint: Complaint, file: str, lines: Mapping[KeyPath, int]) -> ConfigurationError:
    return ConfigurationError(
        file=file,
        line=_line_of(complaint.at, lines),
        key=dotted(complaint.at),
        message=complaint.message,
        accepted=complaint.accepted,
        did_you_mean=complaint.did_you_mean,
    )


def _line_of(path: Path, lines: Mapping[KeyPath, int]) -> int:
    """Where the setting stands, or the table it is missing in; 0 when neither is in the file."""
    for length in range(len(path), 0, -1):
        if line := lines.get(path[:length]):
            return line
    return 0
