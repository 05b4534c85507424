"""How much goes to one next hop at once and in a minute, and how next hops share a worker's connections."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.fakes import FakeHost, Yard, settings_of
from tests.delivery.playing import internet, play, to

from gatepost.delivery.limits import HopLimits, Limits, Pace, Shares
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.routing.next_hop import Router

OUT: dict[str, Any] = {"connections": 7, "messages-per-minute": 90}
DESTINATIONS = {
    "slow.example": {"connections": 1, "messages-per-minute": 6},
    "*.slow.example": {"connections": 2},
    "*": {"messages-per-minute": 30},
}
CASES = [
    ("what the destination says", {}, "slow.example", HopLimits(1, 6)),
    ("below it, and the rest from the connector", {}, "mx.slow.example", HopLimits(2, 90)),
    ("all others", {}, "other.example", HopLimits(7, 30)),
    ("smart hosts have no domain", {"smart-hosts": ["[192.0.2.1]"]}, "slow.example", HopLimits(7, 90)),
]


@pytest.mark.parametrize(("more", "domain", "limits"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_limits_of_a_next_hop(more: dict[str, Any], domain: str, limits: HopLimits) -> None:
    settings = settings_of({**OUT, **more}, destinations=DESTINATIONS)
    next_hop = Router(settings, AcceptedDomains({})).next_hop_for(Address("bob", domain))
    assert Limits(settings.destinations).of(next_hop) == limits


@given(per_minute=st.integers(1, 6000), pauses_s=st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_a_pace_never_lets_more_through_in_a_minute(per_minute: int, pauses_s: list[float]) -> None:
    pace, now_s, starts = Pace(per_minute), 1000.0, []
    for pause_s in pauses_s:
        now_s += pause_s
        if not pace.wait_s(now_s):
            pace.started(now_s)
            starts.append(now_s)
    spacing_s = 60.0 / per_minute
    assert all(later - earlier >= spacing_s * 0.999 for earlier, later in itertools.pairwise(starts))


def test_no_pace_is_no_wait() -> None:
    pace = Pace()
    pace.started(1.0)
    assert pace.wait_s(1.0) == 0.0


def test_shares_go_in_turn() -> None:
    shares = Shares(2)
    assert [shares.take(key) for key in ("a", "a", "b", "c", "b")] == [True, True, False, False, False]
    assert shares.someone_waits()
    assert shares.turn() is None  # no lane is free
    shares.give_back()
    assert shares.turn() == "b"
    assert shares.take("b")
    assert shares.turn() is None
    shares.give_back()
    assert shares.turn() == "c"
    assert not shares.someone_waits()


def test_a_destination_gets_so_many_messages_a_minute() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given thirty messages a minute for one domain, and none limited for the other
        for mail_id in range(1, 6):
            made.put(to("x@slow.example", mail_id=mail_id))
            made.put(to("x@quick.example", mail_id=100 + mail_id))
        # Then the other one's leave at once
        await made.settle(lambda: len(hosts["quick.example"].taken) == 5)
        # And of the slow one's one leaves every two seconds
        for sent in range(1, 6):
            await made.settle(lambda sent=sent: len(hosts["slow.example"].taken) == sent)  # type: ignore[misc]
            made.clock.advance(1.9)
            await turn_over(made)
            assert len(hosts["slow.example"].taken) == sent
            made.clock.advance(0.1)
            await turn_over(made)
        assert hosts["slow.example"].most_connections == 1

    play(
        test,
        "slow.example",
        "quick.example",
        settings=settings_of(destinations={"slow.example": {"messages-per-minute": 30}}),
    )


def test_a_pace_is_not_forgotten_between_two_mails() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given one message a minute, and one that has just left
        made.put(to("x@slow.example", mail_id=1))
        await made.settle(lambda: len(hosts["slow.example"].taken) == 1)
        await made.settle(lambda: not made.scheduler.status()[0].connections)
        # When nothing waits, and the pump looks for hops that nobody needs
        made.clock.advance(30)
        made.scheduler._pull()
        made.put(to("x@slow.example", mail_id=2))
        await turn_over(made)
        # Then the next one waits for its minute all the same
        assert len(hosts["slow.example"].taken) == 1
        made.clock.advance(30)
        await turn_over(made)
        await made.settle(lambda: len(hosts["slow.example"].taken) == 2)
        # And after another the hop is forgotten
        await made.settle(lambda: not made.scheduler.status()[0].connections)
        made.clock.advance(60)
        made.scheduler._pull()
        assert made.scheduler.status() == ()

    play(test, "slow.example", settings=settings_of({"messages-per-minute": 1}))


async def turn_over(made: Yard) -> None:
    """The clock of the yard stands still while the loop's goes on: fire the timers of paces now."""
    for hop in made.scheduler._hops.values():
        made.scheduler._open_lanes(hop, made.router.by_key(hop.key))
    for _ in range(30):
        await asyncio.sleep(0)


def test_connections_to_a_destination_have_their_own_limit() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        for mail_id in range(1, 60):
            made.put(to("x@slow.example", mail_id=mail_id))
        await made.settle(lambda: len(hosts["slow.example"].taken) == 59)
        assert hosts["slow.example"].most_connections == 1

    play(test, "slow.example", settings=settings_of(destinations={"slow.example": {"connections": 1}}))


@pytest.mark.threat("G11", "G12")
def test_next_hops_take_turns_when_connections_are_scarce() -> None:
    names = [f"h{n}.example" for n in range(12)]

    async def run() -> None:
        # Given three connections for twelve next hops, of which one has two hundred mails
        made, hosts = internet(*names, settings=settings_of(delivery={"connections": 3}))
        most = 0

        def look() -> None:
            nonlocal most
            most = max(most, sum(hop.lanes for hop in made.scheduler._hops.values()))

        for host in hosts.values():
            host.on_taken = look
        made.scheduler.start()
        for mail_id in range(1, 201):
            made.put(to(f"x@{names[0]}", mail_id=mail_id))
        for mail_id, name in enumerate(names[1:], 1000):
            made.put(to(f"x@{name}", mail_id=mail_id))
        # Then the others do not wait until it is done
        await made.settle(lambda: all(hosts[name].taken for name in names[1:]))
        assert len(hosts[names[0]].taken) < 200
        # And all of it arrives, over three connections
        await made.settle(lambda: len(hosts[names[0]].taken) == 200)
        await made.settle(lambda: made.scheduler._shares.taken == 0)
        assert most == 3
        await made.scheduler.stop(0.05)

    asyncio.run(run())


def test_next_hops_that_hang_leave_their_turn_when_they_fail() -> None:
    async def run() -> None:
        made, hosts = internet(
            "down.example", "well.example", settings=settings_of(delivery={"connections": 1})
        )
        hosts["down.example"].state = "down"
        made.scheduler.start()
        for mail_id in range(1, 50):
            made.put(to("x@down.example", mail_id=mail_id))
        made.put(to("x@well.example", mail_id=100))
        await made.settle(lambda: len(hosts["well.example"].taken) == 1)
        await made.scheduler.stop(0.05)

    asyncio.run(run())


def test_a_long_queue_hands_its_one_connection_on_after_each_mail() -> None:
    async def run() -> None:
        made, hosts = internet("a.example", "b.example", settings=settings_of(delivery={"connections": 1}))
        before: list[int] = []
        hosts["b.example"].on_taken = lambda: before.append(len(hosts["a.example"].taken))
        made.scheduler.start()
        for mail_id in range(1, 101):
            made.put(to("x@a.example", mail_id=mail_id))
        made.put(to("x@b.example", mail_id=200))
        await made.settle(lambda: bool(before))
        # Then the other's one mail had its turn at once: the long queue had asked for a second lane before it
        assert before == [2]
        await made.settle(lambda: len(hosts["a.example"].taken) == 100)
        await made.scheduler.stop(0.05)

    asyncio.run(run())
