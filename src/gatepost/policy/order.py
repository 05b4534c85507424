"""The order of the agents and the list of the facts: tables, and what they say by name (`gatepost agents`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gatepost.agents.authentication_results import AuthenticationResults
from gatepost.agents.automatic_replies import AutomaticReplies
from gatepost.agents.block_list_providers import BlockListProviders
from gatepost.agents.connection_control import ConnectionControl
from gatepost.agents.dkim import Dkim
from gatepost.agents.dmarc import Dmarc
from gatepost.agents.domain_list_providers import DomainListProviders
from gatepost.agents.greylisting import Greylisting
from gatepost.agents.header_sender import HeaderSender
from gatepost.agents.helo_check import HeloCheck
from gatepost.agents.ip_lists import IpLists
from gatepost.agents.loop_detection import LoopDetection
from gatepost.agents.message_form import MessageForm
from gatepost.agents.own_domain_spoofing import OwnDomainSpoofing
from gatepost.agents.rate_limits import RateLimits
from gatepost.agents.recipient_filter import RecipientFilter
from gatepost.agents.relay_restriction import RelayRestriction
from gatepost.agents.return_paths import ReturnPaths as ReturnPathsAgent
from gatepost.agents.sender_domain import SenderDomainCheck
from gatepost.agents.sender_filter import SenderFilter
from gatepost.agents.sender_id import SenderId
from gatepost.agents.sender_reputation import SenderReputation
from gatepost.agents.spf import Spf
from gatepost.config.schema import Table
from gatepost.facts import (
    account_addresses,
    arc,
    author,
    bounce_tags,
    dkim,
    dkim_replays,
    dmarc,
    dns_listings,
    domain_listings,
    greylisting,
    helo,
    ip_lists,
    message_form,
    rate_limits,
    received_trace,
    recipient_domain,
    recipient_status,
    reverse_dns,
    sender_domain,
    sender_id,
    sender_reputation,
    sender_status,
    spf,
)
from gatepost.facts.gathering import Sources
from gatepost.model.proof import ReturnPathProof
from gatepost.model.verdict import Action, Finding, Stage
from gatepost.policy.agent import name_of, settings_of
from gatepost.policy.third_party import Gatherer, ThirdParty, find_third_party

ORDER: Final = (
    # agent              stages at which it speaks
    # The client.
    (ConnectionControl, (Stage.CONNECT,)),
    (IpLists, (Stage.CONNECT, Stage.RCPT)),
    # The envelope: first what the client may do at all, last what is only put off.
    (RelayRestriction, (Stage.MAIL, Stage.RCPT)),
    (SenderReputation, (Stage.MAIL,)),
    (HeloCheck, (Stage.MAIL,)),
    (BlockListProviders, (Stage.RCPT,)),
    (DomainListProviders, (Stage.RCPT, Stage.END_OF_HEADERS)),
    (SenderFilter, (Stage.MAIL, Stage.RCPT, Stage.END_OF_HEADERS)),
    (SenderDomainCheck, (Stage.MAIL,)),
    (RecipientFilter, (Stage.RCPT,)),
    (Greylisting, (Stage.RCPT,)),
    (RateLimits, (Stage.MAIL, Stage.RCPT, Stage.END_OF_DATA)),
    # The header section.
    (LoopDetection, (Stage.END_OF_HEADERS,)),
    (HeaderSender, (Stage.END_OF_HEADERS,)),
    (Spf, (Stage.END_OF_HEADERS,)),
    (SenderId, (Stage.END_OF_HEADERS,)),
    (AutomaticReplies, (Stage.END_OF_HEADERS,)),
    # The whole mail.
    (MessageForm, (Stage.END_OF_DATA,)),
    (Dkim, (Stage.END_OF_DATA,)),
    (Dmarc, (Stage.END_OF_DATA,)),
    (OwnDomainSpoofing, (Stage.END_OF_DATA,)),
    (AuthenticationResults, (Stage.END_OF_DATA,)),
    (ReturnPathsAgent, (Stage.END_OF_DATA,)),
)
"""At each stage the agents are asked from top to bottom; those of third parties follow, by name."""

BUILT_IN: Final = frozenset(name_of(kind) for kind, _ in ORDER)
"""The names of our own agents."""

GATHERERS: Final[tuple[Gatherer, ...]] = (
    ip_lists.gatherer,
    dns_listings.gatherer,
    domain_listings.gatherer,
    domain_listings.author_gatherer,
    reverse_dns.gatherer,
    recipient_domain.gatherer,
    recipient_status.gatherer,
    sender_status.gatherer,
    sender_domain.gatherer,
    received_trace.gatherer,
    message_form.gatherer,
    helo.gatherer,
    helo.addresses_gatherer,
    sender_reputation.gatherer,
    greylisting.gatherer,
    rate_limits.mail_gatherer,
    rate_limits.recipient_gatherer,
    rate_limits.content_gatherer,
    author.gatherer,
    dmarc.gatherer,
    spf.gatherer,
    sender_id.gatherer,
    dkim.gatherer,
    dkim_replays.gatherer,
    arc.gatherer,
    bounce_tags.gatherer,
    account_addresses.gatherer,
)

FACTS: Final[tuple[type[Any], ...]] = (
    reverse_dns.ReverseDns,
    recipient_domain.RecipientDomain,
    recipient_status.RecipientStatus,
    sender_status.SenderStatus,
    sender_domain.SenderDomain,
    received_trace.ReceivedTrace,
    message_form.MessageForm,
    helo.Helo,
    helo.HeloAddresses,
    sender_reputation.Reputation,
    greylisting.GreylistState,
    rate_limits.MailRates,
    rate_limits.RecipientRates,
    rate_limits.ContentRates,
    ip_lists.IpListing,
    dns_listings.DnsListings,
    domain_listings.DomainListings,
    domain_listings.AuthorListings,
    author.Author,
    dmarc.DmarcResult,
    spf.SpfResult,
    sender_id.SenderIdResult,
    dkim.DkimResults,
    dkim_replays.DkimReplays,
    arc.ArcResult,
    bounce_tags.BounceTags,
    ReturnPathProof,
    account_addresses.AccountAddresses,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One agent as `gatepost agents` shows it."""

    name: str
    stages: tuple[Stage, ...]
    means: str
    is_filter: bool
    when_unknown: Action
    findings: tuple[Finding, ...]
    third_party: bool


def rows(folder: str = "") -> tuple[Row, ...]:
    """Every agent in the order in which they are asked.

    folder: policy.agents-directory. Raises ValueError for third parties' agents that cannot be used.
    """
    return tuple(
        Row(
            name=name_of(kind),
            stages=tuple(kind.needs),
            means=(kind.__doc__ or "").strip().split("\n")[0],
            is_filter=kind.is_filter,
            when_unknown=kind.when_unknown,
            findings=tuple(kind.findings),
            third_party=number >= len(ORDER),
        )
        for number, kind in enumerate(agent_types(find_third_party(folder)))
    )


def agent_types(third_party: ThirdParty) -> tuple[Any, ...]:
    """The agents' classes in order. Raises ValueError when names clash."""
    kinds = (*(kind for kind, _ in ORDER), *third_party.agents)
    check_unique("agents", (name_of(kind) for kind in kinds))
    check_unique("findings", (found.name for kind in kinds for found in kind.findings))
    return kinds


def agent_settings(folder: str = "") -> Mapping[str, type[Table]]:
    """Each agent's table by its name, for the configuration loader and the manual.

    folder: policy.agents-directory. Raises ValueError for third parties' agents that cannot be used.
    """
    return {name_of(kind): settings_of(kind) for kind in agent_types(find_third_party(folder))}


def finding_names(folder: str = "") -> frozenset[str]:
    """What policy.points may name. Raises ValueError as agent_settings()."""
    return frozenset(found.name for row in rows(folder) for found in row.findings)


def fact_types(third_party: ThirdParty, sources: Sources | None = None) -> Mapping[str, type[Any]]:
    """Fact types by name, for reading dossiers; third parties' too when `sources` are given."""
    theirs = (gatherer(sources).fact for gatherer in third_party.gatherers) if sources is not None else ()
    return {kind.name: kind for kind in (*FACTS, *theirs)}


def check_unique(what: str, names: Iterable[str]) -> None:
    """Raises ValueError when a name is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {what} are called {name}")
        seen.add(name)
