"""The doors of one worker: accepts connections on the supervisor's sockets, lets them in, lets them finish."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, cast

from gatepost.config.limit_settings import Intake
from gatepost.intake.admission import Admission
from gatepost.intake.connection import Connection
from gatepost.intake.conversation import Conversation, Counter
from gatepost.intake.door import Door, choose_door
from gatepost.intake.origin import Origin, origin_of
from gatepost.intake.pressure import Level
from gatepost.model.ip_ranges import plain_ip
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.policy.runner import PolicyRunner
from gatepost.ports.log import Counters, Log
from gatepost.ports.world import Clock, Randomness
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.records.wire_log import Transcript, endpoint

BACKLOG: Final = 2048

_PRESSED: Final = Reply(421, "4.3.2", "Insufficient system resources, closing transmission channel")
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
        intake: Intake | None = None,
    ) -> None:
        """intake: limits of all doors together; None: the defaults."""
        self._doors = doors
        self._runner = runner
        self._desk = desk
        self._clock = clock
        self._randomness = randomness
        self.counters: Counters = desk.counters
        self.log: Log = desk.log
        self._servers: list[asyncio.Server] = []
        self._empty: asyncio.Future[None] | None = None
        self._sessions: dict[Connection, tuple[Door, Origin]] = {}
        intake = intake or Intake()
        self._admission = Admission(intake, monotonic=clock.monotonic)
        for door in (door for served in doors.values() for door in served):
            door.fit(intake.connections)

    async def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        for listening, doors in self._doors.items():
            server = await loop.create_server(
                partial(_Arriving, self, doors), sock=listening, backlog=BACKLOG
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

    def gone(self, connection: Connection) -> None:
        """A session is over."""
        counted = self._sessions.pop(connection, None)
        if counted is not None:
            self._admission.gone(*counted)
            self._weigh_load(counted[0])
        if not self._sessions and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    @property
    def session_count(self) -> int:
        """Sessions that are open now."""
        return len(self._sessions)

    @property
    def stressed(self) -> tuple[str, ...]:
        """Connectors whose stress profile is in force."""
        doors = {door.name: door for doors in self._doors.values() for door in doors}
        return tuple(name for name, door in doors.items() if door.is_stressed)

    def welcome(
        self, doors: Sequence[Door], peer: tuple[str, int], local: tuple[str, int]
    ) -> asyncio.Protocol:
        """A protocol for one new connection, or the one that turns it away."""
        client_ip = plain_ip(peer[0])
        door = choose_door(doors, client_ip)
        if door is None:
            self.counters.add("connections_refused", connector="", limit="remote-ranges")
            self.log.write("info", "connection-refused", client_ip=client_ip, limit="remote-ranges")
            return _Turned(_NOT_SERVED)
        origin, spared = origin_of(client_ip), door.grant(client_ip).spared
        hit = self._admission.refusal(door, origin, spared=spared)
        if hit is None and self._desk.pressure.level is Level.HIGH:
            hit = self._desk.pressure.hit(_PRESSED)
        if hit is not None:
            self._desk.limit_log.connection_refused(hit, connector=door.name, client_ip=client_ip)
            return _Turned(hit.reply)
        connection = self._connection(door, client_ip, peer[1], local)
        if not spared:
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
            if its_door is door:
                connection.use_limits(door.limits)

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

    __slots__ = ("_doors", "_listener")

    def __init__(self, listener: Listener, doors: Sequence[Door]) -> None:
        self._listener = listener
        self._doors = doors

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if not peer or not local:
            transport.abort()  # it was gone before we looked
            return
        protocol = self._listener.welcome(self._doors, (peer[0], peer[1]), (local[0], local[1]))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
