"""Who is talking to us: the connection, its rights and its identity, as agents and records see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto

import msgspec

from gatepost.model.certificate import PeerCertificate


class Rights(Flag):
    """What a client may do (Exchange's receive connector permissions, in our words)."""

    __hash__ = object.__hash__  # one object for each set of rights; Enum's own hash takes ten times as long

    NONE = 0
    SUBMIT = auto()
    """Start a transaction at all."""
    RELAY = auto()
    """Send to any recipient, not only to accepted domains (Accept-Any-Recipient)."""
    ANY_SENDER = auto()
    """Use any return path (Accept-Any-Sender)."""
    OWN_DOMAIN_SENDER = auto()
    """Use a return path in an authoritative domain (Accept-Authoritative-Domain-Sender)."""
    BYPASS_FILTERS = auto()
    """No antispam agent looks at the mail (Bypass-Anti-Spam)."""
    BYPASS_SIZE = auto()
    """No message size limit."""
    ROUTING_HEADERS = auto()
    """Received and Resent-* fields are kept (Accept-Headers-Routing)."""
    ORGANIZATION_HEADERS = auto()
    """Our own X-Gatepost-* fields are believed (Accept-Headers-Organization)."""
    INTERNAL = auto()
    """The mail counts as internal (Accept-Authentication-Flag)."""

    def __contains__(self, other: Rights) -> bool:
        """Asked several times a command: enum.Flag's own way takes five times as long."""
        return other._value_ & self._value_ == other._value_


class ClientKind(Flag):
    """Which of a receive connector's rights apply to the client."""

    ANONYMOUS = auto()
    AUTHENTICATED = auto()
    NAMED = auto()
    """Its address is in one of the connector's named ranges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsInfo:
    """What TLS agreed on: version ("TLSv1.3"), cipher, bits, and the SNI name asked for."""

    version: str
    cipher: str
    bits: int
    server_name: str = ""
    server_end_point: bytes = b""
    """Hash of the server's certificate, to bind a login to this channel (RFC 5929 §4); b"": it has none."""
    client: PeerCertificate | None = None
    """What a client of ours showed where we ask for it; None: nothing."""
    peer_is_proven: bool = False
    """A next hop proved to be who it should be, by its name, by a fingerprint we know or by DANE."""
    chain: tuple[bytes, ...] = ()
    """The certificates a next hop showed, in DER, its own first; only where they are judged by DANE."""


class Session(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One SMTP connection at one moment. A new value (msgspec.structs.replace) after EHLO, STARTTLS and AUTH."""

    session_id: str
    """16 hex digits, unique on this machine, in every record of the session."""
    connector: str
    """The receive connector's name."""
    client_ip: str
    """The peer's address; an IPv4-mapped IPv6 address is written as IPv4 (threats F36)."""
    client_port: int
    local_ip: str
    local_port: int
    started_at: float
    kind: ClientKind = ClientKind.ANONYMOUS
    rights: Rights = Rights.NONE
    proxy_ip: str = ""
    """Who told us the client's address (PROXY header, XCLIENT); "": the client connected to us itself."""
    client_name: str | None = None
    """The name an XCLIENT peer found for the client's address; "": there is none; None: nobody told us."""
    origin_ip: str = ""
    """The address filters judge: `client_ip`, or what stands behind our own relays."""
    helo: str = ""
    """The EHLO/HELO argument as given; peer's text, escape it everywhere."""
    esmtp: bool = False
    tls: TlsInfo | None = None
    user: str = ""
    """The authenticated identity; "" when anonymous."""

    def __post_init__(self) -> None:
        if not self.origin_ip:
            msgspec.structs.force_setattr(self, "origin_ip", self.client_ip)

    @property
    def protocol(self) -> str:
        """The "with" word of Received (RFC 3848, RFC 6531 §4.3 is added by the caller)."""
        if not self.esmtp:
            return "SMTP"
        return "ESMTP" + ("S" if self.tls else "") + ("A" if self.user else "")
