"""A clock that jumps is an alarm, once."""

from __future__ import annotations

import asyncio

import pytest
from tests.delivery.fakes import ListLog
from tests.fakes import FakeClock

from gatepost.adapters.counters import MemoryCounters
from gatepost.main.clock_watch import ClockWatch
from gatepost.queue.schedule import QueueClock


@pytest.mark.threat("O17")
def test_a_jump_is_told_once_and_so_is_its_end() -> None:
    beneath, log, counters = FakeClock(1_800_000_000.0), ListLog(), MemoryCounters()
    clock = QueueClock(beneath)
    watch = ClockWatch(clock, log=log, counters=counters)

    def looked() -> list[str]:
        for _ in range(3):
            asyncio.run(watch.look())
        return log.events()

    assert looked() == []
    beneath.wall += 864000
    assert looked() == ["clock-jumped"]
    assert ("clock_jumped", (), 1.0) in set(counters.samples())
    clock.confirm()
    assert looked() == ["clock-jumped", "clock-believed"]
    assert ("clock_jumped", (), 0.0) in set(counters.samples())
