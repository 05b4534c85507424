"""The settings of SPF's evaluation: whose mail is checked, and what one check may cost."""

from __future__ import annotations

from gatepost.config.networks import Networks
from gatepost.config.schema import Duration, Table, setting


class Spf(Table):
    """[spf]: how SPF and Sender ID records are evaluated; what follows is said in the agents' tables."""

    timeout_s: Duration = setting(
        "Patience with one check; keep it below policy.deadline, so that a late answer is a temperror",
        default=15.0,
        low=0.1,
        high=120,
    )
    void_terms: int = setting(
        "Most terms of a record whose questions find nothing; one more is a permerror",
        default=2,
        low=0,
        high=10,
    )
    check_helo: bool = setting(
        "Check the name in EHLO, too, beside the return path; without a return path it is checked always",
        default=True,
    )
    unchecked_networks: Networks = setting(
        "Clients that are not checked: their result is none. Addresses, networks and ranges",
        default=("127.0.0.0/8", "::1"),
        example='["127.0.0.0/8", "::1", "10.0.0.0/8"]',
    )
