"""The words between the command line and the supervisor: what is about the whole gateway, as msgpack."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from gatepost.config.errors import ConfigurationErrors
from gatepost.control.commands import Command, Refused, Text, decoded
from gatepost.model.connector_state import ConnectorState

ConnectorVerb = Literal["pause", "resume", "drain", "stop", "start"]

STATE_AFTER: Final[Mapping[ConnectorVerb, ConnectorState]] = MappingProxyType(
    {
        "pause": ConnectorState.PAUSED,
        "resume": ConnectorState.RUNNING,
        "drain": ConnectorState.DRAINING,
        "stop": ConnectorState.STOPPED,
        "start": ConnectorState.RUNNING,
    }
)


class Reload(Command, frozen=True, tag="reload"):
    """Read the configuration again, and have every worker go on with it when it is right."""


class HoldConnector(Command, frozen=True, tag="hold-connector"):
    """Pause, resume, drain, stop or start a receive connector in every worker."""

    name: Text
    verb: ConnectorVerb


class AskWorkers(Command, frozen=True, tag="workers"):
    """Which workers there should be, how they are, and what became of the last reload."""


class AskConfiguration(Command, frozen=True, tag="configuration"):
    """Which file the gateway was started with, and what it goes on with."""


AnyGatewayCommand = Reload | HoldConnector | AskWorkers | AskConfiguration


class Restarted(Struct, frozen=True, array_like=True):
    """A worker that could not go on with a new configuration and was ended gracefully, and why."""

    worker: int
    reason: str


class Reloaded(Struct, frozen=True, tag="reloaded"):
    """The configuration is in force. workers: those that went on with it, keeping their sessions."""

    revision: str
    workers: tuple[int, ...] = ()
    restarted: tuple[Restarted, ...] = ()
    warnings: tuple[str, ...] = ()


class Mistake(Struct, frozen=True):
    """One mistake of the file. said: the whole sentence, with file and line."""

    line: int
    key: str
    said: str


class Mistakes(Struct, frozen=True, tag="mistakes"):
    """The file is wrong; nothing was changed."""

    mistakes: tuple[Mistake, ...]


class Held(Struct, frozen=True, tag="held"):
    """The connector's state in every worker from now on."""

    state: ConnectorState


class Life(Struct, frozen=True, array_like=True):
    """One worker as the supervisor sees it. ready: it serves; deaths: quick ones in a row."""

    worker: int
    ready: bool
    deaths: int = 0


class RefusedReload(Struct, frozen=True, array_like=True):
    """The last reload was refused, and the older configuration goes on. at: seconds since the epoch."""

    at: float
    reason: str


class Workers(Struct, frozen=True, tag="workers"):
    """All that there should be. refused: None when the last reload was not."""

    lives: tuple[Life, ...]
    refused: RefusedReload | None = None
    ended: dict[str, int] = {}
    """How often a process of each name ended without having been told to."""
    down: dict[str, int] = {}
    """Processes besides the workers that are not there, and how often in a row they died at their start."""


class InForce(Struct, frozen=True, tag="in-force"):
    """The file, by its absolute path, and the text of it that is in force, whatever it says now."""

    path: str
    text: str


AnyGatewayReply = Reloaded | Mistakes | Held | Workers | InForce | Refused

_encoder: Final = msgspec.msgpack.Encoder()
_commands: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(AnyGatewayCommand)
_replies: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(AnyGatewayReply)


def encode(message: AnyGatewayCommand | AnyGatewayReply) -> bytes:
    """For the wire."""
    return _encoder.encode(message)


def decode_command(data: bytes) -> AnyGatewayCommand:
    """Raises ValueError for anything that is not a command to the gateway."""
    return decoded(_commands, data)  # type: ignore[no-any-return]


def decode_reply(data: bytes) -> AnyGatewayReply:
    """Raises ValueError for anything that is not an answer of the gateway."""
    return decoded(_replies, data)  # type: ignore[no-any-return]


def mistakes_of(errors: ConfigurationErrors) -> Mistakes:
    """For the caller."""
    return Mistakes(mistakes=tuple(Mistake(line=e.line, key=e.key, said=str(e)) for e in errors.errors))
