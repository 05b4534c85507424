"""A whole conversation through a relay of ours: the lists and SPF judge where the mail came from."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest
from tests.intake.house import open_house, settings_with
from tests.intake.test_through_relays import sent
from tests.standards.zones import texts

from gatepost.adapters.address_lists import SharedAddressLists
from gatepost.agents.greylisting import Greylisting
from gatepost.agents.ip_lists import IpLists
from gatepost.agents.spf import Spf
from gatepost.config.schema import frozen
from gatepost.model.queued import KeepRecords
from gatepost.ports.memory_shared import MemoryShared

ORIGIN, RELAY = "203.0.113.9", "127.0.0.1"
ADDED = 1_000_000_000.0


def played(record: str = "v=spf1 -all", *, blocked: Sequence[str] = (), relays: str = "127.0.0.0/8") -> Any:
    """The last reply to one mail of a@b.example, and the octets of all records."""

    async def play() -> tuple[bytes, bytes]:
        shared = MemoryShared(lambda: ADDED)
        lists = SharedAddressLists(shared, lambda: ADDED)
        for address in blocked:
            lists.add("block", address, expires_at=math.inf, author="ann", comment="", by_person=True)
        agents: dict[str, Any] = {
            "ip-lists": IpLists.settings_type(),
            "greylisting": Greylisting.settings_type.model_validate(frozen({"enabled": True})),
            "spf": Spf.settings_type.model_validate({"reject-on-fail": True}),
        }
        server = {"hostname": "mx.ours.example", "internal-relays": [relays]}
        async with open_house(
            settings_with(server=server),
            agents=agents,
            shared=shared,
            lists=lists,
            lookup=texts({"b.example": record}),
        ) as house:
            reply = (await sent(house))[-1]
            kept = [c for changes in house.store.transactions for c in changes if isinstance(c, KeepRecords)]
            return reply, b"".join(record.data for one in kept for record in one.records)

    return asyncio.run(play())


@pytest.mark.threat("Q08")
def test_an_origin_on_the_block_list_is_refused_at_the_end_of_the_headers() -> None:
    reply, records = played(blocked=[ORIGIN])
    assert reply.startswith(b"550 5.7.1 Your address 203.0.113.9 is on a block list")
    assert b"203.0.113.9 is on the block list" in records


@pytest.mark.threat("Q08", "Q09")
def test_a_blocked_relay_is_no_blocked_origin() -> None:
    assert played("v=spf1 ip4:203.0.113.9 -all", blocked=[RELAY])[0].startswith(b"250")


@pytest.mark.threat("Q08", "J01")
@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (f"v=spf1 ip4:{ORIGIN} -all", b"250"),
        (f"v=spf1 ip4:{RELAY} -all", b"550 5.7.23 203.0.113.9 may not send mail for b.example"),
    ],
    ids=["the origin may send", "the relay may send"],
)
def test_spf_is_judged_by_the_origin(record: str, expected: bytes) -> None:
    assert played(record)[0].startswith(expected)
