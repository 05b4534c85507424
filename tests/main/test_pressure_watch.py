"""Resources are looked at off the hot path, and what changes is told in log and metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from tests.intake.house import Lines

from gatepost.adapters.counters import MemoryCounters
from gatepost.intake.pressure import Marks, Pressure
from gatepost.main.pressure_watch import LagMeter, PressureWatch, resource_states, why_no_mail
from gatepost.ports.resources import Resource

MARKS = {
    Resource.DISK: Marks(normal=300, medium=200, high=100, scarce=True),
    Resource.QUEUE: Marks(normal=10, medium=20, high=30),
    Resource.LOOP_LAG: Marks(normal=1000, medium=1000, high=1000),
}


class Machine:
    def __init__(self) -> None:
        self.says: dict[Resource, float] = {Resource.DISK: 1000.0}

    def read(self) -> Mapping[Resource, float]:
        return self.says


def test_a_change_is_one_line_and_the_metrics_are_always_there() -> None:
    async def scenario() -> None:
        machine, lines, counters, pressure = Machine(), Lines(), MemoryCounters(), Pressure(MARKS)
        waiting = 5
        watch = PressureWatch(
            pressure,
            machine,
            due_recipients=lambda: waiting,
            lag=LagMeter(),
            monotonic=lambda: 0.0,
            counters=counters,
            log=lines,
        )
        watch.start()
        await watch.look()
        assert lines.written == []
        machine.says = {Resource.DISK: 50.0}
        waiting = 25
        await watch.look()
        await watch.look()
        assert [(line["resource"], line["pressure"]) for _, line in lines.written] == [
            ("disk", "high"),
            ("queue", "medium"),
        ]
        event, line = lines.written[0]
        assert event == "back-pressure"
        assert line == {
            "level": "error",
            "pressure": "high",
            "resource": "disk",
            "before": "normal",
            "value": 100,
            "actual": 50.0,
            "takes": "no new mail",
        }
        samples = {(name, labels): value for name, labels, value in counters.samples()}
        assert samples["resource", (("resource", "disk"),)] == 50.0
        at = {
            dict(labels)["level"]: value
            for (name, labels), value in samples.items()
            if name == "resource_pressure" and ("resource", "disk") in labels
        }
        assert at == {"normal": 0.0, "medium": 0.0, "high": 1.0}
        assert why_no_mail(pressure) == "back pressure is high: disk"
        disk = resource_states(pressure)[0]
        assert (disk.resource, disk.level, disk.value, disk.marks) == ("disk", "high", 50.0, (300, 200, 100))
        watch.stop()

    asyncio.run(scenario())


def test_a_loop_that_is_held_up_is_late() -> None:
    async def scenario() -> float:
        lag = LagMeter()
        lag.start()
        await asyncio.sleep(0)
        time.sleep(0.4)  # this is what is measured: a loop that is held up
        held_up = lag.take()
        lag.stop()
        return held_up

    assert asyncio.run(scenario()) > 0.1
