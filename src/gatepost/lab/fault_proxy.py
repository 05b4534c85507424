"""The lab's bad wire: a TCP proxy that cuts, resets, falls silent or drips after so many octets."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

_CHUNK_BYTES: Final = 65536
_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: close sends RST."""


class Manner(Enum):
    """What happens when the octets are used up."""

    CLOSE = "close"
    RESET = "reset"
    SILENCE = "silence"
    """Both connections stay open, and nothing passes any more, in either direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """How one connection goes wrong; without limits it does not.

    up_bytes:   octets of the client that still pass.  down_bytes: of the server.
    drip_s:     pause after each octet, in both directions.
    """

    up_bytes: int | None = None
    down_bytes: int | None = None
    manner: Manner = Manner.CLOSE
    drip_s: float = 0.0


class FaultProxy:
    """Listens on one loopback port and passes everything to another. `harm` counts for connections made later."""

    def __init__(self, port: int, harm: Harm | None = None) -> None:
        """port: of the server behind, on loopback."""
        self._behind = port
        self.harm = harm or Harm()
        self.port = 0
        self.connections = 0
        self.passed_up_bytes = 0
        """Octets of clients that have passed, over all connections."""
        self.passed_down_bytes = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; `port` says where."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.close()
            return
        harm = self.harm
        pipes = (
            asyncio.ensure_future(self._pass(reader, behind_writer, harm.up_bytes, harm.drip_s, up=True)),
            asyncio.ensure_future(self._pass(behind_reader, writer, harm.down_bytes, harm.drip_s, up=False)),
        )
        try:
            done, _ = await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            is_cut = any(pipe.result() for pipe in done)
            if is_cut and harm.manner is Manner.SILENCE:
                for pipe in pipes:
                    pipe.cancel()
                await asyncio.Event().wait()
            _close(writer, reset=is_cut and harm.manner is Manner.RESET)
            _close(behind_writer, reset=is_cut and harm.manner is Manner.RESET)
        except asyncio.CancelledError:
            _close(writer, reset=True)  # `stop` ends us; asyncio.streams would log it as an error
            _close(behind_writer, reset=True)
        finally:
            for pipe in pipes:
                pipe.cancel()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limit_bytes: int | None,
        drip_s: float,
        *,
        up: bool,
    ) -> bool:
        """True when the octets are used up, False when a side has closed."""
        left = limit_bytes
        try:
            while left is None or left > 0:
                size = 1 if drip_s else _CHUNK_BYTES
                data = await reader.read(size if left is None else min(size, left))
                if not data:
                    return False
                writer.write(data)
                await writer.drain()
                self._count(len(data), up=up)
                if left is not None:
                    left -= len(data)
                if drip_s:
                    await asyncio.sleep(drip_s)
        except OSError:
            return False
        return True

    def _count(self, octets: int, *, up: bool) -> None:
        if up:
            self.passed_up_bytes += octets
        else:
            self.passed_down_bytes += octets


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        sock = writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        writer.transport.abort()
    else:
        writer.close()
