"""The policy of one configuration, made from the tables in `order`: who is asked at each door, by which facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, get_args

from gatepost.agents.authentication_results import AuthenticationResults
from gatepost.agents.automatic_replies import AutomaticReplies
from gatepost.agents.block_list_providers import BlockListProviders
from gatepost.agents.dmarc import Dmarc
from gatepost.agents.domain_list_providers import DomainListProviders
from gatepost.agents.ip_lists import ALL_FILTERS
from gatepost.agents.ip_lists import Settings as IpListsSettings
from gatepost.agents.own_domain_spoofing import OwnDomainSpoofing
from gatepost.agents.rate_limits import RateLimits
from gatepost.agents.return_paths import ReturnPaths as ReturnPathsAgent
from gatepost.agents.sender_id import SenderId
from gatepost.agents.spf import Spf
from gatepost.config.agent_table import AgentTable
from gatepost.config.dmarc_settings import DmarcTable
from gatepost.config.list_settings import DomainSource
from gatepost.config.own_names import own_names
from gatepost.config.schema import Table
from gatepost.config.settings import ReceiveConnector, Settings
from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.provider_desk import ProviderDesk
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.account import folded_user
from gatepost.model.domain_table import DomainTable
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.rate_limit import Counted, RateRule
from gatepost.model.site import Site
from gatepost.policy.agent import Agent, name_of, settings_of
from gatepost.policy.alarm import Alarm
from gatepost.policy.behind_relays import behind_relays
from gatepost.policy.docket import Docket
from gatepost.policy.elsewhere import Elsewhere, ScanPool
from gatepost.policy.folding import Scale
from gatepost.policy.fuses import Fuses, unfused
from gatepost.policy.order import GATHERERS, agent_types, check_unique
from gatepost.policy.panel import Audience, Member, Spared, check_needs, panels_for
from gatepost.policy.runner import PolicyRunner
from gatepost.policy.standin import Standin, fused
from gatepost.policy.third_party import ThirdParty, find_third_party
from gatepost.ports.bodies import SpooledBodies
from gatepost.ports.directory import RecipientDirectory, SendingAccounts
from gatepost.ports.lists import AddressLists
from gatepost.ports.log import Counters, Log
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.resolver import Lookup, Resolver
from gatepost.ports.scanning import Scanner
from gatepost.ports.shared import SharedState
from gatepost.routing.accepted import canonical_pattern, sender_key
from gatepost.standards.return_paths import ReturnPaths

NEED_LOOKUP: Final = (Spf, SenderId, Dmarc, OwnDomainSpoofing, AuthenticationResults)
"""Agents that have nothing to say where nobody answers questions of one type (ports.resolver.Lookup)."""


def build(
    settings: Settings,
    agent_tables: Mapping[str, Table],
    *,
    accepted: AcceptedDomains,
    resolver: Resolver,
    directory: RecipientDirectory,
    log: Log,
    counters: Counters,
    revision: str,
    third_party: ThirdParty | None = None,
    shared: SharedState | None = None,
    lists: AddressLists | None = None,
    providers: ProviderDesk | None = None,
    lookup: Lookup | None = None,
    bodies: SpooledBodies | None = None,
    return_paths: ReturnPaths | None = None,
    scanner: Scanner | None = None,
    sending_accounts: SendingAccounts | None = None,
    fuses: Fuses | None = None,
) -> PolicyRunner:
    """The policy of one configuration.

    agent_tables: the agents' settings by name; an agent without one has its defaults.
    accepted: routing.accepted.accepted_domains(settings).
    third_party: None: looked for as the settings say.
    shared: None: nothing is shared with anybody. lists, providers: None: there are none.
    lookup: for questions of one type; None: agents that need the answers are not asked.
    bodies: those on disk, for facts that read them.
    return_paths: SRS and tags; None: no return path is signed.
    scanner: asks third parties' agents in scan workers; None: they run in this process.
    sending_accounts: what a directory knows of accounts' addresses; None: nothing.
    fuses: switch off third parties' agents and facts that fail; None: nothing is counted or switched off.

    Raises ValueError when agents, facts or settings do not fit together.
    """
    third_party = third_party or find_third_party(settings.policy.agents_directory)
    kinds = _kinds(settings, third_party, has_lookup=lookup is not None, has_paths=return_paths is not None)
    shared = MemoryShared() if shared is None else shared
    fuses = fuses or unfused(log, counters)
    alarm = Alarm(log, counters)
    pool = _pool(scanner, shared, alarm, settings) if scanner is not None and third_party.agents else None
    dockets = {}
    for name, connector in settings.receive_connectors.items():
        site = site_of(settings, name, connector, accepted)
        sources = Sources(
            site=site,
            resolver=resolver,
            directory=directory,
            lookup_timeout_s=settings.dns.timeout_s,
            shared=shared,
            tables=agent_tables,
            lists=lists,
            providers=providers,
            dmarc=_dmarc_table(agent_tables),
            lookup=lookup,
            spf=settings.spf,
            bodies=bodies,
            dkim=settings.dkim,
            arc=settings.arc,
            return_paths=return_paths,
            sending_accounts=sending_accounts,
        )
        members = _members(kinds, agent_tables, site, providers)
        members = [_behind_fuse(member, third_party, fuses, pool) for member in members]
        dockets[name] = _docket(members, _gatherings(third_party, sources, fuses), settings)
    return PolicyRunner(
        dockets,
        accepted=accepted,
        scale=Scale.of(settings.policy),
        deadline_s=settings.policy.deadline_s,
        revision=revision,
        alarm=alarm,
        questions_per_mail=settings.dns.questions_per_mail,
    )


def _pool(scanner: Scanner, shared: SharedState, alarm: Alarm, settings: Settings) -> ScanPool:
    return ScanPool(scanner=scanner, shared=shared, alarm=alarm, deaths=settings.scan_workers.deaths)


def _kinds(settings: Settings, third_party: ThirdParty, *, has_lookup: bool, has_paths: bool) -> list[Any]:
    """The agents' classes that have something to say under these settings."""
    silent: tuple[Any, ...] = () if has_paths else (ReturnPathsAgent,)
    if not has_lookup:
        silent += NEED_LOOKUP
    off = settings.policy.disabled
    return [kind for kind in agent_types(third_party) if name_of(kind) not in off and kind not in silent]


def _docket(members: list[Member], facts: Mapping[type[Any], Gathering], settings: Settings) -> Docket:
    relays = IpRanges(settings.server.internal_relays)
    for member in members:
        check_needs(member.agent, facts)
    spared = _spared(members)
    return Docket(
        panels=tuple(panels_for(members, facts, audience) for audience in Audience),
        allowed=tuple(panels_for(members, facts, audience, spared) for audience in Audience),
        allowed_are_exempt=spared.everything,
        behind=behind_relays(relays, members, facts, spared) if relays else None,
    )


def third_party_agents(
    settings: Settings, agent_tables: Mapping[str, Table], third_party: ThirdParty, accepted: AcceptedDomains
) -> dict[tuple[str, str], Agent]:
    """Agents by receive connector and name, as a scan worker asks them."""
    kinds = [kind for kind in third_party.agents if name_of(kind) not in settings.policy.disabled]
    return {
        (name, member.agent.name): member.agent
        for name, connector in settings.receive_connectors.items()
        for member in _members(
            kinds, agent_tables, site_of(settings, name, connector, accepted), providers=None
        )
    }


def _behind_fuse(member: Member, third_party: ThirdParty, fuses: Fuses, pool: ScanPool | None) -> Member:
    """An agent of a third party as the worker asks it: elsewhere where there is a pool."""
    agent = member.agent
    if not isinstance(agent, third_party.agents):
        return member
    standin = Standin(agent, fuses) if pool is None else Elsewhere(agent, fuses, pool)
    return Member(agent=standin, settings=member.settings)


def _spared(members: Iterable[Member]) -> Spared:
    """What clients on the allow list are spared, as agents.ip-lists says."""
    for member in members:
        if isinstance(member.settings, IpListsSettings):
            skips = member.settings.allow_skips
            return Spared(names=frozenset(skips), everything=ALL_FILTERS in skips)
    return Spared()


def _dmarc_table(tables: Mapping[str, Table]) -> DmarcTable:
    table = tables.get(Dmarc.name)
    return table if isinstance(table, DmarcTable) else DmarcTable()


def site_of(settings: Settings, name: str, connector: ReceiveConnector, accepted: AcceptedDomains) -> Site:
    """What agents and facts may know of one receive connector."""
    limits = connector.limits
    return Site(
        connector=name,
        hostname=connector.hostname or settings.server.hostname,
        authserv_id=settings.server.authserv_id.lower(),
        own_names=own_names(settings),
        accepted_domains=accepted,
        checked_domains=checked_domains(settings),
        tarpit_s=connector.tarpit_s,
        hop_count=limits.hop_count,
        local_hop_count=limits.local_hop_count,
        header_size_bytes=limits.header_size_bytes,
        header_fields=limits.header_fields,
        offers_auth=connector.auth,
        refused_domains=frozenset(connector.refused_recipient_domains),
        automatic_replies=_automatic_replies(settings),
        rate_limits=_rate_rules(settings, name),
        sender_addresses=_by_user(settings.users.addresses),
        on_behalf_of=_by_user(settings.users.on_behalf_of),
        knows_accounts=connector.auth or bool(connector.xclient_peers),
    )


def _by_user(table: Mapping[str, tuple[str, ...]]) -> Mapping[str, frozenset[str]]:
    return {folded_user(user): frozenset(map(sender_key, addresses)) for user, addresses in table.items()}


def _automatic_replies(settings: Settings) -> DomainTable[bool] | None:
    entries = {canonical_pattern(n): d.automatic_replies for n, d in settings.remote_domains.items()}
    return None if all(entries.values()) else DomainTable(entries, otherwise=True)


def _rate_rules(settings: Settings, connector: str) -> tuple[RateRule, ...]:
    return tuple(
        RateRule(
            name=name,
            by=limit.by,
            counted=Counted(limit.count),
            amount=limit.amount,
            per_s=limit.per_s,
            burst=limit.burst,
            action=limit.action,
            exempt=IpRanges(limit.exempt_networks),
        )
        for name, limit in settings.rate_limits.items()
        if not limit.connectors or connector in limit.connectors
    )


def checked_domains(settings: Settings) -> frozenset[str]:
    """The accepted domains whose recipients are looked up, in canonical form."""
    return frozenset(
        canonical_pattern(name)
        for name, domain in settings.accepted_domains.items()
        if domain.check_recipients == "yes"
        or (domain.check_recipients == "by-type" and domain.type == "authoritative")
    )


def _members(
    kinds: Iterable[Any], tables: Mapping[str, Table], site: Site, providers: ProviderDesk | None
) -> list[Member]:
    members = []
    has_providers = bool(providers and providers.lists_addresses)
    has_domain_lists = bool(providers and providers.asks_of(*get_args(DomainSource)))
    for kind in kinds:
        if kind is AutomaticReplies and site.automatic_replies is None:
            continue  # it has nothing to do, and would cost every mail a microsecond
        if kind is RateLimits and not site.rate_limits:
            continue  # the same
        if kind is BlockListProviders and not has_providers:
            continue
        if kind is DomainListProviders and not has_domain_lists:
            continue
        table = tables.get(name_of(kind))
        settings = table if isinstance(table, AgentTable) else settings_of(kind)()
        if settings.enabled and (not settings.connectors or site.connector in settings.connectors):
            agent: Agent = kind(settings, site)
            if agent.needs:  # else it has nothing to do with these settings
                members.append(Member(agent=agent, settings=settings))
    return members


def _gatherings(third_party: ThirdParty, sources: Sources, fuses: Fuses) -> dict[type[Any], Gathering]:
    ours = [replace(gatherer(sources), begins_at_once=True) for gatherer in GATHERERS]
    found = [*ours, *(fused(gatherer(sources), fuses) for gatherer in third_party.gatherers)]
    check_unique("facts", (gathering.fact.name for gathering in found))
    return {gathering.fact: gathering for gathering in found}
