"""Fact: whether mail could be sent back to the domain of the return path (RFC 5321 §5.1, RFC 7505, threats F38)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Final

from gatepost.config.networks import is_internal_ip
from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.known import MailView, Scope
from gatepost.model.reach import may_be_named
from gatepost.model.verdict import Stage
from gatepost.ports.resolver import Resolver

HOSTS_LIMIT: Final = 5
"""Mail servers whose addresses are looked up; the others are believed."""


class Mailable(Enum):
    """What the DNS says."""

    YES = "yes"
    NO_DOMAIN = "no-domain"
    """There is no such domain, or none of its mail servers has an address."""
    NULL_MX = "null-mx"
    """It says that it takes no mail."""
    NOT_PUBLIC = "not-public"
    """All of its mail servers have loopback, private or reserved addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderDomain:
    """The domain of the return path. domain "": there is nothing to look up (a bounce, or a domain of ours)."""

    name: ClassVar[str] = "sender-domain"

    domain: str = ""
    mailable: Mailable = Mailable.YES
    hosts: tuple[str, ...] = ()
    """The first of its mail servers."""


async def find_sender_domain(domain: str, resolver: Resolver, *, timeout_s: float) -> SenderDomain:
    """Raises WorldFault when the DNS does not say."""
    try:
        exchangers = await resolver.mail_exchangers(domain, timeout_s=timeout_s)
        if not exchangers:
            found = await resolver.addresses(domain, timeout_s=timeout_s)
            return SenderDomain(domain=domain, mailable=_of_addresses(found))
    except PeerFault:  # no name that can be asked for
        return SenderDomain(domain=domain, mailable=Mailable.NO_DOMAIN)
    hosts = tuple(dict.fromkeys(one.host for one in exchangers if one.host))
    if not hosts:
        return SenderDomain(domain=domain, mailable=Mailable.NULL_MX)
    return SenderDomain(
        domain=domain, mailable=await _of_hosts(hosts, resolver, timeout_s), hosts=hosts[:HOSTS_LIMIT]
    )


async def _of_hosts(hosts: tuple[str, ...], resolver: Resolver, timeout_s: float) -> Mailable:
    """One good host is enough; one that nobody knows is no proof of the contrary. Raises WorldFault."""
    worst, unknown = Mailable.NO_DOMAIN, None
    for host in hosts[:HOSTS_LIMIT]:
        try:
            answer = _of_addresses(await resolver.addresses(host, timeout_s=timeout_s))
        except PeerFault:
            continue
        except WorldFault as fault:
            unknown = fault
            continue
        if answer is Mailable.YES:
            return answer
        if answer is Mailable.NOT_PUBLIC:
            worst = answer
    if unknown is not None:
        raise unknown
    return Mailable.YES if len(hosts) > HOSTS_LIMIT else worst


def _of_addresses(addresses: tuple[str, ...]) -> Mailable:
    if not addresses:
        return Mailable.NO_DOMAIN
    is_public = any(may_be_named(address) and not is_internal_ip(address) for address in addresses)
    return Mailable.YES if is_public else Mailable.NOT_PUBLIC


def gatherer(sources: Sources) -> Gathering:
    """Known at MAIL."""
    accepted, resolver = sources.site.accepted_domains, sources.resolver

    def find(mail: MailView) -> Any:
        domain = mail.sender.domain
        if accepted.holds_own(domain) or domain.startswith("["):
            return SenderDomain()
        return find_sender_domain(domain, resolver, timeout_s=sources.lookup_timeout_s)

    return Gathering(fact=SenderDomain, scope=Scope.MAIL, earliest=Stage.MAIL, find=find, waits=True)
