"""The return path that a next hop sees, while queue and records keep the one the mail came with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from tests.delivery.fakes import CONTENT, mail_to

from gatepost.config.settings import SendConnector
from gatepost.delivery.attempts import Attempts
from gatepost.delivery.outcome import Attempt
from gatepost.lab.zone import ZoneDns
from gatepost.main.return_paths import spf_asker
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import Address
from gatepost.protocol.domain_entries import domain_entries
from gatepost.queue.active import Parcel
from gatepost.routing.next_hop import HopKind
from gatepost.standards.return_paths import ReturnPaths
from gatepost.standards.signed_paths import DAY_S, Srs, Tags

KEY = b"a key of this gateway"
PATHS = ReturnPaths(
    accepted=AcceptedDomains({"gate.test": DomainType.AUTHORITATIVE}),
    srs=Srs(keys=(KEY,), domain="gate.test", max_age_s=21 * DAY_S),
    tags=Tags(keys=(KEY,), max_age_s=7 * DAY_S),
)


class Carried:
    """A courier that notes what it is given."""

    def __init__(self) -> None:
        self.senders: list[Address] = []

    async def line_to(self, _next_hop: Any) -> None:
        return None

    async def carry(self, parcel: Parcel, _content: Any, _line: Any, _taken: Any) -> tuple[Attempt, None]:
        self.senders.append(parcel.mail.sender)
        return Attempt(outcomes=()), None


def way(srs: str = "forwarded") -> SendConnector:
    return SendConnector.model_validate({"address-spaces": ("*",), "srs": srs})


@dataclass
class Hop:
    settings: SendConnector = field(default_factory=way)
    kind: HopKind = HopKind.DNS


@pytest.mark.threat("L14")
@pytest.mark.parametrize(
    ("sender", "to", "paths", "start"),
    [
        (Address("ann", "client.test"), "eve@out.test", PATHS, "SRS0="),
        (Address("bob", "gate.test"), "eve@out.test", PATHS, "prvs="),
        (Address("ann", "client.test"), "bob@gate.test", PATHS, "ann"),
        (Address("ann", "client.test"), "eve@out.test", None, "ann"),
    ],
)
def test_the_return_path_at_the_next_hop(
    sender: Address, to: str, paths: ReturnPaths | None, start: str
) -> None:
    courier = Carried()
    attempts = Attempts(
        store=cast(Any, None), courier=cast(Any, courier), maildir=cast(Any, None), return_paths=paths
    )
    mail = replace(mail_to(to), sender=sender)
    parcel = Parcel(mail=mail, next_hop="x", recipients=mail.recipients, content=CONTENT)
    for _ in range(2):
        asyncio.run(attempts.make(parcel, cast(Any, Hop()), None))
    assert courier.senders[0].local.startswith(start)
    assert courier.senders[0] == courier.senders[1]  # greylisting hosts see the same at every attempt
    assert parcel.mail.sender == sender


STRANGER = Address("ann", "client.test")
RULES = [
    ("forwarded mail is rewritten", "forwarded", "eve@out.test", {}, True),
    ("mail for ourselves is not", "forwarded", "bob@gate.test", {}, False),
    ("unless all that goes this way is", "always", "bob@gate.test", {}, True),
    ("a way may leave it alone", "never", "eve@out.test", {}, False),
    ("an exempt domain is left alone", "always", "eve@out.test", {"exempt": ("client.test",)}, False),
    ("so are those below one", "always", "eve@out.test", {"exempt": ("*.test",)}, False),
    ("another is not", "always", "eve@out.test", {"exempt": ("*.client.test",)}, True),
    (
        "a domain with SPF is rewritten",
        "forwarded",
        "eve@out.test",
        {"only_with_spf": True, "spf": True},
        True,
    ),
    ("a domain without is not", "forwarded", "eve@out.test", {"only_with_spf": True, "spf": False}, False),
    ("nobody asks where nobody wants to know", "forwarded", "eve@out.test", {"spf": False}, True),
]


@pytest.mark.parametrize(
    ("rule", "to", "more", "rewritten"), [r[1:] for r in RULES], ids=[r[0] for r in RULES]
)
def test_whose_return_path_is_rewritten(rule: str, to: str, more: dict[str, Any], rewritten: bool) -> None:
    paths = replace(
        PATHS, only_with_spf=more.get("only_with_spf", False), exempt=domain_entries(more.get("exempt", ()))
    )

    async def publishes_spf(domain: str) -> bool:
        assert domain == "client.test"
        return bool(more["spf"])

    courier = Carried()
    attempts = Attempts(
        store=cast(Any, None),
        courier=cast(Any, courier),
        maildir=cast(Any, None),
        return_paths=paths,
        publishes_spf=publishes_spf,
    )
    mail = replace(mail_to(to), sender=STRANGER)
    parcel = Parcel(mail=mail, next_hop="x", recipients=mail.recipients, content=CONTENT)
    asyncio.run(attempts.make(parcel, cast(Any, Hop(way(rule))), None))
    assert (courier.senders[0] != STRANGER) == rewritten


@pytest.mark.parametrize(
    ("records", "published"),
    [
        ('client.test TXT "v=spf1 -all"', True),
        ('client.test TXT "V=SPF1"', True),
        ('client.test TXT "v=spf10 -all"', False),
        ('client.test TXT "something else"', False),
        ("", False),
        (None, True),
    ],
)
def test_who_publishes_spf_a_silent_dns_says_not_no(records: str | None, published: bool) -> None:
    zone = ZoneDns(records or "", silent=() if records is not None else ("client.test",))

    async def ask() -> bool:
        return await spf_asker(zone, 1.0)("client.test")

    assert asyncio.run(ask()) is published
