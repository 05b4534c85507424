"""TLS as a pump of bytes, inside our own connections: no library owns the socket."""

from __future__ import annotations

from typing import Protocol

from gatepost.model.session import TlsInfo


class TlsPump(Protocol):
    """One TLS session. Every method raises WorldFault when the peer breaks TLS; the pump is dead then."""

    def start(self) -> bytes:
        """Begin the handshake; bytes to send (b"" on the server's side)."""

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Encrypted bytes in; (clear bytes for us, encrypted bytes to send)."""

    def send(self, data: bytes) -> bytes:
        """Clear bytes in, encrypted bytes to send. Only once established."""

    def close(self) -> bytes:
        """close_notify, as bytes to send."""

    @property
    def established(self) -> bool:
        """The handshake is done."""

    @property
    def peer_closed(self) -> bool:
        """close_notify came: nothing that follows may be read (C13)."""

    @property
    def info(self) -> TlsInfo:
        """What was agreed on. Raises ValueError before it is established."""


class TlsServer(Protocol):
    """Makes pumps for incoming connections of one connector; certificates may change underneath."""

    def pump(self) -> TlsPump:
        """For one new connection."""
