"""Fact: which list providers list the address that filters judge (threats M07)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.provider_desk import ProviderAnswer, ProviderDesk
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.ports.lists import AddressLists


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedBy:
    """One provider that lists the address."""

    provider: str
    zone: str
    """The zone; of a provider in memory, the feeds it stands in."""
    codes: tuple[str, ...]
    text: str = ""
    weight: float = 1.0
    reply: str = ""
    """The words of the refusal, as the settings have them; "": the agent's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsListings:
    """What all providers said, by their priority."""

    name: ClassVar[str] = "dns-listings"

    address: str
    listed: tuple[ListedBy, ...] = ()
    allowed: tuple[ListedBy, ...] = ()
    unanswered: tuple[str, ...] = ()
    """Providers that did not answer in time, rest or are not trusted: they have no say, and why."""


async def find_dns_listings(
    mail: MailView, providers: ProviderDesk | None, lists: AddressLists | None
) -> DnsListings:
    """Ask all providers; none when the client is on our own allow list, whose mail nobody judges by them."""
    address = mail.session.origin_ip
    if (
        not providers
        or not providers.lists_addresses
        or (lists is not None and lists.find("allow", address) is not None)
    ):
        return DnsListings(address=address)
    answers = await providers.ask(address)
    return DnsListings(
        address=address,
        listed=tuple(_listed(a, providers) for a in answers if a.kind == "block" and a.is_listed),
        allowed=tuple(_listed(a, providers) for a in answers if a.kind == "allow" and a.is_listed),
        unanswered=tuple(f"{a.provider}: {a.problem}"[:200] for a in answers if a.problem),
    )


def _listed(answer: ProviderAnswer, providers: ProviderDesk) -> ListedBy:
    settings = providers.settings_of(answer.provider, answer.kind)
    return ListedBy(
        provider=answer.provider,
        zone=answer.zone,
        codes=answer.judged.codes,
        text=answer.text,
        weight=settings.weight,
        reply=settings.reply,
    )


def gatherer(sources: Sources) -> Gathering:
    """Asked at CONNECT, answered when somebody needs it."""

    async def find(mail: MailView) -> DnsListings:
        return await find_dns_listings(mail, sources.providers, sources.lists)

    return Gathering(
        fact=DnsListings,
        scope=Scope.CONNECTION,
        earliest=Stage.CONNECT,
        find=find,
        waits=True,
        of_origin=True,
    )
