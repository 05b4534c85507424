"""A receive connector, compiled: which clients it serves, what they may do, what it announces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gatepost.config.certificate_match import CertificateMatch, readable_matches
from gatepost.config.rights import Right
from gatepost.config.settings import NamedRange, ReceiveConnector
from gatepost.config.tls_settings import CertificateIdentity
from gatepost.model.certificate import PeerCertificate
from gatepost.model.ip_ranges import IpRange, IpRanges
from gatepost.model.session import ClientKind, Rights, Session
from gatepost.ports.tls import TlsServer
from gatepost.protocol.events import EngineLimits, Offer
from gatepost.protocol.scram import MECHANISM_PLUS

EXTERNAL: Final = "EXTERNAL"


def rights_of(names: Sequence[Right]) -> Rights:
    """Rights from their names in the file."""
    held = Rights.NONE
    for name in names:
        held |= Rights[name.replace("-", "_").upper()]
    return held


@dataclass(frozen=True, slots=True)
class Grant:
    """What one kind of client may do here."""

    kind: ClientKind
    rights: Rights
    normalize_newlines: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A client known by its certificate. user: whom it may be with AUTH EXTERNAL; "" for nobody."""

    name: str
    grant: Grant
    user: str


class Door:
    """One receive connector. Made once per configuration, shared by all its sessions.

    hostname: ours here. tls: None when the connector has none.
    """

    def __init__(
        self, name: str, settings: ReceiveConnector, *, hostname: str, tls: TlsServer | None
    ) -> None:
        self.name = name
        self.settings = settings
        self.hostname = settings.hostname or hostname
        self.tls = tls
        self._serves = IpRanges(settings.remote_ranges)
        self._named = tuple((IpRanges(r.addresses), _grant_of(r)) for r in settings.ranges.values())
        self._anonymous = Grant(ClientKind.ANONYMOUS, rights_of(settings.anonymous_rights))
        self._authenticated = rights_of(settings.authenticated_rights)
        self._identities = tuple(
            (readable_matches(known.match), Identity(name, _grant_of(known), known.user))
            for name, known in settings.client_certificates.identities.items()
        )
        self._offers: dict[tuple[Grant, bool, tuple[str, ...]], Offer] = {}
        """One for each kind of client we know, in the clear and under TLS: as many as the file makes."""
        limits = settings.limits
        self.engine_limits = EngineLimits(
            command_line_bytes=limits.command_line_bytes,
            auth_line_bytes=limits.auth_line_bytes,
            text_line_bytes=limits.text_line_bytes,
        )

    def serves(self, client_ip: str) -> IpRange | None:
        """The most specific of our remote ranges that holds the client; None: not our client."""
        return self._serves.most_specific(client_ip)

    def identity(self, shown: PeerCertificate | None) -> Identity | None:
        """Whose certificate it is: the first identity of the file that it fits; None: a stranger's, or none."""
        if shown is None:
            return None
        return next((who for words, who in self._identities if _fits(words, shown)), None)

    def grant(self, client_ip: str, *, user: str = "", identity: Identity | None = None) -> Grant:
        """What this client may do: by its certificate or its named range, plus what authentication gives."""
        known = identity.grant if identity is not None else self._named_grant(client_ip)
        grant = known or self._anonymous
        if not user:
            return grant
        return Grant(ClientKind.AUTHENTICATED, grant.rights | self._authenticated, grant.normalize_newlines)

    def offer(self, session: Session, grant: Grant) -> Offer:
        """What is announced and accepted at this moment of a session."""
        mechanisms = self.mechanisms(session)
        key = (grant, session.tls is not None, mechanisms)
        offer = self._offers.get(key)
        if offer is None:
            offer = self._offers[key] = self._offer(grant, mechanisms, encrypted=session.tls is not None)
        return offer

    def _offer(self, grant: Grant, mechanisms: tuple[str, ...], *, encrypted: bool) -> Offer:
        settings, limits = self.settings, self.settings.limits
        return Offer(
            hostname=self.hostname,
            size_bytes=0 if Rights.BYPASS_SIZE in grant.rights else limits.message_size_bytes,
            recipients=limits.recipients,
            pipelining=settings.pipelining,
            eight_bit_mime=settings.eight_bit_mime,
            smtputf8=settings.smtputf8,
            dsn=settings.dsn,
            chunking=settings.chunking,
            starttls=self.tls is not None and not encrypted and settings.tls in ("optional", "required"),
            require_tls=settings.require_tls_extension and encrypted,
            auth=mechanisms,
            tls_needed=settings.tls == "required" and not encrypted,
            helo_needed=settings.require_helo,
            blank_after_colon=settings.blank_after_colon,
            normalize_newlines=grant.normalize_newlines,
        )

    def mechanisms(self, session: Session) -> tuple[str, ...]:
        """What AUTH may be done with now: nothing without TLS, -PLUS only where there is something to bind to."""
        if not self.settings.auth or session.tls is None or session.user:
            return ()
        missing = set()
        if not session.tls.server_end_point:
            missing.add(MECHANISM_PLUS)
        if not self.vouched_user(session):
            missing.add(EXTERNAL)
        return tuple(m for m in self.settings.auth_mechanisms if m not in missing)

    def vouched_user(self, session: Session) -> str:
        """Whom the client's certificate lets it be with AUTH EXTERNAL; "" for nobody."""
        shown = session.tls.client if session.tls is not None else None
        identity = self.identity(shown)
        return identity.user if identity is not None else ""

    def _named_grant(self, client_ip: str) -> Grant | None:
        """Of the named ranges that hold the client, the grant of the most specific."""
        found = [
            (held.size, grant)
            for ranges, grant in self._named
            if (held := ranges.most_specific(client_ip)) is not None
        ]
        return min(found, key=lambda pair: pair[0])[1] if found else None


def choose_door(doors: Sequence[Door], client_ip: str) -> Door | None:
    """Of the doors at one address and port, the one whose remote range is the most specific.

    None when no door serves the client. Equal ranges at one binding are refused by the
    configuration, so there is one answer.
    """
    best: tuple[int, Door] | None = None
    for door in doors:
        served = door.serves(client_ip)
        if served is not None and (best is None or served.size < best[0]):
            best = (served.size, door)
    return best[1] if best else None


def _fits(words: Sequence[CertificateMatch], shown: PeerCertificate) -> bool:
    return any(word.fits(shown) for word in words)


def _grant_of(named: NamedRange | CertificateIdentity) -> Grant:
    return Grant(ClientKind.NAMED, rights_of(named.rights), named.bare_newlines == "normalize")
