"""What an XCLIENT peer has told about its client, and the session it makes of its own."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from gatepost.config.networks import is_internal_ip
from gatepost.intake.door import Door
from gatepost.model.session import Session
from gatepost.protocol.events import XClient


@dataclass(frozen=True, slots=True)
class Told:
    """Of a session whose peer may say who its client is. own: the peer's session, before it said anything.

    helo, esmtp: how the client greeted the peer; they outlive the EHLO that the peer itself says.
    user: the client's login; a login of the peer's is not its client's.
    """

    own: Session
    helo: str = ""
    esmtp: bool | None = None
    user: str = ""

    def and_now(self, event: XClient) -> Told:
        """With what one more XCLIENT says. Another address is another client: nothing of the last one stays."""
        before = self if event.ip is None else Told(self.own)
        return Told(
            own=self.own,
            helo=before.helo if event.helo is None else event.helo,
            esmtp=before.esmtp if event.esmtp is None else event.esmtp,
            user=before.user if event.login is None else event.login,
        )

    def session_from(self, session: Session, event: XClient) -> Session:
        """The client's session, as after its connecting: TLS to the peer is not TLS to the client (threats Q07).

        self: what is told including the event.
        """
        client_ip = session.client_ip if event.ip is None else event.ip
        another = event.ip is not None
        return replace(
            session,
            client_ip=client_ip,
            client_port=(0 if another else session.client_port) if event.port is None else event.port,
            client_name=event.name if another or event.name is not None else session.client_name,
            local_ip=event.server_ip or session.local_ip,
            local_port=event.server_port or session.local_port,
            proxy_ip=self.own.client_ip,
            origin_ip="",
            helo=self.helo,
            esmtp=bool(self.esmtp),
            tls=None,
            user=self.user,
        )

    def greeted(self, session: Session) -> Session:
        """The session after an EHLO of the peer: what the client said counts, as far as it was told."""
        return replace(
            session,
            helo=self.helo or session.helo,
            esmtp=session.esmtp if self.esmtp is None else self.esmtp,
        )


def is_served(door: Door, session: Session, event: XClient) -> bool:
    """Whether the client that was named may come in by this door. session: its own."""
    is_believed = door.settings.internal_clients_by_proxy or event.ip is None
    if not is_believed and is_internal_ip(session.client_ip):
        return False
    return door.serves(session.client_ip) is not None
