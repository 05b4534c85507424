"""The return path that a next hop sees, while queue and records keep the one the mail came with."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.delivery.fakes import CONTENT, mail_to

from gatepost.delivery.attempts import Attempts
from gatepost.delivery.outcome import Attempt
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import Address
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


class Hop:
    kind = HopKind.DNS


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
