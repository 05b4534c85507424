"""A network in memory: bytes take time, come in pieces of any size, and connections break as real ones do.

The gateway's own code runs above it: listener, connection and dialer see asyncio transports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from sim.loop import Process, SimLoop, current_process

HIGH_BYTES: Final = 64 * 1024
RECEIVE_BYTES: Final = 32 * 1024
"""What the kernel of the other side takes while nobody reads."""
BACKLOG: Final = 200

Place = tuple[str, int]


class SimSocket:
    """A listening socket. It belongs to the supervisor, so it outlives a worker: who connects meanwhile waits."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.factory: Callable[[], asyncio.BaseProtocol] | None = None
        self.context: Context | None = None
        self.owner: Process | None = None
        self.waiting: list[Transport] = []


class SimServer:
    """What create_server returns."""

    def __init__(self, sock: SimSocket) -> None:
        self._sock, self._owner = sock, sock.owner

    def close(self) -> None:
        """Accept no more; the socket stays."""
        if self._sock.owner is self._owner:
            self._sock.factory = None


class Transport(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, network: Network, local: Place, remote: Place) -> None:
        super().__init__()
        self._network = network
        self._loop = network.loop
        self._addresses = {"sockname": local, "peername": remote}
        self._context = copy_context()
        self.owner = current_process()
        self.opened_at = self._loop.time()
        self.peer: Transport = self
        self.protocol: Any = None
        self.out = bytearray()
        self.sent = self.delivered = 0
        """Octets that were written here, and that the other side's protocol was given."""
        self.gone = False
        self._closing = self._eof = self._eof_sent = self._carrying = False
        self._reading = True
        self._high = HIGH_BYTES
        self._write_paused = False

    # -- asyncio.Transport ----------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """sockname and peername."""
        return self._addresses.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """As asyncio."""
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """As asyncio."""
        return self.protocol  # type: ignore[no-any-return]

    def is_closing(self) -> bool:
        """As asyncio."""
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio."""
        self._high = HIGH_BYTES if high is None else high

    def get_write_buffer_size(self) -> int:
        """As asyncio."""
        return len(self.out)

    def pause_reading(self) -> None:
        """As asyncio."""
        self._reading = False

    def resume_reading(self) -> None:
        """As asyncio."""
        self._reading = True
        self.peer.carry_on()

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """As asyncio."""
        if self.gone or self._closing or self._eof or not data:
            return
        self.out += data
        self.sent += len(data)
        self.carry_on()
        if len(self.out) > self._high and not self._write_paused:
            self._write_paused = True
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        """As asyncio."""
        self._eof = True
        self.carry_on()

    def can_write_eof(self) -> bool:
        """As asyncio."""
        return True

    def close(self) -> None:
        """What was written still goes out."""
        if self._closing or self.gone:
            return
        self._closing = self._eof = True
        self._reading = False
        if not self.out:
            self._loop.call_soon(self._lost, None)
        self.carry_on()

    def abort(self) -> None:
        """At once; the other side sees a reset."""
        if self.gone:
            return
        self._closing = True
        self.out.clear()
        self._loop.call_soon(self._lost, None)
        self._network.later(self.peer.reset)

    @property
    def is_served(self) -> bool:
        """Its process is alive; the world's always is."""
        return self.owner is None or self.owner.is_alive

    # -- the wire -------------------------------------------------------------------------------

    def carry_on(self) -> None:
        """Something may be under way: look after a moment."""
        if not self._carrying and (self.out or (self._eof and not self._eof_sent)):
            self._carrying = True
            self._network.later(self._carry)

    def break_off(self, survives: int) -> None:
        """The process of this end has died: so many of its bytes had reached the kernel."""
        self.gone = self._closing = self._eof = True
        del self.out[survives:]
        self.carry_on()

    def reset(self) -> None:
        """The other side is gone and heard something."""
        if not self.gone:
            self._closing = True
            self.out.clear()
            self._lost(ConnectionResetError(104, "Connection reset by peer"))

    def _carry(self) -> None:
        self._carrying = False
        peer = self.peer
        if self.out:
            if peer.gone:
                self.out.clear()
                self.reset()
                return
            if not peer._reading and not peer._closing:
                return  # carry_on comes with resume_reading
            piece = bytes(self.out[: self._network.piece(len(self.out))])
            del self.out[: len(piece)]
            if not peer._closing:
                self._network.carried(self, piece)
                self.delivered += len(piece) if peer.is_served else 0
                peer._run(peer.protocol.data_received, piece)
            self._written()
        elif self._eof and not self._eof_sent:
            if not peer._reading and not peer._closing and not peer.gone:
                return
            self._eof_sent = True
            peer._hear_eof()
        self.carry_on()

    def _written(self) -> None:
        if self.gone:
            return
        if self._write_paused and len(self.out) <= self._high // 4:
            self._write_paused = False
            self._run(self.protocol.resume_writing)
        if self._closing and not self.out:
            self._lost(None)

    def _hear_eof(self) -> None:
        if self.gone or self._closing:
            return
        if not self._run(self.protocol.eof_received):
            self._run(self.close)

    def _lost(self, error: Exception | None) -> None:
        if self.gone:
            return
        self.gone = True
        self._network.transports.discard(self)
        if self.protocol is not None:
            self._run(self.protocol.connection_lost, error)

    def _run(self, told: Callable[..., Any], *args: Any) -> Any:
        """Tell the protocol, in its own process; nothing when that is dead."""
        if not self.is_served:
            return True
        return self._context.copy().run(told, *args)


class Ordered(dict[Transport, None]):
    """A set that keeps its order, so that a run does not depend on addresses of objects."""

    def add(self, one: Transport) -> None:
        self[one] = None

    def discard(self, one: Transport) -> None:
        self.pop(one, None)


@dataclass
class Network:
    """Every connection of the world. chance: delays and sizes of pieces."""

    loop: SimLoop
    chance: Random
    told: Callable[[str], None]
    sockets: dict[Place, list[SimSocket]] = field(default_factory=dict)
    """For each worker one: the kernel chooses, whether anybody accepts there or not."""
    hosts: dict[Place, Callable[[Transport], None]] = field(default_factory=dict)
    """Next hops: what takes a connection; may raise ConnectionRefusedError."""
    silent: set[Place] = field(default_factory=set)
    """Places that answer nothing at all."""
    transports: Ordered = field(default_factory=Ordered)
    _ports: int = 40_000

    def __post_init__(self) -> None:
        self.loop.network = self

    def later(self, callback: Callable[[], None]) -> None:
        """What happens on the wire happens outside of every process."""
        delay_s = self.chance.uniform(0.0002, 0.02)
        self.loop.call_later(delay_s, callback, context=WORLD)

    def piece(self, available: int) -> int:
        """How much comes at once: usually all, sometimes a few bytes."""
        if self.chance.random() < 0.85:
            return min(available, 16384)
        return self.chance.randint(1, min(available, 400))

    def carried(self, sender: Transport, piece: bytes) -> None:
        """For the journal: direction, size and first bytes."""
        local, remote = sender.get_extra_info("sockname"), sender.get_extra_info("peername")
        self.told(f"{local[0]}:{local[1]}>{remote[0]}:{remote[1]} {len(piece)} {piece[:60]!r}")

    def bind(self, place: Place, copies: int) -> list[SimSocket]:
        """The gateway's door: as many sockets as it has workers. Who waited at one that is no more hears a reset."""
        socks = self.sockets.setdefault(place, [])
        for gone in socks[copies:]:
            for transport in gone.waiting:
                transport.abort()
        del socks[copies:]
        socks += [SimSocket(place) for _ in range(copies - len(socks))]
        return socks

    def serve(self, factory: Callable[[], asyncio.BaseProtocol], sock: SimSocket) -> SimServer:
        """Called by create_server, in the process that serves."""
        sock.factory, sock.owner, sock.context = factory, current_process(), copy_context()
        waiting, sock.waiting = sock.waiting, []
        for transport in waiting:
            self._accept(sock, transport)
        return SimServer(sock)

    async def connect(
        self, factory: Callable[[], Any], address: str, port: int, *, source: str = ""
    ) -> tuple[Transport, Any]:
        """Called by create_connection. Raises OSError."""
        place = (address, port)
        await asyncio.sleep(self.chance.uniform(0.0005, 0.03))
        if place in self.silent:
            await self.loop.create_future()
        sock, host = self._one_of(self.sockets.get(place, [])), self.hosts.get(place)
        if (sock is None and host is None) or (sock is not None and len(sock.waiting) >= BACKLOG):
            raise ConnectionRefusedError(111, "Connection refused")
        self._ports += 1
        local = (source or "192.0.2.25", self._ports)
        near = Transport(self, local, place)
        protocol = factory()
        near.protocol = protocol
        if host is not None:
            far = WORLD.copy().run(Transport, self, place, local)
            _join(near, far)
            WORLD.copy().run(host, far)
        elif sock is not None:
            far = Transport(self, place, local)
            _join(near, far)
            if sock.factory is None or sock.owner is None or not sock.owner.is_alive:
                sock.waiting.append(far)
                far.pause_reading()
            else:
                self._accept(sock, far)
        self.transports.add(near)
        self.transports.add(far)
        protocol.connection_made(near)
        return near, protocol

    def _one_of(self, socks: list[SimSocket]) -> SimSocket | None:
        if len(socks) > 1:
            return self.chance.choice(socks)
        return socks[0] if socks else None

    def held_to(self, place: Place) -> int:
        """How many connections to a place are open on the side of a live process."""
        return sum(
            1
            for t in self.transports
            if t.get_extra_info("peername") == place and not t.is_closing() and t.is_served
        )

    def kill(self, process: Process) -> None:
        """Its connections end: a part of what it had written is on the wire, the rest is lost."""
        for transport in list(self.transports):
            if transport.owner is process:
                transport.break_off(self.chance.choice((0, self.chance.randint(0, len(transport.out)))))
                self.transports.discard(transport)

    def _accept(self, sock: SimSocket, transport: Transport) -> None:
        transport.owner = sock.owner
        assert sock.context is not None
        transport._context = sock.context
        transport.resume_reading()
        if transport.gone:
            return

        def arrive() -> None:
            assert sock.factory is not None
            protocol = sock.factory()
            transport.protocol = protocol
            protocol.connection_made(transport)

        sock.context.copy().run(arrive)


def _join(near: Transport, far: Transport) -> None:
    near.peer, far.peer = far, near


WORLD: Final = Context()
