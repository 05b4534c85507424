"""Questions to the DNS from the command line, in an event loop of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from gatepost.adapters.dns import DnsResolver
from gatepost.config.settings import Settings
from gatepost.lab.zone import ZoneDns
from gatepost.ports.resolver import Lookup

T = TypeVar("T")


def ask_dns(settings: Settings, asker: Callable[[DnsResolver], Coroutine[Any, Any, T]]) -> T:
    """What the asker finds out from the configured name servers. Raises WorldFault and PeerFault as it does."""

    async def run() -> T:
        resolver = DnsResolver(settings.dns)
        try:
            return await asker(resolver)
        finally:
            resolver.close()

    return asyncio.run(run())


def ask_zone(text: str, asker: Callable[[Lookup], Coroutine[Any, Any, T]]) -> T:
    """As ask_dns, of the records in a text. Raises ValueError for a line that is no record."""
    return asyncio.run(asker(ZoneDns(text)))
