"""Equal questions are asked once, and what was answered is remembered for a while."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.adapters.test_dns import names

from gatepost.lab.dns_server import (
    Fault,
    drop,
    honest,
    servfail,
)
from gatepost.model.fault import WorldFault


@pytest.mark.threat("M14")
def test_equal_questions_are_asked_once() -> None:
    async def scene() -> tuple[int, int]:
        async with names(faults={"": Fault(honest, 0.05)}) as (resolver, server):
            asks = [resolver.texts("text.example", timeout_s=1) for _ in range(200)]
            answers = await asyncio.gather(*asks)
            return len(set(answers)), len(server.asked)

    assert asyncio.run(scene()) == (1, 1)


@pytest.mark.threat("M14")
def test_too_many_questions_are_unknown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.adapters.dns.QUESTIONS_LIMIT", 10)

    async def scene() -> list[str]:
        async with names(faults={"": Fault(drop)}, timeout="300ms") as (resolver, _):
            asks = [resolver.exists(f"n{n}.example", timeout_s=1) for n in range(11)]
            results = await asyncio.gather(*asks, return_exceptions=True)
            return [result.reason for result in results if isinstance(result, WorldFault)]

    reasons = asyncio.run(scene())
    assert len(reasons) == 11
    assert sum("too many questions" in reason for reason in reasons) == 1


def test_a_cancelled_asker_does_not_spoil_it_for_the_others() -> None:
    async def scene() -> tuple[bytes, ...]:
        async with names(faults={"": Fault(honest, 0.1)}) as (resolver, _):
            first = asyncio.ensure_future(resolver.texts("text.example", timeout_s=1))
            second = asyncio.ensure_future(resolver.texts("text.example", timeout_s=1))
            await asyncio.sleep(0.02)
            first.cancel()
            return await second

    assert asyncio.run(scene()) == (b"v=spf1 -all",)


def test_the_asker_s_patience_counts_and_the_answer_is_still_kept() -> None:
    async def scene() -> tuple[float, tuple[bytes, ...]]:
        async with names(faults={"": Fault(honest, 2)}, timeout="30s") as (resolver, server):
            began = time.monotonic()
            with pytest.raises(WorldFault, match="in time"):
                await resolver.texts("text.example", timeout_s=0.05)
            waited_s = time.monotonic() - began
            while not resolver.cached:
                await asyncio.sleep(0.05)
            answer = await resolver.texts("text.example", timeout_s=0.05)
            assert len(server.asked) == 1
            return waited_s, answer

    waited_s, answer = asyncio.run(scene())
    assert waited_s < 2
    assert answer == (b"v=spf1 -all",)


def test_that_nobody_knew_is_remembered_for_a_second() -> None:
    async def scene() -> int:
        async with names(faults={"": Fault(servfail)}) as (resolver, server):
            for _ in range(5):
                with pytest.raises(WorldFault):
                    await resolver.texts("text.example", timeout_s=1)
            return len(server.asked)

    assert asyncio.run(scene()) == 1


def test_the_cache_has_an_end() -> None:
    async def scene() -> tuple[int, int]:
        async with names(cache=3) as (resolver, server):
            for n in (1, 2, 3, 1, 4, 1, 2):
                await resolver.texts(f"n{n}.example", timeout_s=1)
            return resolver.cached, len(server.asked)

    # Then 1 was used and stays, 2 had to go
    assert asyncio.run(scene()) == (3, 5)
