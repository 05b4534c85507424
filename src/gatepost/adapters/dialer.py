"""Connections to next hops on the event loop, with TLS pumped through our own buffers."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final, Protocol, cast

from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkTls
from gatepost.model.session import TlsInfo
from gatepost.ports.tls import TlsPump

_READ_HIGH_BYTES: Final = 64 * 1024
_DRAINED_BELOW_BYTES: Final = 64 * 1024
CLOSE_LIMIT_S: Final = 5.0


class ClientPumps(Protocol):
    """Makes the TLS of one connection: adapters.tls.client_pump."""

    def __call__(self, server_name: str, link: LinkTls) -> TlsPump:
        """server_name: of the next hop. link: what it has to prove. Raises WorldFault."""


class DialedWire(asyncio.Protocol):
    """One connection. Keeps the promise of ports.wire.OutgoingWire.

    One timer serves all waits: it looks at the current deadline when it fires, so that a
    read costs no timer of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pumps: ClientPumps) -> None:
        self._loop = loop
        self._pumps = pumps
        self._transport: asyncio.Transport | None = None
        self._pump: TlsPump | None = None
        self.received = bytearray()
        self._at_end = False
        self.is_gone = False
        """The socket is closed and forgotten."""
        self._fault: WorldFault | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # -- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_DRAINED_BELOW_BYTES)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._pump is not None:
            try:
                data, answer = self._pump.receive(data)
            except WorldFault as fault:
                self._fail(fault)
                return
            if answer and self._transport is not None:
                self._transport.write(answer)
            self._at_end = self._at_end or self._pump.peer_closed
        self.received += data
        if len(self.received) > _READ_HIGH_BYTES and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Called by the loop."""
        self._at_end = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._at_end = True
        self.is_gone = True
        if exc is not None and self._fault is None:
            self._fault = WorldFault(f"connection lost: {_words(exc)}")
        self._cancel_timer()
        self._wake()

    def pause_writing(self) -> None:
        """Called by the loop."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Called by the loop."""
        self._writing_paused = False
        self._wake()

    # -- ports.wire.OutgoingWire ----------------------------------------------------------------

    async def read(self, *, timeout_s: float) -> bytes:
        """The next bytes; b"" at the end. Raises WorldFault."""
        while not self.received:
            if self._fault is not None:
                raise self._fault
            if self._at_end:
                return b""
            await self._wait(timeout_s, "no answer")
        data = bytes(self.received)
        self.received.clear()
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        """Send; buffered. Raises WorldFault when TLS broke."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data if self._pump is None else self._pump.send(data))

    async def drain(self, *, timeout_s: float) -> None:
        """Wait until the peer took enough. Raises WorldFault."""
        while self._writing_paused:
            if self._fault is not None or self._at_end:
                raise self._fault or WorldFault("connection lost while sending")
            await self._wait(timeout_s, "the next hop takes nothing")

    async def start_tls(self, server_name: str, *, link: LinkTls, timeout_s: float) -> TlsInfo:
        """Handshake now. Raises WorldFault, also for bytes that came before it (D04)."""
        if self.received:
            raise WorldFault("the next hop sent something between its answer to STARTTLS and the handshake")
        self._pump = self._pumps(server_name, link)
        if self._transport is not None:
            self._transport.write(self._pump.start())
        deadline = self._loop.time() + timeout_s
        while not self._pump.established:
            if self._fault is not None or self._at_end:
                raise self._fault or WorldFault("connection lost in the TLS handshake")
            await self._wait(max(0.0, deadline - self._loop.time()), "no end of the TLS handshake")
        return self._pump.info

    def close(self) -> None:
        """Close at once; what was written before still goes out, for 5 seconds at most."""
        self._cancel_timer()
        if self._transport is not None:
            if self._pump is not None and self._fault is None and not self._transport.is_closing():
                self._transport.write(self._pump.close())
            self._transport.close()
            if self._transport.get_write_buffer_size():
                # A peer that takes nothing must not keep the socket and what waits for it.
                self._loop.call_later(CLOSE_LIMIT_S, self._transport.abort)
        self._at_end = True

    @property
    def peer_ip(self) -> str:
        """The address we are connected to; "" for a Unix socket."""
        return self._address("peername")

    @property
    def local_ip(self) -> str:
        """Our address on this connection; "" for a Unix socket."""
        return self._address("sockname")

    # -- within -----------------------------------------------------------------------------------

    def _address(self, kind: str) -> str:
        address = self._transport.get_extra_info(kind) if self._transport is not None else None
        return str(address[0]) if isinstance(address, tuple) and address else ""

    def _fail(self, fault: WorldFault) -> None:
        self._fault = fault
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    async def _wait(self, timeout_s: float, what: str) -> None:
        self._deadline = self._loop.time() + timeout_s
        if self._timer is None or self._timer.when() > self._deadline:
            self._cancel_timer()
            self._timer = self._loop.call_at(self._deadline, self._time_passed)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except TimeoutError as error:
            raise WorldFault(f"{what} within {timeout_s:.0f} s") from error
        finally:
            self._waiter = None

    def _time_passed(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        # The loop may fire up to its clock's resolution early.
        if self._loop.time() + 0.001 >= self._deadline:
            self._waiter.set_exception(TimeoutError())
        else:
            self._timer = self._loop.call_at(self._deadline, self._time_passed)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class LoopDialer:
    """Keeps the promise of ports.wire.Dialer on the running event loop."""

    def __init__(self, pumps: ClientPumps) -> None:
        self._pumps = pumps

    async def connect(self, address: str, port: int, *, source_address: str, timeout_s: float) -> DialedWire:
        """Connect to one IP address, with Nagle's delay off, or to a Unix socket. Raises WorldFault."""
        loop = asyncio.get_running_loop()
        made: Callable[[], DialedWire] = lambda: DialedWire(loop, self._pumps)  # noqa: E731  # typed for create_connection
        local = (source_address, 0) if source_address else None
        there = address if address.startswith("/") else f"{address} port {port}"
        try:
            async with asyncio.timeout(timeout_s):
                if address.startswith("/"):
                    return (await loop.create_unix_connection(made, address))[1]
                transport, wire = await loop.create_connection(made, address, port, local_addr=local)
        except TimeoutError as error:
            raise WorldFault(f"no connection to {there} within {timeout_s:.0f} s") from error
        except OSError as error:
            if source_address and error.errno == errno.EADDRNOTAVAIL:
                raise WorldFault(
                    f"no connection to {there} from {source_address}: it is not an address of this machine, "
                    "or has no free port",
                    no_source=True,
                ) from error
            raise WorldFault(f"no connection to {there}: {_words(error)}") from error
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return wire


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
