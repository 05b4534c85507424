"""Facts: which list providers list the domains that a mail names, before its headers and in From (threats M07)."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gatepost.config.list_settings import DomainSource
from gatepost.facts.author import Author
from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.helo import HeloForm, helo_form
from gatepost.facts.provider_desk import ProviderAnswer, ProviderDesk
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Stage

NAMES_LIMIT = 5
"""Of one source."""

Named = Mapping[DomainSource, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDomain:
    """One provider that lists a domain."""

    provider: str
    zone: str
    """The zone; of a provider in memory, the feeds it stands in."""
    domain: str
    codes: tuple[str, ...]
    text: str = ""
    weight: float = 1.0
    reply: str = ""
    """The words of the refusal, as the settings have them; "": the agent's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainListings:
    """What all providers said of HELO, the client's confirmed names and the return path, by their priority."""

    name: ClassVar[str] = "domain-listings"

    asked: tuple[str, ...] = ()
    """The domains, each once; ours are not asked about."""
    listed: tuple[ListedDomain, ...] = ()
    unanswered: tuple[str, ...] = ()
    """Providers that did not answer in time, rest or are not trusted: they have no say, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorListings:
    """The same of the domains in From."""

    name: ClassVar[str] = "author-listings"

    asked: tuple[str, ...] = ()
    listed: tuple[ListedDomain, ...] = ()
    unanswered: tuple[str, ...] = ()


def envelope_names(mail: MailView, dns: ReverseDns | None, site: Site) -> Named:
    """The domains that are known before the headers."""
    session = mail.session
    helo = session.helo.lower().removesuffix(".")
    is_name = helo_form(helo, session.origin_ip) is HeloForm.NAME
    named: dict[DomainSource, Sequence[str]] = {
        "helo": (helo,) if is_name else (),
        "reverse-dns": dns.confirmed[:NAMES_LIMIT] if dns is not None else (),
        "sender": () if mail.sender.is_null else (mail.sender.domain,),
    }
    return _of_others(named, site)


def _of_others(named: Named, site: Site) -> Named:
    return {
        source: [
            name for name in names if name not in site.own_names and not site.accepted_domains.holds_own(name)
        ]
        for source, names in named.items()
    }


async def _listings(providers: ProviderDesk, named: Named) -> dict[str, Any]:
    """What both facts are made of."""
    asked = tuple(dict.fromkeys(name for names in named.values() for name in names))
    if not asked:
        return {}
    answers = await providers.ask_domains(named)
    problems = dict.fromkeys(
        f"{answer.provider}: {answer.problem}"[:200] for answer in answers if answer.problem
    )
    return {
        "asked": asked,
        "listed": tuple(_listed(answer, providers) for answer in answers if answer.is_listed),
        "unanswered": tuple(problems),
    }


def _listed(answer: ProviderAnswer, providers: ProviderDesk) -> ListedDomain:
    settings = providers.settings_of(answer.provider, answer.kind)
    return ListedDomain(
        provider=answer.provider,
        zone=answer.zone,
        domain=answer.subject,
        codes=answer.judged.codes,
        text=answer.text,
        weight=settings.weight,
        reply=settings.reply,
    )


async def find_domain_listings(
    mail: MailView, dns: ReverseDns | None, providers: ProviderDesk, site: Site
) -> DomainListings:
    """Ask about the domains of the envelope."""
    return DomainListings(**await _listings(providers, envelope_names(mail, dns, site)))


async def find_author_listings(author: Author | None, providers: ProviderDesk, site: Site) -> AuthorListings:
    """Ask about the domains in From."""
    named: Named = {"author": author.domains[:NAMES_LIMIT] if author is not None else ()}
    return AuthorListings(**await _listings(providers, _of_others(named, site)))


def gatherer(sources: Sources) -> Gathering:
    """Known from MAIL on. Names in reverse DNS are looked up only where a provider is asked about them."""
    providers, site = sources.providers, sources.site
    wants_names = bool(providers and providers.asks_of("reverse-dns"))
    is_asked = bool(providers and providers.asks_of("helo", "reverse-dns", "sender"))

    def find(mail: MailView, known: Known) -> DomainListings | Coroutine[Any, Any, DomainListings]:
        if providers is None or not is_asked:
            return DomainListings()
        return find_domain_listings(mail, known.get(ReverseDns), providers, site)

    return Gathering(
        fact=DomainListings,
        scope=Scope.MAIL,
        earliest=Stage.MAIL,
        find_from=find,
        stands_on=(ReverseDns,) if wants_names else (),
        waits=True,
        of_origin=True,
    )


def author_gatherer(sources: Sources) -> Gathering:
    """Known from END_OF_HEADERS on."""
    providers, site = sources.providers, sources.site
    is_asked = bool(providers and providers.asks_of("author"))

    def find(_mail: MailView, known: Known) -> AuthorListings | Coroutine[Any, Any, AuthorListings]:
        if providers is None or not is_asked:
            return AuthorListings()
        return find_author_listings(known.get(Author), providers, site)

    return Gathering(
        fact=AuthorListings,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_HEADERS,
        find_from=find,
        stands_on=(Author,),
        waits=True,
    )
