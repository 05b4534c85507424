"""What lists and providers must not be: without a source, with answers no zone gives, with feeds nobody has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from gatepost.config.errors import Complaint, closest
from gatepost.config.files import authorities_problem, open_to_others, readable_problem
from gatepost.config.list_settings import DomainProvider, DomainSource, ListFeed, ListProvider, Provider
from gatepost.config.networks import is_internal_ip, is_ip, name_problem, service_problem
from gatepost.config.settings import Settings
from gatepost.model.https_url import parse_https_url
from gatepost.model.list_answer import (
    NAME_PLACEHOLDERS,
    PLACEHOLDERS,
    REPLY_LIMIT_CHARACTERS,
    Match,
    reply_text,
)

PROVIDERS_LIMIT = 64
_NAME_FORMATS = ("dnset", "domains")


def check_lists(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in feeds and providers."""
    for name, feed in settings.list_feeds.items():
        yield from _feed(("list-feeds", name), feed)
    for table, providers in (
        ("block-list-providers", settings.block_list_providers),
        ("allow-list-providers", settings.allow_list_providers),
    ):
        if len(providers) > PROVIDERS_LIMIT:
            yield Complaint(at=(table,), message=f"has more than {PROVIDERS_LIMIT} providers")
        for name, provider in providers.items():
            yield from _provider((table, name), provider, settings.list_feeds)
    domain_lists = settings.domain_list_providers
    if len(domain_lists) > PROVIDERS_LIMIT:
        yield Complaint(at=("domain-list-providers",), message=f"has more than {PROVIDERS_LIMIT} providers")
    for name, one in domain_lists.items():
        yield from _domain_provider(("domain-list-providers", name), one, settings.list_feeds)
    if settings.dns_lists.rest_s > settings.dns_lists.longest_rest_s:
        yield Complaint(at=("dns-lists", "rest"), message="is longer than longest-rest")


def _feed(at: tuple[str, str], feed: ListFeed) -> Iterator[Complaint]:
    if bool(feed.file) == bool(feed.url):
        yield Complaint(at=at, message="has one source: either file or url")
    if feed.url:
        yield from _url(at, feed)
    if feed.file and not os.path.isabs(feed.file):
        yield Complaint(at=(*at, "file"), message="must be an absolute path")
    elif feed.file and (problem := readable_problem(feed.file)):
        yield Complaint(
            at=(*at, "file"),
            message=f"{feed.file} {problem}; it lists nobody until it can be read",
            is_warning=True,
        )
    elif feed.file and (problem := open_to_others(feed.file)):
        yield Complaint(at=(*at, "file"), message=f"{feed.file} {problem}")
    if feed.ca_file and (problem := authorities_problem(feed.ca_file)):
        yield Complaint(at=(*at, "ca-file"), message=f"{feed.ca_file} {problem}")
    if feed.format in _NAME_FORMATS and feed.counts_as != "provider":
        yield Complaint(
            at=(*at, "counts-as"),
            message=f"a list of domains ({feed.format}) cannot be on a list of addresses",
            accepted=("provider",),
        )


def _url(at: tuple[str, str], feed: ListFeed) -> Iterator[Complaint]:
    try:
        host = parse_https_url(feed.url).host
    except ValueError as error:
        yield Complaint(at=(*at, "url"), message=f"{feed.url!r} {error}")
        return
    if problem := service_problem(host):
        yield Complaint(at=(*at, "url"), message=problem)
    elif is_ip(host) and is_internal_ip(host) and not feed.allow_internal:
        yield Complaint(
            at=(*at, "url"),
            message=f"{host} is in a network of your own: set allow-internal when it is meant",
        )


def _provider(at: tuple[str, str], provider: Provider, feeds: Mapping[str, ListFeed]) -> Iterator[Complaint]:
    yield from _any_provider(at, provider, feeds, lists_names=False)
    yield from _words(at, provider.reply, PLACEHOLDERS)
    if not provider.ip_versions:
        yield Complaint(
            at=(*at, "ip-versions"), message="is empty: it would never be asked", accepted=("4", "6")
        )


def _domain_provider(
    at: tuple[str, str], provider: DomainProvider, feeds: Mapping[str, ListFeed]
) -> Iterator[Complaint]:
    yield from _any_provider(at, provider, feeds, lists_names=True)
    yield from _words(at, provider.reply, NAME_PLACEHOLDERS)
    if provider.test_name and (problem := name_problem(provider.test_name)):
        yield Complaint(at=(*at, "test-name"), message=f"{provider.test_name!r}: {problem}")
    if not provider.asked:
        yield Complaint(
            at=(*at, "asked"), message="is empty: it would never be asked", accepted=get_args(DomainSource)
        )


def _any_provider(
    at: tuple[str, str], provider: ListProvider, feeds: Mapping[str, ListFeed], *, lists_names: bool
) -> Iterator[Complaint]:
    if bool(provider.zone) == bool(provider.feeds):
        yield Complaint(at=at, message="is asked in one way: either zone or feeds")
    if provider.zone and (problem := name_problem(provider.zone)):
        yield Complaint(at=(*at, "zone"), message=f"{provider.zone!r}: {problem}")
    for number, name in enumerate(provider.feeds):
        where, feed = (*at, "feeds", number), feeds.get(name)
        if feed is None:
            yield Complaint(
                at=where,
                message=f"there is no list-feeds.{name[:100]}",
                accepted=tuple(feeds),
                did_you_mean=closest(name, feeds),
            )
        elif feed.counts_as != "provider":
            yield Complaint(
                at=where,
                message=f"list-feeds.{name} counts as {feed.counts_as}: a provider's feed has counts-as = provider",
            )
        elif (feed.format in _NAME_FORMATS) is not lists_names:
            what = ("addresses", "domains") if lists_names else ("domains", "addresses")
            yield Complaint(
                at=where, message=f"list-feeds.{name} ({feed.format}) lists {what[0]}; here belong {what[1]}"
            )
    try:
        Match.of(provider.answers, provider.bitmask)
    except ValueError as error:
        yield Complaint(at=(*at, "answers" if provider.answers else "bitmask"), message=str(error))


def _words(at: tuple[str, str], reply: str, placeholders: Sequence[str]) -> Iterator[Complaint]:
    if len(reply) > REPLY_LIMIT_CHARACTERS or not (reply.isprintable() and reply.isascii()):
        yield Complaint(
            at=(*at, "reply"), message=f"is at most {REPLY_LIMIT_CHARACTERS} printable ASCII characters"
        )
        return
    try:
        reply_text(reply, placeholders)
    except ValueError as error:
        yield Complaint(at=(*at, "reply"), message=str(error))
