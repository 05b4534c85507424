"""What lists and providers must not be: without a source, with answers no zone gives, with feeds nobody has."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from gatepost.config.errors import Complaint, closest
from gatepost.config.files import authorities_problem, open_to_others, readable_problem
from gatepost.config.list_settings import ListFeed, Provider
from gatepost.config.networks import name_problem
from gatepost.config.settings import Settings
from gatepost.model.https_url import parse_https_url
from gatepost.model.list_answer import REPLY_LIMIT_CHARACTERS, Match, reply_text

PROVIDERS_LIMIT = 64


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
    if settings.dns_lists.rest_s > settings.dns_lists.longest_rest_s:
        yield Complaint(at=("dns-lists", "rest"), message="is longer than longest-rest")


def _feed(at: tuple[str, str], feed: ListFeed) -> Iterator[Complaint]:
    if bool(feed.file) == bool(feed.url):
        yield Complaint(at=at, message="has one source: either file or url")
    if feed.url:
        try:
            parse_https_url(feed.url)
        except ValueError as error:
            yield Complaint(at=(*at, "url"), message=f"{feed.url!r} {error}")
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
    if feed.format in ("dnset", "domains") and feed.counts_as != "provider":
        yield Complaint(
            at=(*at, "counts-as"),
            message=f"a list of domains ({feed.format}) cannot be on a list of addresses",
            accepted=("provider",),
        )


def _provider(at: tuple[str, str], provider: Provider, feeds: Mapping[str, ListFeed]) -> Iterator[Complaint]:
    if bool(provider.zone) == bool(provider.feeds):
        yield Complaint(at=at, message="is asked in one way: either zone or feeds")
    if provider.zone and (problem := name_problem(provider.zone)):
        yield Complaint(at=(*at, "zone"), message=f"{provider.zone!r}: {problem}")
    for number, name in enumerate(provider.feeds):
        feed = feeds.get(name)
        if feed is None:
            yield Complaint(
                at=(*at, "feeds", number),
                message=f"there is no list-feeds.{name[:100]}",
                accepted=tuple(feeds),
                did_you_mean=closest(name, feeds),
            )
        elif feed.counts_as != "provider":
            yield Complaint(
                at=(*at, "feeds", number),
                message=f"list-feeds.{name} counts as {feed.counts_as}: a provider's feed has counts-as = provider",
            )
    try:
        Match.of(provider.answers, provider.bitmask)
    except ValueError as error:
        yield Complaint(at=(*at, "answers" if provider.answers else "bitmask"), message=str(error))
    if len(provider.reply) > REPLY_LIMIT_CHARACTERS or not (
        provider.reply.isprintable() and provider.reply.isascii()
    ):
        yield Complaint(
            at=(*at, "reply"), message=f"is at most {REPLY_LIMIT_CHARACTERS} printable ASCII characters"
        )
    else:
        try:
            reply_text(provider.reply)
        except ValueError as error:
            yield Complaint(at=(*at, "reply"), message=str(error))
    if not provider.ip_versions:
        yield Complaint(
            at=(*at, "ip-versions"), message="is empty: it would never be asked", accepted=("4", "6")
        )
