"""How safe the link to each mail server must be by what its domain publishes: DANE before MTA-STS (RFC 8461 §2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gatepost.config.outbound_tls_settings import OutboundTls, OutboundTlsDomain
from gatepost.model.domain_table import DomainTable
from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.ports.world import Clock
from gatepost.routing.addresses import is_address
from gatepost.routing.dane_records import DaneRecords, ResolverProof
from gatepost.routing.hosts import Host
from gatepost.routing.link_tls import is_set_for_domain
from gatepost.routing.next_hop import HopKind, NextHop
from gatepost.routing.smart_hosts import SmartHost, parse_smart_host
from gatepost.routing.sts_entries import StsEntry
from gatepost.routing.sts_policies import StsPolicies
from gatepost.standards.dane import TRUST_ANCHOR
from gatepost.standards.mta_sts import StsMode, StsPolicy

_YIELDING: Final = (LinkMode.OPPORTUNISTIC, LinkMode.REQUIRED)
"""Modes that a policy may make stricter; the others are an administrator's word."""
_NOTHING_SET: Final = OutboundTlsDomain()
_LOCAL_AGE_S: Final = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPolicy:
    """What a report says was found (RFC 8460 §4.4). kind: "tlsa", "sts" or "no-policy-found"."""

    kind: str = "no-policy-found"
    strings: tuple[str, ...] = ()
    mx: tuple[str, ...] = ()


NO_POLICY: Final = PublishedPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLink:
    """What is asked of the link to one host.

    trial: tried first, and only its outcome is noted: how a policy in testing would do.
    problem: what a policy in testing does not like before anything is tried.
    """

    link: LinkTls
    published: PublishedPolicy = NO_POLICY
    trial: LinkTls | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopPolicy:
    """What counts for one next hop now."""

    domain: str
    link: LinkTls
    """By the settings alone."""
    sts: StsPolicy | None = None
    sts_problem: str = ""
    """Why a policy that is published could not be had."""
    dane: DaneRecords | None = None
    """None: TLSA records do not count for this domain."""
    dane_required: bool = False
    with_trials: bool = False

    async def link_to(self, host: Host) -> HostLink:
        """What is asked of the link to this host. Raises WorldFault when it must not be used now."""
        if self.dane is not None:
            found = await self._by_dane(self.dane, host)
            if found is not None:
                return found
        if self.dane_required:
            raise WorldFault(
                f"{host.name} has no TLSA records that are proven, and outbound-tls asks for them",
                tls_result="dane-required",
            )
        return self._by_sts(host)

    async def _by_dane(self, dane: DaneRecords, host: Host) -> HostLink | None:
        records = await dane.of(host.name, host.ip, host.port)
        if not records.base:
            return None
        published = PublishedPolicy(kind="tlsa", strings=records.strings, mx=(host.name,))
        if not records.associations:
            if self.dane_required:
                raise WorldFault(f"no TLSA record of {host.name} is usable", tls_result="tlsa-invalid")
            return HostLink(
                link=replace(self.link, mode=LinkMode.REQUIRED, policy="dane"), published=published
            )
        # Without usage 2 names do not count, and domains with the same server may share a connection.
        by_name = any(record.usage == TRUST_ANCHOR for record in records.associations)
        names = tuple(dict.fromkeys((records.base, host.name, self.domain) if by_name else (records.base,)))
        link = replace(
            self.link, mode=LinkMode.DANE, names=names, associations=records.associations, policy="dane"
        )
        return HostLink(link=link, published=published)

    def _by_sts(self, host: Host) -> HostLink:
        policy = self.sts
        if policy is None:
            return HostLink(link=self.link, problem=self.sts_problem)
        published = PublishedPolicy(kind="sts", strings=strings_of(policy), mx=policy.mx)
        fits = policy.fits(host.name)
        verified = replace(self.link, mode=LinkMode.VERIFIED, names=(), policy="mta-sts")
        if policy.mode is StsMode.ENFORCE:
            if not fits:
                raise WorldFault(
                    f"{host.name} is none of the mail servers in the MTA-STS policy of {self.domain}",
                    tls_result="validation-failure",
                    published=published,
                )
            return HostLink(link=verified, published=published)
        trial = verified if fits and self.with_trials else None
        problem = "" if fits else "validation-failure"
        return HostLink(link=self.link, published=published, trial=trial, problem=problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmartHostPolicy:
    """What counts for the hosts of a connector with smart hosts: TLSA records of their names (RFC 7672 §2.2.3)."""

    domain: str
    """Of no recipient: the connector, for the log."""
    link: LinkTls
    """By the settings alone."""
    smart_hosts: tuple[SmartHost, ...]
    dane: DaneRecords | None
    domains: DomainTable[OutboundTlsDomain]

    async def link_to(self, host: Host) -> HostLink:
        """What is asked of the link to this host. Raises WorldFault when it must not be used now."""
        if host.path or is_address(host.name):
            return HostLink(link=self.link)
        named = [smart for smart in self.smart_hosts if smart.name == host.name]
        behind = [] if named else [smart for smart in self.smart_hosts if smart.by_mx]
        wanted = [self.domains.entry_for(name).dane for name in (host.name, *(s.name for s in behind))]
        dane = self.dane if "off" not in wanted else None
        # Whoever forges a list of mail servers must not choose the name whose records count.
        if dane is not None and not named and not await self._all_secure(dane, behind):
            dane = None
        policy = HopPolicy(domain=host.name, link=self.link, dane=dane, dane_required="required" in wanted)
        return await policy.link_to(host)

    @staticmethod
    async def _all_secure(dane: DaneRecords, behind: Sequence[SmartHost]) -> bool:
        return all([await dane.is_secure(smart.name) for smart in behind])


@dataclass(slots=True, kw_only=True)
class LinkPolicies:
    """One worker's, for one configuration. sts, dane: None when they are off.

    with_trials: somebody collects what comes of policies in testing.
    """

    settings: OutboundTls
    clock: Clock
    sts: StsPolicies | None
    dane: DaneRecords | None
    proof: ResolverProof | None
    with_trials: bool = False
    _domains: DomainTable[OutboundTlsDomain] = field(init=False)

    def __post_init__(self) -> None:
        self._domains = DomainTable(self.settings.domains, otherwise=_NOTHING_SET)

    def expect(self, next_hop: NextHop, link: LinkTls) -> None:
        """Begin to look for a policy that `of` will wait for: the hosts are looked up meanwhile."""
        if self.sts is not None and self._counts(next_hop, link):
            self.sts.expect(next_hop.domain)

    async def of(self, next_hop: NextHop, link: LinkTls) -> HopPolicy | SmartHostPolicy | None:
        """What counts for this next hop; None when its link is as the settings say. Raises WorldFault."""
        if next_hop.kind is HopKind.SMART_HOST:
            return await self._of_smart_hosts(next_hop, link)
        domain = next_hop.domain
        if not self._counts(next_hop, link):
            return None
        wanted = self._domains.entry_for(domain)
        dane = await self._dane_for(domain, wanted)
        sts, problem = await self._sts_for(domain, wanted)
        return HopPolicy(
            domain=domain,
            link=link,
            sts=sts,
            sts_problem=problem,
            dane=dane,
            dane_required=wanted.dane == "required",
            with_trials=self.with_trials,
        )

    async def _of_smart_hosts(self, next_hop: NextHop, link: LinkTls) -> SmartHostPolicy | None:
        if link.mode not in _YIELDING:
            return None
        parsed = map(parse_smart_host, next_hop.settings.smart_hosts)
        hosts = tuple(host for host in parsed if not host.path and not host.is_literal)
        if not hosts:
            return None
        required = any(self._domains.entry_for(host.name).dane == "required" for host in hosts)
        proven = await self._resolver_is_proven(required=required)
        return SmartHostPolicy(
            domain=next_hop.key,
            link=link,
            smart_hosts=hosts,
            dane=self.dane if proven else None,
            domains=self._domains,
        )

    @staticmethod
    def _counts(next_hop: NextHop, link: LinkTls) -> bool:
        """What the domain publishes may make the link stricter."""
        if next_hop.kind is not HopKind.DNS or next_hop.domain.startswith("["):
            return False
        return link.mode in _YIELDING and not is_set_for_domain(next_hop.settings, next_hop.domain)

    async def _dane_for(self, domain: str, wanted: OutboundTlsDomain) -> DaneRecords | None:
        if self.dane is None or wanted.dane == "off":
            return None
        if not await self._resolver_is_proven(required=wanted.dane == "required"):
            return None
        return self.dane if await self.dane.is_secure(domain) else None

    async def _resolver_is_proven(self, *, required: bool) -> bool:
        """Raises WorldFault when it must be and is not."""
        if self.dane is None or self.proof is None:
            return False
        if self.proof.holds or await self.proof.ready():
            return True
        if self.settings.dane == "required" or required:
            raise WorldFault(
                "DANE is required, and the resolver is not shown to validate", tls_result="dane-required"
            )
        return False

    async def _sts_for(self, domain: str, wanted: OutboundTlsDomain) -> tuple[StsPolicy | None, str]:
        if wanted.mta_sts == "enforce":
            return _local_policy(wanted), ""
        if self.sts is None or wanted.mta_sts == "off":
            return None, ""
        entry: StsEntry = self.sts.known(domain) or await self.sts.of(domain)
        policy = entry.in_force(self.clock.now())
        return policy, "sts-policy-fetch-error" if entry.problem and policy is None else ""


def _local_policy(wanted: OutboundTlsDomain) -> StsPolicy:
    patterns = tuple(pattern.lower().rstrip(".") for pattern in wanted.mx)
    return StsPolicy(mode=StsMode.ENFORCE, max_age_s=_LOCAL_AGE_S, mx=patterns)


def strings_of(policy: StsPolicy) -> tuple[str, ...]:
    """The lines of a policy, as a report has them."""
    return (
        "version: STSv1",
        f"mode: {policy.mode.value}",
        *(f"mx: {pattern}" for pattern in policy.mx),
        f"max_age: {policy.max_age_s}",
    )
