"""The settings of how mail leaves, whatever the connector: how much at once, how soon again, what first."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Size, Table, setting, size


class Destination(Table):
    """[destinations."example.net"]: limits of a domain sent to by MX. "*.example.net": its subdomains; "*": others."""

    connections: int = setting(
        "Most connections to the domain, shared by the workers that serve it; 0: as its send connector says",
        default=0,
        low=0,
        high=1000,
    )
    messages_per_minute: int = setting(
        "Most messages a minute to the domain; 0: as its send connector says", default=0, low=0
    )


class Delivery(Table):
    """[delivery]: how mail leaves."""

    connections: int = setting(
        "Most connections of one worker to all next hops together; beyond them next hops take turns",
        default=500,
        low=1,
        high=20000,
    )
    glitch_retries: int = setting(
        "How often a next hop that could not be reached, or that broke off before it had the content, is tried again "
        "soon, before the waits of [queue] begin",
        default=2,
        low=0,
        high=15,
    )
    priority_from: Literal["nobody", "authenticated", "everyone"] = setting(
        "Whose X-Priority, Importance, Priority and Precedence fields are heeded: authenticated: of users and internal "
        "clients",
        default="authenticated",
    )
    priority_lead_s: Duration = setting(
        "How much older mail of high priority counts in its next hop's queue, and mail of low priority younger; mass "
        "mail twice that; 0s: by age only",
        default=3600.0,
        low=0,
        high=604800,
    )
    high_priority_size_bytes: Size = setting(
        "Larger mail of high priority counts as normal", default=size(250, "KiB"), low=0
    )
    glitch_wait_s: Duration = setting(
        "The wait before each of glitch-retries; queue.first-retry where that is shorter", default=60.0, low=1
    )
