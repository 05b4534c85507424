"""Fact: the names of the origin's address, and which of them leads back to it (threats M08)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar, Final

from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.ports.resolver import Resolver

NAMES_LIMIT: Final = 10
HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseDns:
    """What the reverse zone says about the client, checked against the forward zone."""

    name: ClassVar[str] = "reverse-dns"

    address: str
    names: tuple[str, ...] = ()
    """PTR names that are host names, at most ten."""
    confirmed: tuple[str, ...] = ()
    """Those whose own addresses include the client's (forward-confirmed)."""
    unanswered: tuple[str, ...] = ()
    """Those whose addresses could not be found out: neither confirmed nor not."""


async def find_reverse_dns(mail: MailView, resolver: Resolver, *, timeout_s: float) -> ReverseDns:
    """Ask for the names, then for the addresses of each. Raises WorldFault when the names are unknown.

    A trusted peer that told us the client (XCLIENT) has looked up its name, too: that is believed.
    """
    address, told = mail.session.origin_ip, mail.session.client_name
    if told is not None and address == mail.session.client_ip:
        found = (told,) if HOST_NAME.fullmatch(told) else ()
        return ReverseDns(address=address, names=found, confirmed=found)
    pointers = await resolver.names(address, timeout_s=timeout_s)
    names = tuple(name for name in pointers[:NAMES_LIMIT] if HOST_NAME.fullmatch(name))
    leads_back = await asyncio.gather(*(_leads_to(address, name, resolver, timeout_s) for name in names))
    answers = tuple(zip(names, leads_back, strict=True))
    return ReverseDns(
        address=address,
        names=names,
        confirmed=tuple(name for name, answer in answers if answer is True),
        unanswered=tuple(name for name, answer in answers if answer is None),
    )


def iprev_result(fact: ReverseDns | None) -> str:
    """The result of the method "iprev" in Authentication-Results (RFC 8601 §2.7.3). None: the fact is unknown."""
    if fact is None:
        return "temperror"
    if fact.confirmed:
        return "pass"
    if fact.unanswered:
        return "temperror"
    return "fail" if fact.names else "permerror"


async def _leads_to(address: str, name: str, resolver: Resolver, timeout_s: float) -> bool | None:
    """None when the DNS did not say."""
    try:
        found = await resolver.addresses(name, timeout_s=timeout_s)
    except PeerFault:
        return False
    except WorldFault:
        return None
    wanted = ip_address(address)
    return any(ip_address(candidate) == wanted for candidate in found)


def gatherer(sources: Sources) -> Gathering:
    """Known from CONNECT on."""

    async def find(mail: MailView) -> ReverseDns:
        return await find_reverse_dns(mail, sources.resolver, timeout_s=sources.lookup_timeout_s)

    return Gathering(
        fact=ReverseDns,
        scope=Scope.CONNECTION,
        earliest=Stage.CONNECT,
        find=find,
        waits=True,
        of_origin=True,
    )
