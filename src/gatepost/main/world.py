"""The outside world of one worker, as one value: what its parts take from the machine, or from a simulation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gatepost.adapters.certificate_watch import WatchedTls
from gatepost.adapters.control_socket import ControlServer
from gatepost.adapters.counters import MemoryCounters, Sample
from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.maildir import LocalMaildirs
from gatepost.adapters.resources import SystemResources
from gatepost.adapters.tls import client_pump
from gatepost.adapters.world import SystemClock, SystemRandomness
from gatepost.config.dns_settings import Dns
from gatepost.config.settings import Settings
from gatepost.main.dns_check import Servers
from gatepost.main.places import control_socket, store_directory, workers_of
from gatepost.main.scanning import scanner_of
from gatepost.main.server_tls import server_tls
from gatepost.ports.log import Counters, Log
from gatepost.ports.maildir import Maildirs
from gatepost.ports.resolver import Resolver
from gatepost.ports.resources import Resources
from gatepost.ports.scanning import Scanner
from gatepost.ports.tls import TlsServer
from gatepost.ports.wire import Dialer
from gatepost.ports.world import Clock, Randomness


class NameServers(Resolver, Servers, Protocol):
    """The DNS as a worker asks it, under one [dns] of the file."""

    def samples(self) -> Iterator[Sample]:
        """Counters of its own."""

    def close(self) -> None:
        """Nobody asks any more."""


class KeptCounters(Counters, Protocol):
    """Counters that can be read."""

    def samples(self) -> Iterator[Sample]:
        """Name, labels and value of everything counted so far."""


class DoorTls(TlsServer, WatchedTls, Protocol):
    """The TLS of one receive connector."""


class ControlDoor(Protocol):
    """Where the command line asks the worker."""

    async def start(self) -> None:
        """Listen. Raises OSError."""

    async def stop(self) -> None:
        """Let the answers that are under way go out."""


def system_control(
    settings: Settings, number: int, answer: Callable[[bytes], Awaitable[bytes]]
) -> ControlDoor:
    """On the worker's Unix socket."""
    return ControlServer(str(control_socket(settings, number)), answer)


def system_resources(settings: Settings, number: int) -> Resources:
    """Of the machine, and of the file system of the worker's store."""
    return SystemResources(store_directory(settings, number), workers=workers_of(settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The machine, unless something else is given.

    Store, log, shared state and listening sockets are in `Lasting` beside it: they are open before anything is joined.
    """

    clock: Clock = field(default_factory=SystemClock)
    randomness: Randomness = field(default_factory=SystemRandomness)
    counters: KeptCounters = field(default_factory=MemoryCounters)
    dialer: Dialer = field(default_factory=lambda: LoopDialer(client_pump))
    """Opens every connection of ours: to next hops, to web servers, to mail servers that know recipients."""
    maildirs: Maildirs = field(default_factory=LocalMaildirs)
    resolver: Callable[[Dns, Log], NameServers] = DnsResolver
    door_tls: Callable[[Settings, float], Mapping[str, DoorTls]] = server_tls
    """By connector; now: seconds since the epoch. Raises WorldFault."""
    resources: Callable[[Settings, int], Resources] = system_resources
    """For the settings and the worker's number."""
    scanner: Callable[[Settings], Scanner | None] = scanner_of
    """Asks third parties' agents elsewhere; None: they are asked in the worker."""
    control: Callable[[Settings, int, Callable[[bytes], Awaitable[bytes]]], ControlDoor] = system_control
