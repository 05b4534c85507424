"""Many domains that draw their conversations out have a share of their own: other mail goes on (decision 0395)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.delivery.fakes import FakeHost, Yard, mail_to, settings_of
from tests.delivery.playing import internet, to

from gatepost.config.settings import Settings
from gatepost.delivery.limits import QUICK_LIMIT, QUICK_S, KnownHops, Rank, Shares
from gatepost.delivery.outcome import Fate, Outcome

TARPITS = [f"t{n}.example" for n in range(40)]
OWN: dict[str, Any] = {"address-spaces": ["ours.example"], "smart-hosts": ["[8.8.9.9]"], "tls": "none"}


def settings(**tables: Any) -> Settings:
    """Domains by MX, and our own mail server behind a smart host."""
    out = {"address-spaces": ["*"], "tls": "none"}
    return settings_of(**{"send-connectors": {"out": out, "inside": OWN}, **tables})


def among_tarpits(
    test: Callable[[Yard, dict[str, FakeHost], FakeHost], Coroutine[Any, Any, None]], made_with: Settings
) -> None:
    async def run() -> None:
        made, hosts = internet("well.example", *TARPITS, settings=made_with)
        inside = made.attempts.courier._dialer.hosts["8.8.9.9"] = FakeHost()  # type: ignore[attr-defined]
        for name in TARPITS:
            hosts[name].state = "hangs"
        made.scheduler.start()
        await test(made, hosts, inside)
        await made.scheduler.stop(0.05)

    asyncio.run(run())


def flood(made: Yard, mails: int, *, offer: bool = True) -> None:
    for number in range(mails):
        made.put(to(f"x@{TARPITS[number % len(TARPITS)]}", mail_id=1000 + number), offer=offer)


@pytest.mark.threat("G11", "G12", "N09")
def test_our_own_mail_server_is_served_while_strangers_hold_every_lane_they_can() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost], inside: FakeHost) -> None:
        flood(made, 80)
        await made.settle(lambda: sum(hosts[name].connections for name in TARPITS) == 12)
        for mail_id in range(1, 31):
            made.put(mail_to("bob@ours.example", mail_id=mail_id, next_hop="inside:smart"))
        await made.settle(lambda: len(inside.taken) == 30)
        assert sum(hosts[name].connections for name in TARPITS) == 12

    among_tarpits(test, settings(delivery={"connections": 16}))


@pytest.mark.threat("G12", "N09")
def test_a_domain_that_was_quick_is_served_while_strangers_hang() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost], inside: FakeHost) -> None:
        made.put(to("x@well.example", mail_id=1))
        await made.settle(lambda: len(hosts["well.example"].taken) == 1)
        flood(made, 80)
        await made.settle(lambda: sum(hosts[name].connections for name in TARPITS) == 12)
        for mail_id in range(2, 32):
            made.put(to("x@well.example", mail_id=mail_id))
        await made.settle(lambda: len(hosts["well.example"].taken) == 31)

    among_tarpits(test, settings(delivery={"connections": 16}))


@pytest.mark.threat("G11", "G12")
@pytest.mark.parametrize("offer", [True, False], ids=["as it comes in", "out of the store"])
def test_strangers_do_not_fill_the_memory_of_the_queue(offer: bool) -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost], inside: FakeHost) -> None:
        flood(made, 400, offer=offer)
        await asyncio.sleep(0.05)
        for mail_id in range(1, 21):
            made.put(mail_to("bob@ours.example", mail_id=mail_id, next_hop="inside:smart"), offer=offer)
        made.scheduler.retry_now(next_hop="nobody")
        await made.settle(lambda: len(inside.taken) == 20)
        assert sum(hosts[name].connections for name in TARPITS) == 12
        waiting = sum(hop.waiting + hop.in_flight for hop in made.scheduler.status() if ":t" in hop.next_hop)
        assert waiting <= 75

    among_tarpits(test, settings(delivery={"connections": 16}, queue={"active-mails": 100}))


@pytest.mark.parametrize(
    ("limit", "has_own", "most"),
    [
        (1, True, (1, 1, 1)),
        (3, True, (3, 3, 3)),
        (4, True, (3, 4, 4)),
        (16, True, (12, 14, 16)),
        (16, False, (12, 16, 16)),
    ],
)
def test_lanes_by_rank(limit: int, has_own: bool, most: tuple[int, ...]) -> None:
    shares = Shares(limit, has_own=has_own)
    taken = []
    for rank in Rank:
        while shares.take(f"{rank} {shares.taken}", rank):
            pass
        taken.append(shares.taken)
    assert tuple(taken) == most


def test_who_may_have_a_lane_does_not_wait_behind_who_may_not() -> None:
    shares = Shares(16, has_own=True)
    while shares.take("strange", Rank.STRANGE):
        pass
    assert not shares.take("strange too", Rank.STRANGE)
    assert not shares.someone_waits(Rank.OURS)  # a lane of ours that ended would be no stranger's
    assert shares.someone_waits(Rank.STRANGE)
    assert shares.turn() is None
    shares.give_back(Rank.STRANGE)
    assert [shares.turn(), shares.turn(), shares.turn()] == ["strange", "strange too", None]
    assert shares.waiting == 0


def test_which_domains_are_quick() -> None:
    known, (recipient,) = KnownHops(["ours"]), mail_to("b@b.example").recipients
    taken, later = (Outcome(recipient, fate, "") for fate in (Fate.DELIVERED, Fate.DEFERRED))
    assert not known.spoke("a", 1.0, [later])
    assert known.spoke("a", 1.0, [later, taken])
    assert not known.spoke("a", QUICK_S, [taken])
    assert known.ranks["a"] is Rank.QUICK
    assert not known.spoke("a", QUICK_S + 1, [taken])
    assert "a" not in known.ranks
    known.forget("ours")
    for number in range(QUICK_LIMIT + 5):
        known.spoke(f"d{number}", 0.1, [taken])
    assert known.ranks["ours"] is Rank.OURS
    assert len(known.ranks) == QUICK_LIMIT + 1
    assert "d4" not in known.ranks
    assert "d5" in known.ranks
