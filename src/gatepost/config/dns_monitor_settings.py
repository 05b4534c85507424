"""[dns-monitor]: what of our own domains is looked at, how often."""

from __future__ import annotations

from gatepost.config.schema import Duration, Table, setting


class DnsMonitor(Table):
    """[dns-monitor]: the records of own domains are looked at, and changes and mistakes told."""

    enabled: bool = setting("Look at the records of every authoritative accepted domain", default=True)
    domains: tuple[str, ...] = setting("Domains to look at besides, such as those only sent from", default=())
    interval_s: Duration = setting(
        "Time between two looks at a domain", default=86400.0, low=3600, high=2592000
    )
    addresses: tuple[str, ...] = setting(
        "Our public addresses that mail is sent from: whose reverse names are looked at, and that SPF should allow",
        default=(),
    )
    dkim_selectors: tuple[str, ...] = setting(
        "DKIM selectors that every domain should have a key at, besides those of dkim-signing", default=()
    )
