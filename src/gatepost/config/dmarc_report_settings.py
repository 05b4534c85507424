"""The settings of the DMARC reports that we send to other domains."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Size, Table, setting, size


class DmarcReports(Table):
    """[dmarc-reports]: what we tell other domains of mail that came in their name (RFC 9990)."""

    sender: str = setting(
        "Address that reports are sent from, once a day to each domain that asks for them; empty: none are, and "
        "nothing is counted",
        default="",
    )
    organization: str = setting("Who we are, in reports; empty: server.hostname", default="")
    contact: str = setting("How to reach us beside sender, in reports: a URL, a phone number", default="")
    domains: int = setting(
        "Most domains of one day that a worker counts for", default=5000, low=1, high=100_000
    )
    rows: int = setting(
        "Most rows (client, sender and results alike) of one day that a worker keeps; mails of others are only "
        "in the sum",
        default=10_000,
        low=100,
        high=20_000,
    )
    size_limit_bytes: Size = setting(
        "Largest mail with a report; rows of the fewest mails are left out to keep it, or what its reader asks for",
        default=size(10, "MiB"),
        low=10_000,
        high=50 << 20,
    )
    failure_reports: Literal["off", "headers", "whole"] = setting(
        "Reports of single mails that failed (RFC 9991), to domains that ask for them by ruf: headers: with the mail's "
        "header fields but those that name recipients; whole: with small mails as they came. They tell strangers "
        "about your mail",
        default="off",
    )
    failure_reports_per_domain: int = setting(
        "Most failure reports about one domain in a day (UTC), of all workers", default=20, low=1, high=10_000
    )
    failure_reports_per_day: int = setting(
        "Most failure reports in a day (UTC), of all workers", default=500, low=1, high=100_000
    )
    address_rest_s: Duration = setting(
        "How long an address is left alone that refused a report, or whose domain does not want reports about "
        "others",
        default=7 * 86400.0,
        low=3600.0,
        high=90 * 86400.0,
    )
