"""Waits between attempts, and the time the queue believes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import FakeClock

from gatepost.config.delivery_settings import Delivery
from gatepost.config.settings import Queue
from gatepost.queue.schedule import (
    JUMP_LIMIT_S,
    Jump,
    QueueClock,
    QueueTime,
    next_attempt_at,
    rest_delay_s,
    retry_delay_s,
)

QUEUE = Queue()
HOUR_S, DAY_S = 3600.0, 86400.0
NOW = 1_800_000_000.0

WAITS = [(1, 300.0), (2, 510.0), (3, 867.0), (5, 2505.63), (6, 4000.0), (7, 4000.0), (10**6, 4000.0)]


@pytest.mark.parametrize(("attempt", "wait_s"), WAITS)
def test_waits_grow_to_the_longest(attempt: int, wait_s: float) -> None:
    assert retry_delay_s(attempt, QUEUE, jitter=0.0) == pytest.approx(wait_s)


@pytest.mark.threat("P12")
@given(attempt=st.integers(1, 10**9), jitter=st.floats(0, 1))
def test_jitter_makes_a_wait_up_to_a_fifth_longer_and_never_shorter(attempt: int, jitter: float) -> None:
    wait_s = retry_delay_s(attempt, QUEUE, jitter=0.0)
    assert wait_s <= retry_delay_s(attempt, QUEUE, jitter=jitter) <= 1.2001 * wait_s


GENTLE = Delivery()
PATIENT = Delivery.model_validate({"glitch-retries": 0})
RESTS = [
    ("a restart takes a minute", 1, GENTLE, 0.0, 60.0),
    ("two of them", 2, GENTLE, 0.0, 60.0),
    ("then as an answer that puts off", 3, GENTLE, 0.0, 300.0),
    ("and longer", 4, GENTLE, 0.0, 510.0),
    ("to the longest", 50, GENTLE, 0.0, 4000.0),
    ("no quick retries", 1, PATIENT, 0.0, 300.0),
    ("the connector's longest rest", 50, GENTLE, 600.0, 600.0),
    ("is no shortest", 3, GENTLE, 600.0, 300.0),
]


@pytest.mark.threat("N08")
@pytest.mark.parametrize(
    ("failure", "delivery", "longest_s", "wait_s"), [r[1:] for r in RESTS], ids=[r[0] for r in RESTS]
)
def test_rests_of_a_next_hop(failure: int, delivery: Delivery, longest_s: float, wait_s: float) -> None:
    found = rest_delay_s(failure, QUEUE, delivery, jitter=0.0, longest_s=longest_s)
    assert found == pytest.approx(wait_s)


def test_a_glitch_never_waits_longer_than_an_answer() -> None:
    quick = Queue.model_validate({"first-retry": "1s"})
    assert rest_delay_s(1, quick, GENTLE, jitter=0.0) == 1.0


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempts_are_counted_from_1(attempt: int) -> None:
    with pytest.raises(ValueError):
        retry_delay_s(attempt, QUEUE, jitter=0.5)
    with pytest.raises(ValueError):
        rest_delay_s(attempt, QUEUE, GENTLE, jitter=0.5)


NEXT = {
    "a usual wait": (NOW + 10 * DAY_S, NOW + 300),
    "not after the expiry": (NOW + 100, NOW + 100),
    "never in the past": (NOW - 5, NOW),
}


@pytest.mark.threat("P13")
@pytest.mark.parametrize("name", NEXT)
def test_the_next_attempt(name: str) -> None:
    expires_at, expected = NEXT[name]
    assert next_attempt_at(NOW, 300.0, expires_at=expires_at) == expected


JUMPS = {
    # wall clock moves by, monotonic by -> queue time moves by
    "an ordinary second": (1.0, 1.0, 1.0),
    "a leap second": (0.0, 1.0, 0.0),
    "a time server corrects": (-30.0, 1.0, -30.0),
    "one hour forward is followed": (HOUR_S, 1.0, HOUR_S),
    "two hours forward are not": (2 * HOUR_S, 1.0, 1.0),
    "two hours back are not": (-2 * HOUR_S, 1.0, 1.0),
    "ten days forward": (10 * DAY_S, 5.0, 5.0),
    "ten days back": (-10 * DAY_S, 5.0, 5.0),
    "back to 1970": (-NOW, 1.0, 1.0),
    "a machine that slept 12 hours": (12 * HOUR_S, 0.1, 0.1),
    "twelve hours of honest time": (12 * HOUR_S, 12 * HOUR_S, 12 * HOUR_S),
}


@pytest.mark.threat("O17", "O18")
@pytest.mark.parametrize("name", JUMPS)
def test_a_jump_is_followed_up_to_an_hour(name: str) -> None:
    wall_s, steady_s, expected_s = JUMPS[name]
    time = QueueTime(wall_at=NOW, monotonic_s=50.0)
    assert time.at(NOW + wall_s, 50.0 + steady_s) == pytest.approx(NOW + expected_s)
    assert (time.jump is None) is (abs(wall_s - steady_s) <= JUMP_LIMIT_S)


def held_off(queue: QueueClock) -> Jump | None:
    return queue.time.jump


@pytest.mark.threat("O17")
def test_no_mail_expires_by_a_jump() -> None:
    clock = FakeClock(NOW)
    queue = QueueClock(clock)
    clock.wall += 10 * DAY_S
    assert not queue.has_expired(NOW + 5 * DAY_S)
    assert held_off(queue) == Jump(10 * DAY_S)
    clock.advance(60)
    assert queue.now() == NOW + 60
    clock.wall -= 10 * DAY_S
    assert queue.now() == NOW + 60
    assert held_off(queue) is None
    clock.advance(5 * DAY_S)
    assert queue.has_expired(NOW + 5 * DAY_S)


@pytest.mark.threat("O17")
def test_a_confirmed_jump_is_believed_but_mails_live_on() -> None:
    clock = FakeClock(NOW)
    queue = QueueClock(clock)
    clock.wall += 10 * DAY_S
    queue.confirm()
    assert queue.now() == NOW + 10 * DAY_S
    assert queue.time.jump is None
    assert not queue.has_expired(NOW + 5 * DAY_S)
    clock.advance(5 * DAY_S)
    assert queue.has_expired(NOW + 5 * DAY_S)


STARTS = {
    # gap between the last time the store saw and the wall clock at start -> (queue time, credit)
    "at once": (1.0, 1.0, 0.0),
    "the first start": (None, 0.0, 0.0),
    "after a week down": (7 * DAY_S, 7 * DAY_S, 7 * DAY_S),
    "with a clock at 1970": (-NOW, 0.0, 0.0),
    "with a clock an hour behind": (-HOUR_S, -HOUR_S, 0.0),
}


@pytest.mark.threat("O17")
@pytest.mark.parametrize("name", STARTS)
def test_the_time_at_a_start(name: str) -> None:
    gap_s, expected_s, credit_s = STARTS[name]
    seen = None if gap_s is None else NOW
    time = QueueTime(wall_at=NOW + (gap_s or 0.0), monotonic_s=3.0, last_seen_at=seen)
    assert time.credit_s == credit_s
    assert time.at(NOW + (gap_s or 0.0), 3.0) == NOW + expected_s
    assert not time.has_expired(NOW + 5 * DAY_S, time.at(NOW + (gap_s or 0.0), 3.0))


@pytest.mark.threat("O17")
@given(st.lists(st.tuples(st.floats(-1e10, 1e10), st.floats(0, 1e6)), max_size=30))
def test_queue_time_moves_no_more_than_time_and_the_limit(steps: list[tuple[float, float]]) -> None:
    """Whatever the wall clock does: no step is farther from honest time than the limit."""
    wall_at, steady_s = NOW, 0.0
    time = QueueTime(wall_at=wall_at, monotonic_s=steady_s)
    before = time.at(wall_at, steady_s)
    for jump_s, passed_s in steps:
        wall_at += jump_s
        steady_s += passed_s
        now = time.at(wall_at, steady_s)
        assert abs(now - before - passed_s) <= JUMP_LIMIT_S + 1e-3
        before = now
