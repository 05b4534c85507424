"""The doors of one worker: accepts connections on the supervisor's sockets, counts them, lets them finish."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network
from typing import Final, cast

from gatepost.intake.connection import Connection
from gatepost.intake.conversation import Conversation, Counter
from gatepost.intake.door import Door, choose_door
from gatepost.model.connector_state import ConnectorState
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
_NOT_ACTIVE: Final = Reply(421, "4.3.2", "Service not active, try again later")
_NOT_SERVED: Final = Reply(554, "5.7.1", "No service for you here")


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
        self._by_door: Tally[str] = Tally()
        self._by_source: Tally[tuple[str, str]] = Tally()
        self._awaited: list[tuple[set[Connection], asyncio.Future[None]]] = []
        self._held: dict[str, ConnectorState] = {}
        """Doors that an administrator does not let run, by name; they keep their state over a reload."""

    async def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        for listening in self._doors:
            server = await loop.create_server(
                partial(_Arriving, self, listening), sock=listening, backlog=BACKLOG
            )
            self._servers.append(server)

    async def stop(self, timeout_s: float) -> None:
        """Accept no more; let sessions finish what they are in, then close them."""
        for server in self._servers:
            server.close()
        for connection in list(self._sessions):
            connection.stop()
        if self._sessions:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=timeout_s)
        for connection in list(self._sessions):
            connection.abort()

    def change(
        self, doors: Mapping[socket.socket, Sequence[Door]], runner: PolicyRunner, desk: Counter
    ) -> frozenset[Connection]:
        """New connections meet these doors on the same sockets; those that are open, returned, go on as they began."""
        self._doors, self._runner, self._desk = doors, runner, desk
        names = {door.name for behind in doors.values() for door in behind}
        self._held = {name: state for name, state in self._held.items() if name in names}
        return frozenset(self._sessions)

    async def over(self, connections: frozenset[Connection]) -> None:
        """Wait until all of these have ended."""
        left = set(connections) & self._sessions.keys()
        if left:
            ended = asyncio.get_running_loop().create_future()
            self._awaited.append((left, ended))
            await ended

    def hold(self, name: str, state: ConnectorState, *, timeout_s: float) -> bool:
        """Let a door run, pause, drain or stop; False when there is none. timeout_s: what stopping leaves sessions."""
        if not any(door.name == name for doors in self._doors.values() for door in doors):
            return False
        if state is ConnectorState.RUNNING:
            self._held.pop(name, None)
            return True
        self._held[name] = state
        if state is ConnectorState.PAUSED:
            return True
        through = [c for c, (door, _) in self._sessions.items() if door == name]
        for connection in through:
            connection.stop()
        if state is ConnectorState.STOPPED:
            asyncio.get_running_loop().call_later(timeout_s, self._close, name, through)
        return True

    def _close(self, name: str, connections: Sequence[Connection]) -> None:
        """What a stopped door still has; unless it runs again by now."""
        for connection in connections if self._held.get(name) is ConnectorState.STOPPED else ():
            if connection in self._sessions:
                connection.abort()

    def status(self) -> list[tuple[str, ConnectorState, int]]:
        """Name, state and open sessions of every door."""
        names = dict.fromkeys(door.name for doors in self._doors.values() for door in doors)
        return [(n, self._held.get(n, ConnectorState.RUNNING), self._by_door[n]) for n in names]

    def gone(self, connection: Connection) -> None:
        """A session is over."""
        door, source = self._sessions.pop(connection, ("", ""))
        if door:
            self._by_door[door] -= 1
            self._by_source[door, source] -= 1
            if self._by_source[door, source] <= 0:
                del self._by_source[door, source]
            self.counters.set("sessions", self._by_door[door], connector=door)
        if self._awaited:
            self._tell_over(connection)
        if not self._sessions and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _tell_over(self, connection: Connection) -> None:
        for left, ended in self._awaited:
            left.discard(connection)
            if not left and not ended.done():
                ended.set_result(None)
        self._awaited = [(left, ended) for left, ended in self._awaited if left]

    @property
    def session_count(self) -> int:
        """Sessions that are open now."""
        return len(self._sessions)

    def welcome(
        self, listening: socket.socket, peer: tuple[str, int], local: tuple[str, int]
    ) -> asyncio.Protocol:
        """A protocol for one new connection, or the one that turns it away."""
        client_ip = plain_ip(peer[0])
        door = choose_door(self._doors[listening], client_ip)
        if door is None:
            self.counters.add("connections_refused", connector="", limit="remote-ranges")
            self.log.write("info", "connection-refused", client_ip=client_ip, limit="remote-ranges")
            return _Turned(_NOT_SERVED)
        if self._held and door.name in self._held:
            self.counters.add("connections_refused", connector=door.name, limit="not-running")
            return _Turned(_NOT_ACTIVE)
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
        connection = self._connection(door, client_ip, peer[1], local)
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

    def _connection(self, door: Door, client_ip: str, client_port: int, local: tuple[str, int]) -> Connection:
        session = Session(
            session_id=self._randomness.token_hex(8),
            connector=door.name,
            client_ip=client_ip,
            client_port=client_port,
            local_ip=plain_ip(local[0]),
            local_port=local[1],
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

    __slots__ = ("_listener", "_listening")

    def __init__(self, listener: Listener, listening: socket.socket) -> None:
        self._listener = listener
        self._listening = listening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if not peer or not local:
            transport.abort()  # it was gone before we looked
            return
        protocol = self._listener.welcome(self._listening, (peer[0], peer[1]), (local[0], local[1]))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


@lru_cache(maxsize=4096)
def _source_of(client_ip: str) -> str:
    parsed = ip_address(client_ip)
    if parsed.version == 4:
        return client_ip
    return str(ip_network((client_ip, IPV6_SOURCE_BITS), strict=False))
