"""Greylisting in sessions: what is put off is remembered only when nobody else refused it."""

from __future__ import annotations

import asyncio
import math

from tests.intake.clients import Client
from tests.intake.house import House, open_house, settings_with
from tests.intake.test_guard import MAIL, NOW

from gatepost.adapters.address_lists import SharedAddressLists
from gatepost.agents.greylisting import Greylisting
from gatepost.config.schema import frozen
from gatepost.model.greylist import ATTEMPTS_SPACE, STATISTICS_KEY, STATISTICS_SPACE, Came
from gatepost.ports.memory_shared import MemoryShared


async def attempt(house: House, recipient: bytes) -> str:
    client = await Client.to(house)
    await client.reply()
    for line in (b"EHLO peer.example", MAIL):
        await client.ask(line)
    said = await client.ask(b"RCPT TO:<%s>" % recipient)
    await client.close()
    return said


def test_a_first_attempt_comes_again() -> None:
    async def run() -> None:
        shared = MemoryShared(lambda: NOW)
        table = Greylisting.settings_type.model_validate(frozen({"enabled": True, "earliest": "60s"}))
        async with open_house(
            settings_with(),
            agents={"greylisting": table},
            shared=shared,
            lists=SharedAddressLists(shared, lambda: NOW),
        ) as house:
            assert (await attempt(house, b"nobody@ours.example")).startswith("550 5.1.1")
            assert (await attempt(house, b"x@elsewhere.example")).startswith("550")
            assert shared.items(ATTEMPTS_SPACE) == []
            for _ in range(2):
                assert (await attempt(house, b"bob@ours.example")).startswith("451 4.7.1 Greylisted")
            assert len(shared.items(ATTEMPTS_SPACE)) == 1
            house.clock.advance(61)
            for _ in range(2):
                assert (await attempt(house, b"bob@ours.example")).startswith("250")
            counts = shared.counts(STATISTICS_SPACE, STATISTICS_KEY, fading=math.inf, now=NOW)
            assert counts is not None
            assert [counts[kind] for kind in (Came.NEW, Came.EARLY, Came.AGAIN, Came.KNOWN)] == [1, 1, 1, 1]

    asyncio.run(run())
