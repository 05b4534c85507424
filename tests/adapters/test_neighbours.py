"""What workers count together: never too low, whatever dies, and in memory that a fork shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.adapters.neighbours import MINUTE_S, MappedCounts, WorkerCounts

KEYS = [hash(("internet", f"192.0.2.{n}")) for n in range(8)]


def workers(number: int) -> list[WorkerCounts]:
    made = MappedCounts(number)
    return [made.of_worker(n) for n in range(number)]


THREE = workers(3)
"""Made once: every example leaves it as it found it."""


@pytest.mark.threat("G02")
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(KEYS), st.booleans()), max_size=80))
def test_sessions_of_all_workers_are_one_number(steps: list[tuple[int, int, bool]]) -> None:
    three = THREE
    inside: list[tuple[int, int]] = []
    for worker, key, comes in steps:
        if comes:
            three[worker].came(key)
            inside.append((worker, key))
        elif (worker, key) in inside:
            three[worker].gone(key)
            inside.remove((worker, key))
        for each in three:
            assert each.sessions(key) >= sum(other == key for _, other in inside)
    for worker, key in inside:
        three[worker].gone(key)
    assert all(three[0].sessions(key) == 0 for key in KEYS)


@pytest.mark.threat("G03")
def test_a_minute_is_counted_over_all_workers_and_ends() -> None:
    one, two = workers(2)
    assert [worker.happened(KEYS[0], 1000.0) for worker in (one, two, one, two)] == [1, 2, 3, 4]
    assert one.happened(KEYS[1], 1000.0) == 1
    # Each worker's minute begins with the first it counted: what is older is forgotten
    assert two.happened(KEYS[0], 1000.0 + MINUTE_S - 1) == 5
    assert one.happened(KEYS[0], 1000.0 + MINUTE_S) == 1
    assert two.happened(KEYS[0], 1000.0 + MINUTE_S) == 2


@pytest.mark.threat("G14", "G16")
def test_a_flood_of_sources_makes_nobody_s_count_forgotten_and_hardly_any_too_high() -> None:
    # Given one source that was there 50 times, and 20,000 others once
    one, two = workers(2)
    known = hash("known")
    for _ in range(50):
        one.came(known)
        one.happened(known, 1000.0)
    others = [hash(f"other {n}") for n in range(20_000)]
    for key in others:
        two.came(key)
        two.happened(key, 1000.0)
    # Then it is still known in both, and nobody else is taken for it
    assert two.sessions(known) >= 50
    assert two.happened(known, 1000.0) >= 51
    assert sum(two.sessions(key) > 10 for key in others) <= 2


def test_what_a_dead_worker_had_counted_is_gone_with_it() -> None:
    made = MappedCounts(2)
    one, two = made.of_worker(0), made.of_worker(1)
    for worker in (one, two):
        worker.came(KEYS[0])
        worker.happened(KEYS[0], 1000.0)
    again = made.of_worker(1)
    assert (one.sessions(KEYS[0]), again.sessions(KEYS[0])) == (1, 1)
    assert again.happened(KEYS[0], 1000.0) == 2


def test_a_fork_sees_what_the_other_counts() -> None:
    made = MappedCounts(2)
    here = made.of_worker(0)
    child = os.fork()
    if not child:
        there = made.of_worker(1)
        for _ in range(3):
            there.came(hash(("internet", "192.0.2.9")))
        os._exit(0)
    os.waitpid(child, 0)
    assert here.sessions(hash(("internet", "192.0.2.9"))) == 3
