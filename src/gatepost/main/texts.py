"""TXT records for the command line: a resolver for the length of one question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gatepost.adapters.dns import DnsResolver
from gatepost.config.settings import Settings
from gatepost.facts.signed_content import Keys, find_keys


def texts(settings: Settings, names: Sequence[str]) -> Keys:
    """What the configured name servers say of each name, or that they do not answer."""
    return asyncio.run(_ask(settings, names))


async def _ask(settings: Settings, names: Sequence[str]) -> Keys:
    resolver = DnsResolver(settings.dns)
    try:
        return await find_keys(names, resolver, timeout_s=settings.dns.timeout_s)
    finally:
        resolver.close()
