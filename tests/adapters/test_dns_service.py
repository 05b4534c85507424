"""Answers in use are refreshed before they end, a mail's questions have an end, and the numbers are right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gatepost.adapters import dns
from gatepost.adapters.dns import REFRESHES_LIMIT, DnsResolver
from gatepost.adapters.dns_cache import AnswerCache, Key
from gatepost.adapters.dns_wire import Answer, Kind, Status
from gatepost.config.dns_settings import ZONES_LIMIT, Dns
from gatepost.lab.dns_server import Fault, LabDns, drop, servfail
from gatepost.model.fault import WorldFault
from gatepost.ports.resolver import ASKING_FOR, QuestionBudget

ZONE = "*.ours.example A 192.0.2.1\n*.list.example A 127.0.0.2\n"
KEY: Key = ("a.ours.example", Kind.A)
KNOWN = Answer(Status.FOUND, ("192.0.2.1",), 100)


@asynccontextmanager
async def names(
    faults: dict[str, Fault] | None = None, **settings: Any
) -> AsyncIterator[tuple[DnsResolver, LabDns]]:
    server = LabDns(ZONE, faults)
    await server.start()
    resolver = DnsResolver(
        Dns.model_validate({"servers": (f"127.0.0.1:{server.port}",), "timeout": "5s", **settings})
    )
    try:
        yield resolver, server
    finally:
        resolver.close()
        await server.stop()


def test_an_answer_in_use_is_asked_for_again_once_before_its_end() -> None:
    # Given an answer that lives for 100 s, and counts as used much after two uses
    wanted: list[Key] = []
    cache = AnswerCache(10, refresh_from=2, refresh=wanted.append)
    cache.put(KEY, KNOWN, 0)
    # When it is used early, it is left alone
    for _ in range(5):
        cache.get(KEY, 50)
    assert wanted == []
    # When it is used in the last tenth of its life, it is wanted once, and stays in use
    assert [cache.get(KEY, 91), cache.get(KEY, 92)] == [KNOWN, KNOWN]
    assert wanted == [KEY]
    assert cache.get(KEY, 100) is None


def test_an_answer_used_rarely_is_left_to_end() -> None:
    wanted: list[Key] = []
    for refresh_from, uses in ((2, 2), (0, 50)):
        cache = AnswerCache(10, refresh_from=refresh_from, refresh=wanted.append)
        cache.put(KEY, KNOWN, 0)
        for _ in range(uses):
            assert cache.get(KEY, 95) == KNOWN
    assert wanted == []


@pytest.mark.threat("M06")
@pytest.mark.parametrize(("ttl_s", "known_until_s"), [(5, 30), (100, 100), (80_000, 7200)])
def test_the_administrator_sets_how_long_answers_are_kept(ttl_s: int, known_until_s: float) -> None:
    cache = AnswerCache(10, lowest_ttl_s=30, highest_ttl_s=7200)
    cache.put(KEY, Answer(Status.FOUND, ("192.0.2.1",), ttl_s), 0)
    assert cache.get(KEY, known_until_s - 0.1) is not None
    assert cache.get(KEY, known_until_s) is None


def test_refreshing_asks_the_server_and_nobody_waits_for_it() -> None:
    async def scene() -> tuple[int, int]:
        async with names() as (resolver, server):
            assert await resolver.exists("a.ours.example", timeout_s=5)
            resolver._refresh(KEY)
            resolver._refresh(KEY)
            while resolver.waiting:
                await asyncio.sleep(0.005)
            return len(server.asked), resolver.cached

    assert asyncio.run(scene()) == (2, 1)


@pytest.mark.threat("M14")
def test_refreshing_has_an_end() -> None:
    async def scene() -> int:
        async with names({"": Fault(drop)}) as (resolver, _):
            for number in range(REFRESHES_LIMIT + 50):
                resolver._refresh((f"{number}.ours.example", Kind.A))
            return resolver.waiting

    assert asyncio.run(scene()) == REFRESHES_LIMIT


@pytest.mark.threat("M14")
def test_a_mail_s_questions_have_an_end_and_what_is_known_costs_none() -> None:
    async def scene() -> tuple[int, str]:
        async with names() as (resolver, server):
            await resolver.exists("known.ours.example", timeout_s=5)
            budget = QuestionBudget(3)
            before = ASKING_FOR.set(budget)
            for name in ("a", "known", "b", "a", "c"):
                assert await resolver.exists(f"{name}.ours.example", timeout_s=5)
            with pytest.raises(WorldFault) as raised:
                await resolver.exists("d.ours.example", timeout_s=5)
            assert await resolver.exists("known.ours.example", timeout_s=5)
            # Another mail is not hurt, and the refusal is not remembered
            ASKING_FOR.reset(before)
            assert await resolver.exists("d.ours.example", timeout_s=5)
            return len(server.asked), raised.value.reason

    asked, reason = asyncio.run(scene())
    assert asked == 5
    assert "dns.questions-per-mail" in reason


@pytest.mark.threat("M14", "G15")
def test_questions_about_one_network_s_mail_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "NETWORK_QUESTIONS_LIMIT", 20)

    async def scene() -> tuple[int, str]:
        async with names({"silent.example": Fault(drop)}) as (resolver, _):

            def asked(name: str, network: str) -> asyncio.Task[bool]:
                before = ASKING_FOR.set(QuestionBudget(50, network))
                try:
                    return asyncio.ensure_future(resolver.exists(name, timeout_s=5))
                finally:
                    ASKING_FOR.reset(before)

            silent = [asked(f"{n}.silent.example", "192.0.2.0/24") for n in range(30)]
            await asyncio.wait(silent[20:], timeout=5)
            waiting = resolver.waiting
            late = str(silent[25].exception())
            # Another network's mail, and questions for nobody's, are asked and answered
            assert await asked("a.ours.example", "198.51.100.0/24")
            assert await resolver.exists("b.ours.example", timeout_s=5)
            for task in silent:
                task.cancel()
            await asyncio.gather(*silent, return_exceptions=True)
            return waiting, late

    waiting, late = asyncio.run(scene())
    assert waiting == 20
    assert "network" in late


@pytest.mark.threat("S05")
def test_questions_are_counted_by_zones_of_ours() -> None:
    async def scene() -> dict[tuple[str, ...], float]:
        faults = {"broken.list.example": Fault(servfail)}
        async with names(faults, **{"watched-zones": ("list.example", "dnsbl.list.example.")}) as (
            resolver,
            _,
        ):
            for name in ("1.list.example", "2.list.example", "3.dnsbl.list.example", "a.ours.example"):
                await resolver.exists(name, timeout_s=5)
            await resolver.names("192.0.2.1", timeout_s=5)
            await resolver.exists("a.ours.example", timeout_s=5)
            with pytest.raises(WorldFault):
                await resolver.exists("broken.list.example", timeout_s=5)
            return {
                (name, *(value for _, value in labels)): number for name, labels, number in resolver.samples()
            }

    counted = asyncio.run(scene())
    questions = {key[1:]: number for key, number in counted.items() if key[0] == "dns_questions"}
    assert questions == {
        ("list.example", "found"): 2,
        ("list.example", "unknown"): 1,
        ("dnsbl.list.example", "none"): 1,
        ("in-addr.arpa", "none"): 1,
        ("other", "found"): 1,
    }
    servers = {key[0]: number for key, number in counted.items() if key[0].startswith("dns_server")}
    assert (servers["dns_server_answers"], servers["dns_server_refusals"]) == (5, 1)
    assert counted[("dns_cache_hits",)] == 1


def test_a_server_that_is_silent_is_counted() -> None:
    async def scene() -> float:
        async with names({"": Fault(drop)}, timeout="300ms") as (resolver, _):
            with pytest.raises(WorldFault):
                await resolver.exists("a.ours.example", timeout_s=5)
            return next(number for name, _, number in resolver.samples() if name == "dns_server_silences")

    assert asyncio.run(scene()) == 3


@pytest.mark.threat("S05")
def test_watched_zones_have_an_end() -> None:
    resolver = DnsResolver(Dns.model_validate({"watched-zones": ("a.example",)}))
    resolver.watch(f"{number}.example" for number in range(2 * ZONES_LIMIT))
    assert len(resolver._statistics._zones) == ZONES_LIMIT + 2


@pytest.mark.parametrize("zone", ["", "a b.example", "-a.example", "a..example", "x" * 254])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="is no name of a zone"):
        Dns.model_validate({"watched-zones": (zone,)})
