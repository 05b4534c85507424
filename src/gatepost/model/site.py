"""What an agent may know of the gateway it serves: its names, its domains, the limits of the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.domain_table import DomainTable
from gatepost.model.rate_limit import RateRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One receive connector of one gateway, as facts and agents see it. The same for every mail."""

    connector: str
    """The receive connector's name."""
    hostname: str
    """Our name on this connector."""
    own_names: frozenset[str]
    """Every name this gateway uses in its Received fields, lower case."""
    accepted_domains: AcceptedDomains
    checked_domains: frozenset[str] = frozenset()
    """The entries of accepted_domains whose recipients are looked up in the directory."""
    authserv_id: str = ""
    """Who we are in Authentication-Results; "": hostname."""
    tarpit_s: float = 5.0
    hop_count: int = 100
    local_hop_count: int = 3
    header_size_bytes: int = 256 << 10
    header_fields: int = 1000
    offers_auth: bool = False
    refused_domains: frozenset[str] = frozenset()
    """Kinds of recipients' domains that nobody may send to: the connector's refused-recipient-domains."""
    automatic_replies: DomainTable[bool] | None = None
    """Which remote domains may get automatic replies; None: all."""
    rate_limits: tuple[RateRule, ...] = ()
    """Those of [rate-limits] that hold here."""
    sender_addresses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Folded user -> the keys of addresses it may send as besides its own, "*@domain" for all of a domain."""
    on_behalf_of: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """In the same way, whom it may name in From when Sender names itself."""
    knows_accounts: bool = False
    """Sessions here may have a user."""
