"""The server's side of SMTP: bytes in, events out, replies to bytes. (contract; being written)"""

from __future__ import annotations

from gatepost.model.reply import Reply
from gatepost.protocol.events import EngineLimits, Event, Offer, Pause


class ServerEngine:
    """One SMTP conversation, server side (RFC 5321).

    The driver's loop: receive(bytes); while next_event() is not a Pause: answer it with
    send(reply) (BodyChunk needs none), write what send returned.
    """

    def __init__(self, offer: Offer, limits: EngineLimits) -> None:
        raise NotImplementedError

    offer: Offer
    """Set a new one after STARTTLS, AUTH or a change of the connector."""

    def greet(self, reply: Reply) -> bytes:
        """The first thing said: 220, or 421/554 and the engine is closed."""
        raise NotImplementedError

    def ehlo_reply(self, greeting: str) -> Reply:
        """The 250 to EHLO with everything the offer announces now."""
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Bytes from the client."""
        raise NotImplementedError

    def next_event(self) -> Event | Pause:
        """The next thing the client did."""
        raise NotImplementedError

    def send(self, reply: Reply) -> bytes:
        """Answer the pending event; the bytes for the wire."""
        raise NotImplementedError

    def tls_started(self) -> None:
        """The handshake is done: as after connecting, without a banner (RFC 3207 §4.2)."""
        raise NotImplementedError

    @property
    def buffered_bytes(self) -> int:
        """Octets received and not yet consumed: 0 before a handshake, or it is refused (D01)."""
        raise NotImplementedError

    @property
    def in_transaction(self) -> bool:
        """Between an accepted MAIL and its end."""
        raise NotImplementedError

    @property
    def in_content(self) -> bool:
        """Inside DATA or a BDAT chunk."""
        raise NotImplementedError
