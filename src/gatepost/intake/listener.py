"""The doors of one worker: accepts connections on the supervisor's sockets, counts them, lets them finish."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network
from typing import Final, cast

from gatepost.config.networks import is_internal_ip
from gatepost.intake.connection import Connection
from gatepost.intake.conversation import Conversation, Counter
from gatepost.intake.door import Door, choose_door
from gatepost.intake.proxied import Entrance, Introduction, Where
from gatepost.model.ip_ranges import plain_ip
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.policy.runner import PolicyRunner
from gatepost.ports.log import Counters, Log
from gatepost.ports.world import Clock, Randomness
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.records.wire_log import Transcript, endpoint

BACKLOG: Final = 2048
IPV6_SOURCE_BITS: Final = 64
"""One source of IPv6 connections is a /64: a client owns all of it (threats G15)."""

_TOO_MANY: Final = Reply(
    421,
    "4.3.2",
    "The maximum number of concurrent connections has been reached, closing transmission channel",
)
_NOT_SERVED: Final = Reply(554, "5.7.1", "No service for you here")
_NOT_BELIEVED: Final = Reply(421, "4.3.5", "No service for this address by way of a proxy")
INTRODUCTIONS_LIMIT: Final = 1000
"""Connections of proxies whose header has not come yet, in one worker: each lasts for proxy-timeout at most."""


class _Turned(asyncio.Protocol):
    """A connection that is told why it is not served, and closed."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        transport.write(self._reply.encode())
        transport.close()


class Listener:
    """All listening sockets of a worker.

    doors: by local address as the socket names it, every door that shares it.
    """

    def __init__(
        self,
        doors: Mapping[socket.socket, Sequence[Door]],
        runner: PolicyRunner,
        desk: Counter,
        *,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._doors = doors
        self._runner = runner
        self._desk = desk
        self._clock = clock
        self._randomness = randomness
        self.counters: Counters = desk.counters
        self.log: Log = desk.log
        self._servers: list[asyncio.Server] = []
        self._empty: asyncio.Future[None] | None = None
        self._sessions: dict[Connection, tuple[str, str]] = {}
        self._introductions: set[Introduction] = set()
        self._by_door: Tally[str] = Tally()
        self._by_source: Tally[tuple[str, str]] = Tally()

    async def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        for listening, doors in self._doors.items():
            server = await loop.create_server(
                partial(_Arriving, self, Entrance.of(doors)), sock=listening, backlog=BACKLOG
            )
            self._servers.append(server)

    async def stop(self, timeout_s: float) -> None:
        """Accept no more; let sessions finish what they are in, then close them."""
        for server in self._servers:
            server.close()
        for introduction in list(self._introductions):
            introduction.abort()
        for connection in list(self._sessions):
            connection.stop()
        if self._sessions:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=timeout_s)
        for connection in list(self._sessions):
            connection.abort()

    def gone(self, connection: Connection) -> None:
        """A session is over."""
        door, source = self._sessions.pop(connection, ("", ""))
        if door:
            self._by_door[door] -= 1
            self._by_source[door, source] -= 1
            if self._by_source[door, source] <= 0:
                del self._by_source[door, source]
            self.counters.set("sessions", self._by_door[door], connector=door)
        if not self._sessions and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    @property
    def session_count(self) -> int:
        """Sessions that are open now."""
        return len(self._sessions)

    def arrived(self, entrance: Entrance, peer: Where, local: Where) -> asyncio.Protocol:
        """A protocol for one new connection: of a client, or of a proxy that first says for whom it stands."""
        if entrance.behind_proxies:
            proxy_ip = plain_ip(peer[0])
            if doors := entrance.doors_behind(proxy_ip):
                return self._introduction(doors, peer, local, proxy_ip)
        return self.welcome(entrance.doors, peer, local)

    def _introduction(
        self, doors: Sequence[Door], peer: Where, local: Where, proxy_ip: str
    ) -> asyncio.Protocol:
        if len(self._introductions) >= INTRODUCTIONS_LIMIT:
            self.not_introduced(proxy_ip, f"{INTRODUCTIONS_LIMIT} connections wait for their PROXY headers")
            return _Turned(_TOO_MANY)
        introduction = Introduction(self, doors, peer, local, proxy_ip=proxy_ip)
        self._introductions.add(introduction)
        return introduction

    def introduced(self, introduction: Introduction) -> None:
        """A proxy has said for whom it stands, or has gone."""
        self._introductions.discard(introduction)

    def not_introduced(self, proxy_ip: str, reason: str) -> None:
        """A connection of a proxy that came to nothing because of its header."""
        self.counters.add("connections_refused", connector="", limit="proxy-header")
        self.log.write(
            "warning", "connection-refused", client_ip=proxy_ip, limit="proxy-header", reason=reason
        )

    def welcome(
        self, doors: Sequence[Door], peer: Where, local: Where, *, proxy_ip: str = ""
    ) -> asyncio.Protocol:
        """A protocol for one new client, or the one that turns it away. proxy_ip: who told its address."""
        client_ip = plain_ip(peer[0])
        door = choose_door(doors, client_ip)
        if door is None:
            self.counters.add("connections_refused", connector="", limit="remote-ranges")
            self.log.write("info", "connection-refused", client_ip=client_ip, limit="remote-ranges")
            return _Turned(_NOT_SERVED)
        if proxy_ip and not door.settings.internal_clients_by_proxy and is_internal_ip(client_ip):
            self.counters.add("connections_refused", connector=door.name, limit="internal-clients-by-proxy")
            self.log.write(
                "warning",
                "connection-refused",
                client_ip=client_ip,
                proxy_ip=proxy_ip,
                connector=door.name,
                limit="internal-clients-by-proxy",
            )
            return _Turned(_NOT_BELIEVED)
        source = _source_of(client_ip)
        if refused := self._over_limit(door, source):
            self.counters.add("connections_refused", connector=door.name, limit=refused)
            self.log.write(
                "warning",
                "connection-refused",
                client_ip=client_ip,
                connector=door.name,
                limit=refused,
                value=getattr(door.settings.limits, refused.replace("-", "_")),
            )
            return _Turned(_TOO_MANY)
        connection = self._connection(door, (client_ip, peer[1]), local, proxy_ip)
        self._sessions[connection] = (door.name, source)
        self._by_door[door.name] += 1
        self._by_source[door.name, source] += 1
        self.counters.add("connections", connector=door.name)
        self.counters.set("sessions", self._by_door[door.name], connector=door.name)
        return connection

    def _over_limit(self, door: Door, source: str) -> str:
        limits = door.settings.limits
        if self._by_door[door.name] >= limits.connections:
            return "connections"
        if self._by_source[door.name, source] >= limits.connections_per_source:
            return "connections-per-source"
        return ""

    def _connection(self, door: Door, client: Where, local: Where, proxy_ip: str) -> Connection:
        session = Session(
            session_id=self._randomness.token_hex(8),
            connector=door.name,
            client_ip=client[0],
            client_port=client[1],
            local_ip=plain_ip(local[0]),
            local_port=local[1],
            proxy_ip=proxy_ip,
            started_at=self._clock.now(),
        )
        conversation = Conversation(door, session, self._runner.hearing(door.name), self._desk)
        implicit = door.settings.tls == "implicit"
        engine = ServerEngine(conversation.offer, door.engine_limits)
        conversation.announce = engine.ehlo_reply
        pump = door.tls.pump() if implicit and door.tls is not None else None
        transcript = self._transcript(door, session)
        return Connection(self, conversation, door.settings.limits, engine, pump=pump, transcript=transcript)

    def _transcript(self, door: Door, session: Session) -> Transcript | None:
        sink = self._desk.protocol_log
        if sink is None or not door.settings.protocol_log:
            return None
        return Transcript(
            sink=sink,
            now=self._clock.now,
            connector=door.name,
            session_id=session.session_id,
            local=endpoint(session.local_ip, session.local_port),
            remote=endpoint(session.client_ip, session.client_port),
        )


class _Arriving(asyncio.Protocol):
    """Learns who connected, then hands the transport to the protocol that serves it."""

    __slots__ = ("_entrance", "_listener")

    def __init__(self, listener: Listener, entrance: Entrance) -> None:
        self._listener = listener
        self._entrance = entrance

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if not peer or not local:
            transport.abort()  # it was gone before we looked
            return
        protocol = self._listener.arrived(self._entrance, (peer[0], peer[1]), (local[0], local[1]))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


@lru_cache(maxsize=4096)
def _source_of(client_ip: str) -> str:
    parsed = ip_address(client_ip)
    if parsed.version == 4:
        return client_ip
    return str(ip_network((client_ip, IPV6_SOURCE_BITS), strict=False))
