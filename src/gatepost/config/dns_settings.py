"""[dns]: who answers our questions, and what of it is believed."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Table, setting


class Dns(Table):
    """[dns]: who answers our questions."""

    servers: tuple[str, ...] = setting(
        'Addresses of resolvers, "127.0.0.1" or "127.0.0.1:5353"; empty: those of the system',
        default=(),
    )
    timeout_s: Duration = setting(
        "Patience with one question, all servers and retries", default=5.0, low=0.1, high=60
    )
    cache_entries: int = setting("Most answers kept", default=50000, low=0)
    trust_ad: Literal["loopback", "yes", "no"] = setting(
        "Which servers are believed when they say that they have validated an answer by DNSSEC (the AD bit): "
        "those on loopback addresses; all, because the way to them cannot be tampered with; none",
        default="loopback",
    )
