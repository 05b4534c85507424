"""How often a source may do something: counted in minutes, in bounded memory, and no flood opens the gate."""

from __future__ import annotations

import sys

import pytest
from tests.fakes import FakeClock

from gatepost.intake.rates import MINUTE_S, Doing, Minute, Rates


def test_a_minute_begins_with_the_first_of_it() -> None:
    minute = Minute()
    assert [minute.add(Doing.MESSAGES, now) for now in (1000.0, 1030.0, 1059.9)] == [1, 2, 3]
    assert minute.add(Doing.MESSAGES, 1060.0) == 1


def test_each_thing_is_counted_by_itself() -> None:
    minute = Minute()
    minute.add(Doing.MESSAGES, 0.0)
    assert minute.add(Doing.RECIPIENTS, 0.0) == 1
    assert minute.add(Doing.MESSAGES, 0.0) == 2


@pytest.mark.threat("G14")
def test_ten_thousand_sources_take_the_room_of_the_table() -> None:
    clock = FakeClock()
    rates = Rates(monotonic=clock.monotonic, entries=100, shared=4)
    for number in range(10_000):
        rates.of(f"source {number}").add(Doing.CONNECTIONS, clock.monotonic())
    assert len(rates) == 100


@pytest.mark.threat("G14")
def test_a_flood_of_sources_makes_nobody_forgotten() -> None:
    # Given a source that has had its share
    clock = FakeClock()
    rates = Rates(monotonic=clock.monotonic, entries=10, shared=4)
    for _ in range(5):
        rates.of("known").add(Doing.MESSAGES, clock.monotonic())
    # When a thousand others come
    for number in range(1000):
        rates.of(f"other {number}").add(Doing.MESSAGES, clock.monotonic())
    # Then its count is still there, and the others are limited together
    assert rates.of("known").add(Doing.MESSAGES, clock.monotonic()) == 6
    assert rates.of("one more").add(Doing.MESSAGES, clock.monotonic()) > 5


@pytest.mark.threat("G14")
def test_minutes_that_are_over_make_room() -> None:
    clock = FakeClock()
    rates = Rates(monotonic=clock.monotonic, entries=10, shared=4)
    for number in range(10):
        rates.of(f"old {number}").add(Doing.MESSAGES, clock.monotonic())
    clock.advance(MINUTE_S)
    assert rates.of("new").add(Doing.MESSAGES, clock.monotonic()) == 1
    assert rates.of("new").add(Doing.MESSAGES, clock.monotonic()) == 2
    assert len(rates) == 10


@pytest.mark.threat("G14")
def test_one_that_is_busy_does_not_keep_the_others_from_being_forgotten() -> None:
    # Given a full table whose longest known source is still at it
    clock = FakeClock()
    rates = Rates(monotonic=clock.monotonic, entries=2, shared=1)
    busy = rates.of("busy")
    rates.of("quiet").add(Doing.MESSAGES, clock.monotonic())
    clock.advance(MINUTE_S)
    busy.add(Doing.MESSAGES, clock.monotonic())
    # When a new one comes, then it has a place of its own, and the busy one is still known
    assert rates.of("new") is rates.of("new")
    assert rates.of("new") is not rates.of("another")
    assert rates.of("busy") is busy


@pytest.mark.threat("G16")
def test_nobody_can_choose_keys_that_collide() -> None:
    """Tables of sources are dictionaries of text, and Python hashes text with a seed of each process."""
    assert sys.flags.hash_randomization == 1
