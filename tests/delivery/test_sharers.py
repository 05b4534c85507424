"""Workers that serve one next hop share what it may have (decision 0401)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.test_active import parcel

from gatepost.adapters.neighbours import MappedCounts
from gatepost.delivery.hop import Hop
from gatepost.delivery.limits import Pace, Sharers


def hops_of(workers: int, connections: int, *, per_minute: int = 0) -> list[Hop]:
    """The same next hop in each worker, with mail for hundreds of lanes, and no slow start."""
    counts = MappedCounts(workers)
    hops = []
    for number in range(workers):
        sharers = Sharers(counts.of_worker(number))
        hop = Hop("mx", connections=connections, lanes_wanted=1000, sharers=sharers, pace=Pace(per_minute))
        for mail_id in range(1, 300):
            hop.add(parcel(mail_id))
        hops.append(hop)
    return hops


def after_one_mail_each(hops: list[Hop]) -> None:
    """Every lane has delivered one mail: it ends where its worker has too many of them, or another opens."""
    for hop in hops:
        for _ in range(hop.lanes):
            if hop.has_too_many_lanes:
                hop.lane_ends()
        while hop.wants_lane():
            hop.lane_opens()


def test_one_worker_alone_has_everything() -> None:
    hop, idle = hops_of(2, 20)
    after_one_mail_each([hop])
    assert (hop.lanes, idle.lanes) == (20, 0)


def test_a_second_worker_gets_its_half_and_leaves_it_again() -> None:
    first, second = hops_of(2, 20)
    after_one_mail_each([first])
    after_one_mail_each([second, first])
    assert (first.lanes, second.lanes) == (10, 10)
    while second.lanes:
        second.lane_ends()
    after_one_mail_each([first])
    assert first.lanes == 20


@given(
    connections=st.integers(1, 40),
    workers=st.integers(2, 5),
    turns=st.lists(st.integers(0, 4), max_size=30),
)
def test_all_together_have_no_more_than_one_would(connections: int, workers: int, turns: list[int]) -> None:
    hops = hops_of(workers, connections)
    for turn in turns:
        after_one_mail_each([hops[turn % workers]])
    for _ in range(2):
        after_one_mail_each(hops)
    assert sum(hop.lanes for hop in hops) <= max(connections, workers)
    assert all(hop.lanes for hop in hops)


def test_messages_a_minute_are_shared_by_those_that_send() -> None:
    first, second = hops_of(2, 20, per_minute=60)
    first.lane_opens()
    assert first.take(0.0) is not None
    assert first.pace.wait_s(0.0) == 1.0
    second.lane_opens()
    assert second.take(1.0) is not None
    assert first.take(1.0) is not None
    assert (first.pace.wait_s(1.0), second.pace.wait_s(1.0)) == (2.0, 2.0)


def test_what_a_dead_worker_had_is_over() -> None:
    counts = MappedCounts(2)
    living, dead = (Hop("mx", sharers=Sharers(counts.of_worker(number))) for number in (0, 1))
    dead.lane_opens()
    assert living.most_lanes == 10
    counts.of_worker(1)
    assert living.most_lanes == 20
