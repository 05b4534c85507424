"""The doors of one worker: accepts connections on the supervisor's sockets, lets them in, lets them finish."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, cast

from gatepost.config.limit_settings import Intake
from gatepost.config.networks import is_internal_ip
from gatepost.intake.admission import TOO_MANY, Admission
from gatepost.intake.connection import Connection
from gatepost.intake.conversation import Conversation
from gatepost.intake.counter import Counter
from gatepost.intake.door import Door, choose_door
from gatepost.intake.pressure import Level
from gatepost.intake.proxied import Entrance, Introduction, Where
from gatepost.model.connector_state import ConnectorState
from gatepost.model.ip_ranges import plain_ip
from gatepost.model.origin import Origin, origin_of
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.policy.runner import PolicyRunner
from gatepost.ports.log import Counters, Log
from gatepost.ports.neighbours import Neighbours
from gatepost.ports.world import Clock, Randomness
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.records.wire_log import Transcript, endpoint

BACKLOG: Final = 2048

_NOT_ACTIVE: Final = Reply(421, "4.3.2", "Service not active, try again later")
_PRESSED: Final = Reply(421, "4.3.2", "Insufficient system resources, closing transmission channel")
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
        intake: Intake | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        """intake: limits of all doors together; None: the defaults. neighbours: None: there is no other worker."""
        self._doors = doors
        self._runner = runner
        self._desk = desk
        self._clock = clock
        self._randomness = randomness
        self.counters: Counters = desk.counters
        self.log: Log = desk.log
        self._servers: list[asyncio.Server] = []
        self._empty: asyncio.Future[None] | None = None
        self.is_over = False
        """Nobody is served who comes now; the loop may still bring what the kernel had accepted before."""
        self._sessions: dict[Connection, tuple[Door, Origin]] = {}
        self._introductions: set[Introduction] = set()
        self._intake = intake or Intake()
        self._admission = Admission(self._intake, monotonic=clock.monotonic, neighbours=neighbours)
        self._awaited: list[tuple[set[Connection], asyncio.Future[None]]] = []
        self._held: dict[str, ConnectorState] = {}
        """Doors that an administrator does not let run, by name; they keep their state over a reload."""
        self._in_force = self._fitted()
        self._entrances = {listening: Entrance.of(behind) for listening, behind in doors.items()}

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
        self.is_over = True
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

    def change(
        self,
        doors: Mapping[socket.socket, Sequence[Door]],
        runner: PolicyRunner,
        desk: Counter,
        intake: Intake,
    ) -> frozenset[Connection]:
        """New connections meet these doors on the same sockets; those that are open, returned, go on as they began."""
        self._doors, self._runner, self._desk, self._intake = doors, runner, desk, intake
        self.log = desk.log
        self._admission.use(intake)
        self._in_force = self._fitted()
        self._entrances = {listening: Entrance.of(behind) for listening, behind in doors.items()}
        self._held = {name: state for name, state in self._held.items() if name in self._in_force}
        for door in self._in_force.values():
            self._weigh_load(door)
        return frozenset(self._sessions)

    def _fitted(self) -> dict[str, Door]:
        """Every door by name, told how many sessions all of them together may have."""
        doors = {door.name: door for behind in self._doors.values() for door in behind}
        for door in doors.values():
            door.fit(self._intake.connections)
        return doors

    async def over(self, connections: frozenset[Connection]) -> None:
        """Wait until all of these have ended."""
        left = set(connections) & self._sessions.keys()
        if left:
            ended = asyncio.get_running_loop().create_future()
            self._awaited.append((left, ended))
            await ended

    def hold(self, name: str, state: ConnectorState, *, timeout_s: float) -> bool:
        """Let a door run, pause, drain or stop; False when there is none. timeout_s: what stopping leaves sessions."""
        if name not in self._in_force:
            return False
        if state is ConnectorState.RUNNING:
            self._held.pop(name, None)
            return True
        self._held[name] = state
        if state is ConnectorState.PAUSED:
            return True
        through = [c for c, (door, _) in self._sessions.items() if door.name == name]
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
        running, sessions = ConnectorState.RUNNING, self._admission.sessions
        return [
            (name, self._held.get(name, running), sessions(door)) for name, door in self._in_force.items()
        ]

    def gone(self, connection: Connection) -> None:
        """A session is over."""
        counted = self._sessions.pop(connection, None)
        if counted is not None:
            door, origin = counted
            self._admission.gone(door, origin)
            self._weigh_load(self._in_force.get(door.name, door))
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

    @property
    def stressed(self) -> tuple[str, ...]:
        """Connectors whose stress profile is in force."""
        return tuple(name for name, door in self._in_force.items() if door.is_stressed)

    def arrived(self, listening: socket.socket, peer: Where, local: Where) -> asyncio.Protocol:
        """A protocol for one new connection: of a client, or of a proxy that first says for whom it stands."""
        entrance = self._entrances[listening]
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
            return _Turned(TOO_MANY)
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
        if self._held and door.name in self._held:
            self.counters.add("connections_refused", connector=door.name, limit="not-running")
            return _Turned(_NOT_ACTIVE)
        origin, spared = origin_of(client_ip), door.grant(client_ip).spared
        rated = not spared and door.rates(client_ip)
        hit = self._admission.refusal(door, origin, spared=spared, rated=rated)
        if hit is None and self._desk.pressure.level is Level.HIGH:
            hit = self._desk.pressure.hit(_PRESSED)
        if hit is not None:
            self._desk.limit_log.connection_refused(hit, connector=door.name, client_ip=client_ip)
            return _Turned(hit.reply)
        connection = self._connection(door, (client_ip, peer[1]), local, proxy_ip)
        if rated:
            connection.count_for(self._admission.minute_of(origin, door))
        self._sessions[connection] = (door, origin)
        self._admission.came(door, origin)
        self.counters.add("connections", connector=door.name)
        self._weigh_load(door)
        return connection

    def _weigh_load(self, door: Door) -> None:
        """A session came or went: the stress profile begins or ends, for sessions under way, too."""
        sessions = self._admission.sessions(door)
        self.counters.set("sessions", sessions, connector=door.name)
        if not door.weigh_load(sessions):
            return
        stress = door.settings.limits.stress
        self.counters.set("stress", float(door.is_stressed), connector=door.name)
        self.log.write(
            "warning" if door.is_stressed else "info",
            "stress-began" if door.is_stressed else "stress-ended",
            connector=door.name,
            sessions=sessions,
            limit="stress.from-share" if door.is_stressed else "stress.until-share",
            value=stress.from_share if door.is_stressed else stress.until_share,
            actual=round(sessions * 100 / door.capacity, 1),
        )
        for connection, (its_door, _) in list(self._sessions.items()):
            if its_door.name == door.name:
                connection.use_limits(door.limits)

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
        return Connection(self, conversation, engine, pump=pump, transcript=transcript)

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
        if self._listener.is_over:
            transport.abort()
            return
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if not peer or not local:
            transport.abort()  # it was gone before we looked
            return
        protocol = self._listener.arrived(self._listening, (peer[0], peer[1]), (local[0], local[1]))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
