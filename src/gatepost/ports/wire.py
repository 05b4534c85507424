"""How bytes travel: what a conversation needs of a connection, TLS included."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gatepost.model.link_tls import LinkTls
from gatepost.model.session import TlsInfo


class OutgoingWire(Protocol):
    """One connection to a next hop. Raises WorldFault for timeouts, resets and TLS failures."""

    received: bytearray
    """What came and was not read yet."""

    async def read(self, *, timeout_s: float) -> bytes:
        """The next bytes; b"" when the peer has closed."""

    def write(self, data: bytes) -> None:
        """Send; buffered."""

    async def drain(self, *, timeout_s: float) -> None:
        """Wait until the peer took enough of what was written."""

    async def start_tls(self, server_name: str, *, link: LinkTls, timeout_s: float) -> TlsInfo:
        """Handshake now. WorldFault: a peer that does not prove what `link` asks for, bytes before it (D04)."""

    def close(self) -> None:
        """Close at once."""

    @property
    def peer_ip(self) -> str:
        """The address we are connected to; "" for a Unix socket."""

    @property
    def local_ip(self) -> str:
        """Our address on this connection; "" for a Unix socket."""


class Dialer(Protocol):
    """Opens connections to next hops."""

    def connect(
        self, address: str, port: int, *, source_address: str, timeout_s: float
    ) -> Awaitable[OutgoingWire]:
        """Connect to one IP address, or to the Unix socket of that path when it begins with "/".

        Raises WorldFault; with the fact no_source=True when it cannot be done from source_address.
        """
