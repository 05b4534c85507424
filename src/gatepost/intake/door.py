"""A receive connector, compiled: which clients it serves, what they may do, what it announces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gatepost.config.certificate_match import CertificateMatch, readable_matches
from gatepost.config.limit_settings import Limits
from gatepost.config.rights import Right
from gatepost.config.settings import NamedRange, ReceiveConnector
from gatepost.config.tls_settings import CertificateIdentity
from gatepost.intake.tarpit import Tarpit
from gatepost.model.certificate import PeerCertificate
from gatepost.model.ip_ranges import IpRange, IpRanges
from gatepost.model.session import ClientKind, Rights, Session
from gatepost.ports.tls import TlsServer
from gatepost.protocol.events import EngineLimits, Offer
from gatepost.protocol.scram import MECHANISM_PLUS
from gatepost.protocol.xclient import ATTRIBUTES

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
    spared: bool = False
    """What is meant for strangers (rates, stress, back pressure at medium) does not hold for it."""


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
        self.proxies = IpRanges(settings.proxies) if settings.proxies else None
        """Whose connections begin with a PROXY header; None: nobody's."""
        self._xclient_peers = IpRanges(settings.xclient_peers) if settings.xclient_peers else None
        self._named = tuple((IpRanges(r.addresses), _grant_of(r)) for r in settings.ranges.values())
        self._anonymous = Grant(ClientKind.ANONYMOUS, rights_of(settings.anonymous_rights))
        self._authenticated = rights_of(settings.authenticated_rights)
        self._identities = tuple(
            (readable_matches(known.match), Identity(name, _grant_of(known), known.user))
            for name, known in settings.client_certificates.identities.items()
        )
        self._offers: dict[tuple[Grant, bool, tuple[str, ...], bool, bool], Offer] = {}
        """One for each kind of client we know, in the clear and under TLS: as many as the file makes."""
        limits = settings.limits
        self.limits = limits
        """Those in force for strangers: of the stress profile while there are too many sessions."""
        self._unrated = IpRanges(limits.unrated)
        self.tarpit = Tarpit(limits.tarpits)
        self.capacity = self.reserved = 0
        self.fit(limits.connections)
        self._stressed = stressed(limits)
        self.engine_limits = EngineLimits(
            command_line_bytes=limits.command_line_bytes,
            auth_line_bytes=limits.auth_line_bytes,
            text_line_bytes=limits.text_line_bytes,
        )

    def fit(self, sessions: int) -> None:
        """There are no more sessions than that in all: shares are of what can be had."""
        limits = self.settings.limits
        self.capacity = min(limits.connections, sessions)
        # What only spared clients may have.
        self.reserved = self.capacity * limits.reserved_share // 100 if self._spares_somebody else 0

    @property
    def is_stressed(self) -> bool:
        """The stress profile is in force."""
        return self.limits is self._stressed

    def weigh_load(self, sessions: int) -> bool:
        """Begin or end the stress profile by how many sessions there are (threats G08). True: it changed."""
        normal, stress = self.settings.limits, self.settings.limits.stress
        share = sessions * 100 / self.capacity
        if self.is_stressed:
            if share > stress.until_share:
                return False
            self.limits = normal
            return True
        if not stress.from_share or share < stress.from_share:
            return False
        self.limits = self._stressed
        return True

    def rates(self, client_ip: str) -> bool:
        """How often this client comes, and with how much, is limited."""
        return client_ip not in self._unrated

    def limits_for(self, grant: Grant) -> Limits:
        """The limits in force for a client."""
        return self.settings.limits if grant.spared else self.limits

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
        return Grant(
            ClientKind.AUTHENTICATED,
            grant.rights | self._authenticated,
            grant.normalize_newlines or self.settings.authenticated_bare_newlines == "normalize",
            spared=True,
        )

    def takes_xclient_from(self, peer_ip: str) -> bool:
        """The peer may say who its client is."""
        return self._xclient_peers is not None and peer_ip in self._xclient_peers

    def offer(self, session: Session, grant: Grant, *, xclient: bool = False) -> Offer:
        """What is announced and accepted at this moment of a session. xclient: its peer may say who the client is."""
        mechanisms = self.mechanisms(session)
        key = (grant, session.tls is not None, mechanisms, session.user != "", xclient)
        offer = self._offers.get(key)
        if offer is None:
            offer = self._offer(grant, mechanisms, session)
            if xclient:
                offer = replace(offer, xclient=self._xclient_attributes())
            self._offers[key] = offer
        return offer

    def _xclient_attributes(self) -> tuple[str, ...]:
        """A login is believed where one could log in, and nowhere else."""
        return tuple(name for name in ATTRIBUTES if name != "LOGIN" or self.settings.auth)

    def _offer(self, grant: Grant, mechanisms: tuple[str, ...], session: Session) -> Offer:
        settings, limits, encrypted = self.settings, self.settings.limits, session.tls is not None
        return Offer(
            hostname=self.hostname,
            size_bytes=0 if Rights.BYPASS_SIZE in grant.rights else limits.message_size_bytes,
            recipients=limits.recipients,
            messages=limits.messages_per_session,
            pipelining=settings.pipelining,
            eight_bit_mime=settings.eight_bit_mime,
            smtputf8=settings.smtputf8,
            dsn=settings.dsn,
            chunking=settings.chunking,
            binary_mime=settings.binary_mime,
            starttls=self.tls is not None and not encrypted and settings.tls in ("optional", "required"),
            require_tls=settings.require_tls_extension and encrypted,
            auth=mechanisms,
            auth_under_tls=settings.auth and not encrypted,
            is_logged_in=session.user != "",
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

    @property
    def _spares_somebody(self) -> bool:
        return any(grant.spared for _, grant in self._named)

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


def stressed(limits: Limits) -> Limits:
    """The limits under stress: of each the stricter one."""
    stress = limits.stress
    names = set(type(stress).model_fields) & set(type(limits).model_fields)
    return limits.model_copy(update={n: min(getattr(limits, n), getattr(stress, n)) for n in names})


def _fits(words: Sequence[CertificateMatch], shown: PeerCertificate) -> bool:
    return any(word.fits(shown) for word in words)


def _grant_of(named: NamedRange | CertificateIdentity) -> Grant:
    return Grant(
        ClientKind.NAMED,
        rights_of(named.rights),
        named.bare_newlines == "normalize",
        spared=named.spared,
    )
