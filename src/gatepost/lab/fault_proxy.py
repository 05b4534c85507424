"""The lab's fault proxy: passes a TCP connection on, and spoils it at a chosen octet, in a chosen direction."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Final

GARBAGE: Final = b"\x00\xff\x1b[2J no reply of any protocol\r\n"
_PIECE_BYTES: Final = 16 * 1024
_RESET_ON_CLOSE: Final = struct.pack(
    "ii", 1, 0
)  # SO_LINGER, no time: what is not sent is thrown away, RST goes out


class Direction(Enum):
    """Where octets go."""

    TO_SERVER = "to-server"
    TO_CLIENT = "to-client"


class End(Enum):
    """What happens at the cut."""

    CLOSE = "close"
    """Both sides see the end of the connection."""
    HALF_CLOSE = "half-close"
    """The receiver sees the end of the stream and may still talk; its words still pass."""
    RESET = "reset"
    """Both sides see a reset (RST)."""
    BLACKHOLE = "blackhole"
    """Nothing passes any more, and nobody is told."""
    GARBAGE = "garbage"
    """The receiver gets other octets instead, and then nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with one direction; by default nothing.

    delay_s:   each piece waits that long before it passes.
    piece_bytes, every_s: octets pass in pieces of at most that many, that far apart: a slow writer, and towards the
                          sender a slow reader. every_s of 0: as fast as they come.
    cut_at:    so many octets pass, then `then` happens; None: never. 0 is before the first.
    garbage:   what comes instead with End.GARBAGE.
    """

    delay_s: float = 0.0
    piece_bytes: int = _PIECE_BYTES
    every_s: float = 0.0
    cut_at: int | None = None
    then: End = End.CLOSE
    garbage: bytes = GARBAGE

    def __post_init__(self) -> None:
        if self.delay_s < 0 or self.every_s < 0 or self.piece_bytes < 1 or (self.cut_at or 0) < 0:
            raise ValueError("a fault has no negative times and octets, and pieces are not empty")


NO_FAULTS: Final = Faults()
Watch = Callable[[int, Direction, bytes], None]
"""(number of the connection, direction, octets that pass now; b"" at the cut)"""


class FaultProxy:
    """Listens, and opens one connection to `to` for each it gets. The faults may be changed while it runs:
    they are those of the connections that begin afterwards.
    """

    def __init__(
        self,
        to: tuple[str, int],
        *,
        to_server: Faults = NO_FAULTS,
        to_client: Faults = NO_FAULTS,
        watch: Watch | None = None,
    ) -> None:
        self.to = to
        self.to_server = to_server
        self.to_client = to_client
        self.watch = watch
        self.port = 0
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._numbers = count(1)
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `port` says where. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=_PIECE_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def heal(self) -> None:
        """Connections that begin from now on have no faults."""
        self.to_server = self.to_client = NO_FAULTS

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server, to_client = self.to_server, self.to_client
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.to, limit=_PIECE_BYTES)
        except OSError:
            _reset(writer)
            return
        relay = _Relay(next(self._numbers), (writer, server_writer), self.watch)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(relay.carry(_Way(Direction.TO_SERVER, reader, server_writer, to_server)))
                both.create_task(relay.carry(_Way(Direction.TO_CLIENT, server_reader, writer, to_client)))
        except* _Over:
            pass
        finally:
            await relay.close()


class _Over(Exception):
    """The connection has come to its end, in whatever way it should."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction of one connection."""

    direction: Direction
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    faults: Faults


class _Relay:
    """One connection: both sides, and what passes between them."""

    def __init__(
        self, number: int, sides: tuple[asyncio.StreamWriter, asyncio.StreamWriter], watch: Watch | None
    ) -> None:
        self._number = number
        self._sides = sides
        self._watch = watch
        for side in sides:
            side.transport.set_write_buffer_limits(high=0)  # so that a drain means: it is on its way

    async def carry(self, way: _Way) -> None:
        """One direction, until its end. Raises _Over when the whole connection ends with it."""
        faults = way.faults
        left = faults.cut_at
        try:
            while left is None or left > 0:
                wanted = faults.piece_bytes if left is None else min(faults.piece_bytes, left)
                piece = await way.reader.read(wanted)
                if not piece:
                    way.writer.write_eof()
                    return
                await asyncio.sleep(faults.delay_s + faults.every_s)
                await self._pass(way, piece)
                left = None if left is None else left - len(piece)
            self._tell(way.direction, b"")
            await self._end(way)
        except (ConnectionError, OSError) as error:
            self.reset()
            raise _Over from error

    async def _pass(self, way: _Way, piece: bytes) -> None:
        self._tell(way.direction, piece)
        way.writer.write(piece)
        await way.writer.drain()

    async def _end(self, way: _Way) -> None:
        match way.faults.then:
            case End.CLOSE:
                raise _Over
            case End.RESET:
                self.reset()
                raise _Over
            case End.HALF_CLOSE:
                way.writer.write_eof()
            case End.GARBAGE:
                await self._pass(way, way.faults.garbage)
            case End.BLACKHOLE:
                pass
        while await way.reader.read(_PIECE_BYTES):  # thrown away, until the sender gives up
            pass

    def _tell(self, direction: Direction, octets: bytes) -> None:
        if self._watch is not None:
            self._watch(self._number, direction, octets)

    def reset(self) -> None:
        """RST to both."""
        for side in self._sides:
            _reset(side)

    async def close(self) -> None:
        """What is still open; whoever does not read what was sent is not waited for."""
        for side in self._sides:
            if side.transport.get_write_buffer_size():
                side.transport.abort()
            side.close()
        for side in self._sides:
            with contextlib.suppress(OSError):
                await side.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    wire = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
