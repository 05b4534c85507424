"""Joins feeds and list providers: of one configuration, kept while nothing about them changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from gatepost.adapters.counters import MemoryCounters
from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.list_feeds import ListFeeds
from gatepost.adapters.tls import client_pump
from gatepost.adapters.world import SystemClock
from gatepost.config.settings import Settings
from gatepost.facts.provider_desk import ProviderAnswer, ProviderDesk
from gatepost.main.list_book import Quiet
from gatepost.main.places import feed_directory
from gatepost.main.world import NameServers
from gatepost.ports.log import Counters, Log
from gatepost.ports.wire import Dialer
from gatepost.ports.world import Clock
from gatepost.routing.addresses import may_be_dialled

LIST_TABLES: Final = (
    "list_feeds",
    "block_list_providers",
    "allow_list_providers",
    "domain_list_providers",
    "dns_lists",
    "dns",
)


def lists_of(
    settings: Settings,
    resolver: NameServers,
    clock: Clock,
    counters: Counters,
    log: Log,
    before: ListFeeds | None = None,
    *,
    dialer: Dialer,
) -> tuple[ListFeeds, ProviderDesk]:
    """Nothing is read or asked yet. before: of the configuration in force."""
    authorities = {feed.ca_file for feed in settings.list_feeds.values() if feed.url}
    feeds = ListFeeds(
        settings=settings.list_feeds,
        directory=feed_directory(settings),
        clock=clock,
        log=log,
        counters=counters,
        https={ca: HttpsAsker(resolver, dialer, ca_file=ca, is_public=may_be_dialled) for ca in authorities},
    )
    if before is not None:
        feeds.adopt(before)
    providers = ProviderDesk(
        block=settings.block_list_providers,
        allow=settings.allow_list_providers,
        domains=settings.domain_list_providers,
        settings=settings.dns_lists,
        lookup=resolver,
        feeds=feeds,
        monotonic=clock.monotonic,
        log=log,
        counters=counters,
    )
    return feeds, providers


def ask_providers(settings: Settings, address: str, name: str) -> Sequence[ProviderAnswer]:
    """For the command line: every enabled provider, or the one of this name."""
    quiet, clock = Quiet(), SystemClock()

    async def ask() -> Sequence[ProviderAnswer]:
        resolver = DnsResolver(settings.dns)
        feeds, providers = lists_of(
            settings, resolver, clock, MemoryCounters(), quiet, dialer=LoopDialer(client_pump)
        )
        feeds.lazy = True  # nothing is written beside the gateway's own files
        try:
            feeds.read_all()
            return await providers.ask_each(address, [name] if name else ())
        finally:
            resolver.close()

    return asyncio.run(ask())


def start_lists(feeds: ListFeeds, providers: ProviderDesk) -> Iterator[asyncio.Task[None]]:
    """What goes on until it is cancelled."""
    loop = asyncio.get_running_loop()
    if feeds:
        yield loop.create_task(feeds.run())
    if providers:
        yield loop.create_task(providers.run())
