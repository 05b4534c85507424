"""[agents.dmarc]: what a failed DMARC check means here, and what excuses it."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from gatepost.config.agent_table import FilterTable
from gatepost.config.networks import Networks, name_problem
from gatepost.config.schema import setting


class DmarcTable(FilterTable):
    """[agents.dmarc]"""

    honour_policy: Literal["off", "quarantine", "as-published"] = setting(
        "What a failed check may come to besides its finding: off: nothing; quarantine: mail of domains "
        "that ask for quarantine or reject is kept for a person; as-published: it is kept or refused "
        "(550 5.7.26) as its domain asks. t=y takes one step less",
        default="off",
    )
    when_dns_fails: Literal["accept", "defer"] = setting(
        "A check that the DNS left open (temperror): take the mail as if it had no policy, or answer 451 "
        "4.4.3; it is never a pass",
        default="accept",
    )
    trusted_forwarders: Networks = setting(
        "Clients that pass on others' mail, whose failed checks are excused: addresses, networks (CIDR) or "
        "ranges a-b",
        default=(),
        example='["192.0.2.1", "198.51.100.0/24"]',
    )
    mailing_lists: tuple[str, ...] = setting(
        "Mailing lists by the domain of their return path, which SPF or DKIM must have proved: failed "
        "checks of what they pass on are excused",
        default=(),
        example='["lists.example.org"]',
    )
    trust_arc: bool = setting(
        "Whether a failed check is excused when a sealer whom you trust says that the mail passed there",
        default=True,
    )

    @field_validator("mailing_lists")
    @classmethod
    def _are_domains(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return checked_domains(entries)


def checked_domains(entries: tuple[str, ...]) -> tuple[str, ...]:
    """The domains of a list, lower case. Raises ValueError for what is none."""
    for entry in entries:
        if problem := name_problem(entry):
            raise ValueError(f"{entry[:320]!r}: {problem}")
    return tuple(entry.lower().removesuffix(".") for entry in entries)
