"""Tries agents and facts of third parties before a gateway goes on with them: they are made, and not asked."""

from __future__ import annotations

from typing import Any, Final

from gatepost.config.errors import ConfigurationError, ConfigurationErrors
from gatepost.config.load import Configuration
from gatepost.config.toml_lines import lines_of
from gatepost.model.fault import WorldFault
from gatepost.policy.third_party import find_third_party
from gatepost.routing.accepted import accepted_domains

_WHERE: Final = ("policy", "agents-directory")


class _Nobody:
    """In place of a port: everything is there, and whatever is asked is not known."""

    def __getattr__(self, name: str) -> Any:
        async def asked(*_: Any, **__: Any) -> Any:
            raise WorldFault(f"{name}: nobody is asked while agents are tried")

        return asked


class _NoLog:
    """Nothing is logged by a trial."""

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """As ports.log.Log."""

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """As ports.log.Counters."""

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """As ports.log.Counters."""


def tried(configuration: Configuration) -> Configuration:
    """The same. Raises ConfigurationErrors when a worker could not make an agent, or not tell it what it needs."""
    try:
        _make_all(configuration)
    # An edge: somebody else's code is run, and a worker that met the same would not live.
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        line = lines_of(configuration.text).get(_WHERE, 0)
        message = f"agents of your own cannot be used: {' '.join(reason.split())[:500]}"
        raise ConfigurationErrors(
            [ConfigurationError(file=configuration.path, line=line, key=".".join(_WHERE), message=message)]
        ) from error
    return configuration


def _make_all(configuration: Configuration) -> None:
    settings = configuration.settings
    third_party = find_third_party(settings.policy.agents_directory)
    if not third_party.agents and not third_party.gatherers:
        return
    from gatepost.policy import assembly  # most command lines need none of it

    nobody: Any = _Nobody()
    assembly.build(
        settings,
        configuration.agents,
        accepted=accepted_domains(settings),
        resolver=nobody,
        directory=nobody,
        lookup=nobody,
        log=_NoLog(),
        counters=_NoLog(),
        revision=configuration.revision,
        third_party=third_party,
    )
