"""The world's side of a connection: lines in, bytes out."""

from __future__ import annotations

import asyncio

from gatepost.model.fault import WorldFault
from sim.network import Transport
from sim.tls import SimTls


class Stream(asyncio.Protocol):
    """What a client or a next hop of the world talks through. Ends and resets read as nothing more."""

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.heard = bytearray()
        self.at_end = False
        self.tls: SimTls | None = None
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the transport."""
        assert isinstance(transport, Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        if self.tls is not None:
            try:
                data, answer = self.tls.receive(data)
            except WorldFault as fault:
                self._tls_failed(fault)
                return
            self._send(answer)
            self.at_end = self.at_end or self.tls.peer_closed
        self.heard += data
        self._wake()

    def eof_received(self) -> bool:
        """Called by the transport."""
        self.at_end = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self.at_end = True
        self._wake()

    def pause_writing(self) -> None:
        """Called by the transport; what is written waits there."""

    def resume_writing(self) -> None:
        """Called by the transport."""

    def write(self, data: bytes) -> None:
        """Send."""
        self._send(self.sealed(data))

    def sealed(self, data: bytes) -> bytes:
        """As it goes over the wire."""
        return self.tls.send(data) if self.tls is not None and self.tls.established else data

    def _send(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """Goodbye."""
        if self.transport is not None:
            if self.tls is not None:
                self._send(self.tls.close())
            self.transport.close()

    @property
    def is_encrypted(self) -> bool:
        """Nobody who only listens learns what is said."""
        return self.tls is not None and self.tls.established

    async def start_tls(self, tls: SimTls, *, timeout_s: float = 300.0) -> bool:
        """Shake hands now; False when it came to nothing."""
        self.tls = tls
        early = bytes(self.heard)
        self.heard.clear()
        self._send(tls.start())
        if early:
            self.data_received(early)
        while not tls.established:
            if self.at_end or not await self._more(timeout_s):
                return False
        return True

    def _tls_failed(self, fault: WorldFault) -> None:
        alert = fault.facts.get("alert")
        self._send(alert if isinstance(alert, bytes) else b"")
        self.at_end = True
        if self.transport is not None:
            self.transport.close()
        self._wake()

    def abort(self) -> None:
        """The line is cut."""
        if self.transport is not None:
            self.transport.abort()

    @property
    def local_port(self) -> int:
        """Ours."""
        assert self.transport is not None
        return int(self.transport.get_extra_info("sockname")[1])

    async def until(self, mark: bytes, *, timeout_s: float = 700.0) -> bytes:
        """Everything up to the mark; b"" when the connection ends or is silent for too long before."""
        while mark not in self.heard:
            if self.at_end or not await self._more(timeout_s):
                return b""
        end = self.heard.index(mark) + len(mark)
        found = bytes(self.heard[:end])
        del self.heard[:end]
        return found

    async def line(self, *, timeout_s: float = 700.0) -> bytes:
        """One line with its CR LF; b"" at the end."""
        return await self.until(b"\r\n", timeout_s=timeout_s)

    async def exactly(self, size: int, *, timeout_s: float = 700.0) -> bytes:
        """So many bytes; b"" when the connection ends before."""
        while len(self.heard) < size:
            if self.at_end or not await self._more(timeout_s):
                return b""
        found = bytes(self.heard[:size])
        del self.heard[:size]
        return found

    async def reply(self) -> tuple[int, str]:
        """One reply: its code, and the text of its last line; (0, "") at the end."""
        while line := await self.line():
            if line[3:4] != b"-":
                return (int(line[:3]) if line[:3].isdigit() else 0), line[4:-2].decode("latin-1")
        return 0, ""

    async def _more(self, timeout_s: float) -> bool:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._waiter
        except TimeoutError:
            return False
        finally:
            self._waiter = None
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
