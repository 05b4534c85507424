"""The hosts behind a next hop, in the order to try them: MX, addresses or smart hosts (RFC 5321 §5.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.resolver import Mx, Resolver
from gatepost.ports.world import Randomness
from gatepost.routing.addresses import is_address, is_own, literal_address, may_be_dialled
from gatepost.routing.next_hop import HopKind, NextHop
from gatepost.routing.smart_hosts import SmartHost, parse_smart_host

HOSTS_LIMIT: Final = 20  # addresses tried, and names asked for (threats M09)

NULL_MX: Final = Reply(556, "5.1.10", "Recipient's domain accepts no mail (null MX)")
NO_DOMAIN: Final = Reply(550, "5.1.2", "Recipient's domain does not exist")
NO_HOST: Final = Reply(550, "5.4.4", "Recipient's domain has no mail server")
NOT_DIALLED: Final = Reply(550, "5.4.4", "Recipient's mail server has no public address")
LOOP: Final = Reply(554, "5.4.6", "Mail for this domain would loop back to us")
DNS_UNKNOWN: Final = Reply(451, "4.4.3", "Recipient's mail server could not be looked up")
SMART_HOST_UNKNOWN: Final = Reply(451, "4.4.4", "The next hop has no address")


@dataclass(frozen=True, slots=True)
class Host:
    """One address to connect to. name: what a verified certificate must be for; an address stays as it is.

    path: of a Unix socket, which has no address and no port.
    """

    name: str
    ip: str
    port: int
    path: str = ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Hosts in the order to try them: at least one, at most HOSTS_LIMIT."""

    hosts: tuple[Host, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """No host to try, and what that means for the recipients."""

    reply: Reply

    @property
    def text(self) -> str:
        """As a reply line, for the queue and for notices."""
        return str(self.reply)

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463)."""
        return self.reply.enhanced

    @property
    def permanent(self) -> bool:
        """True: the recipients have failed. False: they are tried again."""
        return self.reply.is_permanent


Hosts = Candidates | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What every look-up of one next hop needs."""

    resolver: Resolver
    randomness: Randomness
    timeout_s: float
    port: int
    any_address: bool
    own_names: Collection[str]
    own_addresses: Collection[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class _Found:
    """The addresses of one name; failed: DNS did not answer, which is not the same as none."""

    addresses: tuple[str, ...] = ()
    failed: bool = False


async def hosts_of(
    next_hop: NextHop,
    resolver: Resolver,
    *,
    randomness: Randomness,
    timeout_s: float,
    own_names: Collection[str],
    own_addresses: Collection[tuple[str, int]],
) -> Hosts:
    """The hosts to try for a next hop, or why there are none.

    timeout_s:     patience with each question to the DNS.
    own_names:     our host names, lower case: an MX of that name is ourselves (threats L02).
    own_addresses: (address, port) pairs we listen on; a wildcard address stands for the loopback ones.
    Raises ValueError for a maildir or unreachable next hop: they have no hosts.
    """
    if next_hop.kind not in (HopKind.DNS, HopKind.SMART_HOST):
        raise ValueError(f"{next_hop.key} has no hosts")
    connector = next_hop.settings
    search = _Search(
        resolver=resolver,
        randomness=randomness,
        timeout_s=timeout_s,
        port=connector.port,
        any_address=connector.allow_loopback,
        own_names=own_names,
        own_addresses=own_addresses,
    )
    if next_hop.kind is HopKind.SMART_HOST:
        return await _smart_hosts(connector.smart_hosts, search)
    try:
        return await _hosts_of_domain(next_hop.domain, search)
    except WorldFault:
        return Failure(DNS_UNKNOWN)
    except PeerFault:
        return Failure(NO_DOMAIN)


async def _hosts_of_domain(domain: str, search: _Search) -> Hosts:
    if domain.startswith("["):
        return _hosts_of_literal(domain, search)
    exchangers = await search.resolver.mail_exchangers(domain, timeout_s=search.timeout_s)
    if exchangers:
        return await _hosts_of_exchangers(exchangers, search)
    addresses = await search.resolver.addresses(domain, timeout_s=search.timeout_s)
    if addresses:
        return await _hosts_of_exchangers((Mx(0, domain),), search)
    exists = await search.resolver.exists(domain, timeout_s=search.timeout_s)
    return Failure(NO_HOST if exists else NO_DOMAIN)


def _hosts_of_literal(domain: str, search: _Search) -> Hosts:
    ip = literal_address(domain)
    if ip is None:
        return Failure(NO_DOMAIN)
    return _chosen([(domain, _Found((ip,)))], search)


async def _hosts_of_exchangers(exchangers: Sequence[Mx], search: _Search) -> Hosts:
    """exchangers: lowest preference first. A null MX (RFC 7505) stands alone; among others it is ignored."""
    named = [mx for mx in exchangers if mx.host and not is_address(mx.host)]
    if not named:
        null = any(not mx.host for mx in exchangers)
        return Failure(NULL_MX if null else NO_HOST)
    names = [mx.host for mx in _in_order(named, search.randomness)][:HOSTS_LIMIT]
    # Names may be asked for all at once; gather makes tasks, which the usual one MX does not need.
    if len(names) == 1:
        found = [await _addresses_of(names[0], search)]
    else:
        found = await asyncio.gather(*(_addresses_of(name, search) for name in names))
    preference = {mx.host: mx.preference for mx in reversed(named)}
    ours = [preference[n] for n, f in zip(names, found, strict=True) if _is_ourselves(n, f, search)]
    if not ours:
        return _chosen(list(zip(names, found, strict=True)), search)
    # RFC 5321 §5.1: ourselves and everything no better than ourselves is dropped.
    best = min(ours)
    better = [(n, f) for n, f in zip(names, found, strict=True) if preference[n] < best]
    return _chosen(better, search) if better else Failure(LOOP)


def _in_order(exchangers: Sequence[Mx], randomness: Randomness) -> list[Mx]:
    """By preference; equal ones in any order, so that they share the load (RFC 5321 §5.1)."""
    shuffled = list(exchangers)
    if len(shuffled) > 1:
        randomness.shuffle(shuffled)
    return sorted(shuffled, key=lambda mx: mx.preference)


async def _addresses_of(name: str, search: _Search) -> _Found:
    try:
        return _Found(tuple(await search.resolver.addresses(name, timeout_s=search.timeout_s)))
    except WorldFault:
        return _Found(failed=True)
    except PeerFault:  # a name that cannot be asked for has no address
        return _Found()


def _is_ourselves(name: str, found: _Found, search: _Search) -> bool:
    if name in search.own_names:
        return True
    return any(is_own(ip, search.port, search.own_addresses) for ip in found.addresses)


def _chosen(named: Sequence[tuple[str, _Found]], search: _Search) -> Hosts:
    """The addresses we may dial, or why there is none."""
    every = [Host(name, ip, search.port) for name, found in named for ip in found.addresses]
    dialled = [host for host in every if search.any_address or may_be_dialled(host.ip)]
    foreign = [host for host in dialled if not is_own(host.ip, host.port, search.own_addresses)]
    if foreign:
        return Candidates(tuple(foreign[:HOSTS_LIMIT]))
    if any(found.failed for _, found in named):
        return Failure(DNS_UNKNOWN)
    if dialled:
        return Failure(LOOP)
    return Failure(NOT_DIALLED if every else NO_HOST)


async def _smart_hosts(texts: Sequence[str], search: _Search) -> Hosts:
    """In the order of the setting. Whatever is wrong with them is ours to mend: the mail waits, except for a loop."""
    hosts: list[Host] = []
    loops = False
    for text in texts[:HOSTS_LIMIT]:
        smart_host = parse_smart_host(text)
        if smart_host.path:
            hosts.append(Host(smart_host.name, "", 0, smart_host.path))
            continue
        for name, ip in await _addresses_of_smart_host(smart_host, search):
            port = smart_host.port or search.port
            if name in search.own_names or is_own(ip, port, search.own_addresses):
                loops = True
            elif smart_host.is_literal or search.any_address or may_be_dialled(ip):
                hosts.append(Host(name, ip, port))
    if hosts:
        return Candidates(tuple(hosts[:HOSTS_LIMIT]))
    return Failure(LOOP if loops else SMART_HOST_UNKNOWN)


async def _addresses_of_smart_host(smart_host: SmartHost, search: _Search) -> list[tuple[str, str]]:
    """Name and address pairs; empty when there are none or DNS does not answer."""
    if smart_host.is_literal:
        return [(smart_host.name, smart_host.name)]
    names = [smart_host.name]
    if smart_host.by_mx:
        try:
            exchangers = await search.resolver.mail_exchangers(smart_host.name, timeout_s=search.timeout_s)
        except (WorldFault, PeerFault):
            return []
        ordered = [mx.host for mx in _in_order(exchangers, search.randomness) if mx.host]
        names = ordered[:HOSTS_LIMIT] or names
    return [(name, ip) for name in names for ip in (await _addresses_of(name, search)).addresses]
