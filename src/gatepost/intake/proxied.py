"""Connections of named proxies: nothing is said to them until their header tells who the client is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from gatepost.intake.connection import Connection
from gatepost.intake.door import Door
from gatepost.protocol.proxy import ProxyHeader, read_proxy_header

Where = tuple[str, int]
"""An address and a port, as the socket or the header names it."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """One listening socket: every door that shares it, worked out once."""

    doors: tuple[Door, ...]
    behind_proxies: tuple[Door, ...] = ()
    """Those that have proxies; () on most: then nobody's address is looked up."""

    @classmethod
    def of(cls, doors: Sequence[Door]) -> Entrance:
        """The doors in their order."""
        return cls(tuple(doors), tuple(door for door in doors if door.proxies is not None))

    def doors_behind(self, peer_ip: str) -> tuple[Door, ...]:
        """The doors that know the peer as a proxy; only they may believe what it says."""
        return tuple(d for d in self.behind_proxies if d.proxies is not None and peer_ip in d.proxies)


class Vestibule(Protocol):
    """What an introduction needs of the listener."""

    def welcome(
        self, doors: Sequence[Door], peer: Where, local: Where, *, proxy_ip: str = ""
    ) -> asyncio.Protocol:
        """A protocol for the client, or the one that turns it away."""

    def not_introduced(self, proxy_ip: str, reason: str) -> None:
        """A proxy's connection was closed because of its header."""

    def introduced(self, introduction: Introduction) -> None:
        """The introduction is over, whatever its outcome."""


class Introduction(asyncio.Protocol):
    """One connection of a proxy, up to the end of its header. A broken header is closed without a word."""

    __slots__ = ("_data", "_doors", "_house", "_local", "_peer", "_proxy_ip", "_timer", "_transport")

    def __init__(
        self, house: Vestibule, doors: Sequence[Door], peer: Where, local: Where, *, proxy_ip: str
    ) -> None:
        """doors: those that know the proxy. peer, local: as the socket names them."""
        self._house = house
        self._doors = doors
        self._peer = peer
        self._local = local
        self._proxy_ip = proxy_ip
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The clock runs: a proxy sends its header at once (threats Q02)."""
        self._transport = cast(asyncio.Transport, transport)
        patience_s = min(door.settings.proxy_timeout_s for door in self._doors)
        self._timer = asyncio.get_running_loop().call_later(patience_s, self._too_late, patience_s)

    def data_received(self, data: bytes) -> None:
        """A piece of the header, or all of it with what the client said behind it."""
        if self._transport is None:
            return
        self._data += data
        try:
            header = read_proxy_header(self._data)
        except ValueError as error:
            self._close(f"bad PROXY header: {error}")
            return
        if header is not None:
            self._hand_over(self._transport, header)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """A proxy that looks whether we are alive connects and goes: that is nothing to tell."""
        self._over()

    def abort(self) -> None:
        """We stop."""
        if self._transport is not None:
            self._transport.abort()

    def _hand_over(self, transport: asyncio.Transport, header: ProxyHeader) -> None:
        rest = self._data[header.size_bytes :]
        self._over()
        if header.client is None or header.server is None:
            served = self._house.welcome(self._doors, self._peer, self._local)
        else:
            client, server = header.client, header.server
            served = self._house.welcome(
                self._doors, (client.ip, client.port), (server.ip, server.port), proxy_ip=self._proxy_ip
            )
        transport.set_protocol(served)
        if isinstance(served, Connection):
            served.begin(transport, rest)
        else:
            served.connection_made(transport)

    def _too_late(self, patience_s: float) -> None:
        self._close(f"no PROXY header within {patience_s:g} s")

    def _close(self, reason: str) -> None:
        transport = self._transport
        self._over()
        self._house.not_introduced(self._proxy_ip, reason)
        if transport is not None:
            transport.abort()  # whoever is there is not to be told what stands here

    def _over(self) -> None:
        self._transport = None
        self._data = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._house.introduced(self)
