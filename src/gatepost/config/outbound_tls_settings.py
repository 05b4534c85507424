"""The settings of what other domains publish about the TLS of their mail servers, and of what we tell them about it."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Table, setting


class OutboundTlsDomain(Table):
    """[outbound-tls.domains."example.com"]: what counts for one domain. "*.example.com": its subdomains."""

    mta_sts: Literal["follow", "off", "enforce"] = setting(
        "follow: as the domain publishes; off: its policy is not looked at; enforce: the servers of mx here, with a "
        "valid certificate each, whatever it publishes",
        default="follow",
    )
    mx: tuple[str, ...] = setting(
        'For mta-sts = enforce: the mail servers, "mail.example.com" or "*.example.com" (one label)',
        default=(),
    )
    dane: Literal["inherit", "off", "required"] = setting(
        "inherit: as outbound-tls.dane; required: mail waits unless the domain's server, or the smart host of this "
        "name, is proven by TLSA records",
        default="inherit",
    )


class TlsReports(Table):
    """[outbound-tls.reports]: what we tell other domains of how TLS with their mail servers went (RFC 8460)."""

    sender: str = setting(
        "Address that reports are sent from, once a day to each domain that asks for them; empty: none are, and "
        "nothing is counted",
        default="",
    )
    organization: str = setting("Who we are, in reports; empty: server.hostname", default="")
    contact: str = setting("Whom to ask about a report; empty: sender", default="")
    domains: int = setting(
        "Most domains of one day that a worker counts for", default=5000, low=1, high=100_000
    )


class OutboundTls(Table):
    """[outbound-tls]: MTA-STS (RFC 8461) for mail that goes by MX, DANE (RFC 7672) for it and for smart hosts."""

    mta_sts: bool = setting("Look for MTA-STS policies, and do what they say", default=True)
    mta_sts_timeout_s: Duration = setting(
        "Patience with the server of a policy; mail for its domain waits meanwhile",
        default=10.0,
        low=1,
        high=60,
    )
    mta_sts_entries: int = setting(
        "Most domains of which a worker remembers a policy, or that there is none",
        default=5000,
        low=10,
        high=100_000,
    )
    mta_sts_longest_age_s: Duration = setting(
        "A policy is remembered as long as it says, and no longer than this", default=31_557_600.0, low=3600
    )
    mta_sts_ca_file: str = setting(
        "PEM file with the authorities that vouch for servers of policies; empty: those of the system",
        default="",
    )
    dane: Literal["auto", "off", "required"] = setting(
        "auto: TLSA records count when the resolver is shown to validate; required: without such a resolver mail "
        "that goes by MX, or to a smart host with a name, waits; off: not asked for",
        default="auto",
    )
    dane_probe: str = setting(
        "A signed domain whose SOA record the resolver must call authentic before its word counts",
        default="org",
    )
    reports: TlsReports = setting("What we tell other domains", default=TlsReports())
    domains: dict[str, OutboundTlsDomain] = setting("What counts for single domains", default={})
