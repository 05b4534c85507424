"""Settings of what guards the doors over sessions and workers: reputation, harvest, greylisting, rate limits."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from gatepost.config.agent_table import FilterTable
from gatepost.config.networks import Networks
from gatepost.config.schema import Duration, Table, setting

SHARED_PROVIDERS = (
    "google.com",
    "outlook.com",
    "yahoo.com",
    "icloud.com",
    "apple.com",
    "amazonses.com",
    "gmx.net",
    "web.de",
    "kundenserver.de",
    "t-online.de",
    "protonmail.ch",
    "messagingengine.com",
    "sendgrid.net",
    "mailgun.net",
    "mcsv.net",
    "rsgsv.net",
    "zoho.com",
)
"""Whose outgoing hosts carry the mail of millions: one bad customer must not cost all the others."""


class SenderReputation(FilterTable):
    """[agents.sender-reputation]"""

    block_at: int = setting("Level from which a client is blocked; 10: never", default=7, low=1, high=10)
    block_for_s: Duration = setting(
        "How long its address stays on the block list; 0s: its mail is marked, and nobody is blocked",
        default=86400.0,
        low=0,
        high=30 * 86400,
    )
    minimum_mails: int = setting(
        "Mails and recipients that do not exist, below which a client has no level", default=20, low=5
    )
    half_life_s: Duration = setting(
        "Time in which what was seen of a client counts half", default=172800.0, low=3600, high=90 * 86400
    )
    spam_scl: int = setting("SCL from which a mail counts as spam", default=5, low=1, high=9)
    trap_recipients: tuple[str, ...] = setting(
        "Addresses that nobody writes to who was asked to: each attempt counts against the client, whatever the "
        "answer",
        default=(),
        example='["old.employee@example.com"]',
    )
    exempt_networks: Networks = setting(
        "Clients that are neither counted nor blocked: addresses, networks (CIDR) or ranges a-b", default=()
    )
    exempt_domains: tuple[str, ...] = setting(
        "Providers whose hosts are never blocked, by the name that reverse DNS confirms; "
        '"example.com" is every host below it',
        default=SHARED_PROVIDERS,
    )


class Harvest(Table):
    """[harvest]: clients that guess recipients or passwords, counted over all sessions and workers."""

    enabled: bool = setting("Whether they are counted", default=True)
    half_life_s: Duration = setting(
        "Time in which a guess counts half", default=3600.0, low=60, high=7 * 86400
    )
    slow_from: int = setting(
        "Unknown recipients of a client from which each refusal waits longer: first-delay, doubled for every as many "
        "more",
        default=10,
        low=1,
    )
    first_delay_s: Duration = setting("The first of these delays; 0s: none", default=5.0, low=0, high=60)
    longest_delay_s: Duration = setting("The longest of them", default=60.0, low=0, high=60)
    block_at: int = setting(
        "Unknown recipients of a client from which it is blocked; 0: never", default=100, low=0
    )
    network_block_at: int = setting(
        "The same of a network: an IPv4 /24, an IPv6 /56; 0: never", default=500, low=0
    )
    unknown_share: int = setting(
        "Percent of a client's recipients that must be unknown before it is blocked: a large list has old addresses",
        default=50,
        low=0,
        high=100,
    )
    logins_block_at: int = setting(
        "Failed logins of a client from which it is blocked; 0: never", default=100, low=0
    )
    block_for_s: Duration = setting(
        "How long a client stays on the block list", default=3600.0, low=60, high=30 * 86400
    )
    exempt_networks: Networks = setting(
        "Clients that are neither counted nor blocked: addresses, networks (CIDR) or ranges a-b", default=()
    )

    @model_validator(mode="after")
    def _delays_grow(self) -> Self:
        if self.longest_delay_s < self.first_delay_s:
            raise ValueError("longest-delay is less than first-delay")
        return self


class Greylisting(FilterTable):
    """[agents.greylisting]"""

    enabled: bool = setting("Whether the agent is asked", default=False)
    key: Literal["network-sender-recipient", "network-sender", "network"] = setting(
        "What has to come again: the client's network with sender's domain and recipient, with the sender's domain, "
        "or the network alone",
        default="network-sender-recipient",
    )
    earliest_s: Duration = setting(
        "How long an attempt is refused; greylisting of five minutes costs a sender one retry",
        default=300.0,
        low=1,
        high=6 * 3600,
    )
    latest_s: Duration = setting(
        "How long we wait for it to come again", default=2 * 86400.0, low=3600, high=30 * 86400
    )
    remembered_for_s: Duration = setting(
        "How long what came again passes at once; counted anew by every mail",
        default=36 * 86400.0,
        low=3600,
        high=400 * 86400,
    )
    network_passes: int = setting(
        "Different attempts of a network that came again, after which all of its mail passes; 0: never",
        default=5,
        low=0,
    )
    spf_pass_exempts: bool = setting(
        "A client that the sender's domain lets send (SPF pass, by a term that does not let everybody) is not put off; "
        "each first attempt then waits for the DNS",
        default=False,
    )
    good_reputation_exempts: bool = setting(
        "A client whose sender reputation is known and below 3 is not put off", default=True
    )
    exempt_networks: Networks = setting(
        "Clients that are not put off: addresses, networks (CIDR) or ranges a-b", default=()
    )
    exempt_recipients: tuple[str, ...] = setting(
        'Recipients that are not kept waiting: "user@example.com", or "@example.com" for the whole domain',
        default=(),
    )

    @model_validator(mode="after")
    def _window_is_open(self) -> Self:
        if self.latest_s <= self.earliest_s:
            raise ValueError("latest must be more than earliest: nothing would ever come again in time")
        return self


RatePart = Literal["client", "network", "sender", "sender-domain", "recipient", "recipient-domain", "user"]


class RateLimit(Table):
    """[rate-limits.NAME]: how much of one kind may come in a time, for each client, sender, recipient or user."""

    by: tuple[RatePart, ...] = setting(
        "What is counted together: client (an address, an IPv6 /64), network (an IPv4 /24, an IPv6 /56), sender, "
        "sender-domain, recipient, recipient-domain, user (who authenticated; nobody else is counted then); several: "
        "each combination",
        example='["client", "recipient-domain"]',
    )
    count: Literal["mails", "recipients", "bytes"] = setting(
        "What is counted: mails at MAIL, recipients at RCPT, octets of content at the end of the data",
        default="mails",
    )
    amount: int = setting("How many in `per`, evenly", low=1)
    per_s: Duration = setting("The time for `amount`", default=3600.0, low=1, high=86400)
    burst: int = setting(
        "How many may come at once, out of what was not used before; 0: amount", default=0, low=0
    )
    action: Literal["defer", "reject", "tag"] = setting(
        "defer: 451 4.7.1, try again later; reject: 550 5.7.1; tag: taken with the finding over-rate-limit",
        default="defer",
    )
    connectors: tuple[str, ...] = setting("Receive connectors it holds for; empty: all of them", default=())
    exempt_networks: Networks = setting(
        "Clients it does not hold for: addresses, networks (CIDR) or ranges a-b", default=()
    )

    @model_validator(mode="after")
    def _can_be_counted(self) -> Self:
        if not self.by:
            raise ValueError("by is empty: say what is counted together")
        if len(set(self.by)) != len(self.by):
            raise ValueError("by names something twice")
        if self.count != "recipients" and {"recipient", "recipient-domain"} & set(self.by):
            raise ValueError('by recipient needs count = "recipients"')
        return self
