"""Back pressure: a table of readings and the levels they lead to."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.back_pressure_settings import BackPressure
from gatepost.intake.pressure import DELAY_LIMIT_S, Gauge, Level, Marks, Pressure, marks_of
from gatepost.model.reply import Reply
from gatepost.ports.resources import Resource

USE = Marks(normal=70, medium=80, high=90)
FREE = Marks(normal=300, medium=200, high=100, scarce=True)
SLOW = Marks(normal=70, medium=80, high=90, readings=3)
N, M, H = Level.NORMAL, Level.MEDIUM, Level.HIGH


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    marks: Marks
    readings: tuple[float, ...]
    levels: tuple[Level, ...]


CASES = [
    Case("at a mark is not beyond it", USE, (80, 80.1, 90, 90.1), (N, M, M, H)),
    Case("the mark for normal has to be reached", USE, (81, 80, 71, 70), (M, M, M, N)),
    Case("high ends at the mark of medium", USE, (91, 90, 81, 80), (H, H, H, M)),
    Case("high may end at once", USE, (91, 70), (H, N)),
    Case("from normal to high at once", USE, (95,), (H,)),
    Case(
        "what is free, the other way round", FREE, (200, 199, 100, 99, 200, 299, 300), (N, M, M, H, M, M, N)
    ),
    Case("only readings in a row count", SLOW, (95, 95, 70, 95, 95, 95), (N, N, N, N, N, H)),
    Case("medium while high is not sure yet", SLOW, (85, 95, 95, 95), (N, N, M, H)),
    Case("between normal and medium nothing changes", USE, (75, 85, 75, 75), (N, M, M, M)),
]


@pytest.mark.threat("G10", "O05", "O07")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_levels(case: Case) -> None:
    gauge, levels = Gauge(), []
    for number, value in enumerate(case.readings):
        gauge = gauge.after(value, case.marks, float(number))
        levels.append(gauge.level)
    assert tuple(levels) == case.levels


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 4))
def test_a_level_rises_only_beyond_its_mark_and_falls_only_below_the_next(
    readings: list[float], in_a_row: int
) -> None:
    marks = Marks(normal=30, medium=50, high=70, readings=in_a_row)
    gauge = Gauge()
    for number, value in enumerate(readings):
        before, gauge = gauge, gauge.after(value, marks, float(number))
        if gauge.level > before.level:
            assert value > marks.mark_of(gauge.level)
        if gauge.level < before.level:
            assert value <= (50 if gauge.level is M else 30)
        if value <= 30:
            assert gauge.level is N


def pressure(**marks: Marks) -> Pressure:
    return Pressure({Resource(name.replace("_", "-")): mark for name, mark in marks.items()})


def test_the_worst_resource_decides_and_is_named() -> None:
    both = pressure(memory=USE, disk=FREE)
    changes = both.feed({Resource.MEMORY: 85.0, Resource.DISK: 50.0}, 0.0)
    assert {(c.resource, c.after, c.mark) for c in changes} == {
        (Resource.MEMORY, M, 80),
        (Resource.DISK, H, 100),
    }
    hit = both.hit(Reply(452, "4.3.1", "Insufficient system resources"))
    assert (hit.limit, hit.value, hit.actual) == ("back-pressure.disk", 100, 50.0)
    assert both.level is H
    # It falls with the readings, and what changed is told once
    assert [c.after for c in both.feed({Resource.MEMORY: 85.0, Resource.DISK: 300.0}, 1.0)] == [N]
    assert both.feed({Resource.MEMORY: 85.0, Resource.DISK: 300.0}, 2.0) == []
    assert both.level is M


def test_a_resource_that_cannot_be_read_keeps_its_level() -> None:
    made = pressure(disk=FREE)
    made.feed({Resource.DISK: 50.0}, 0.0)
    assert made.feed({}, 1.0) == []
    assert made.level is H


def test_strangers_first_then_everybody() -> None:
    made = pressure(memory=USE)
    assert not made.refuses(spared=False)
    assert made.delay_s == 0.0
    made.feed({Resource.MEMORY: 85.0}, 0.0)
    assert made.refuses(spared=False)
    assert not made.refuses(spared=True)
    made.feed({Resource.MEMORY: 95.0}, 1.0)
    assert made.refuses(spared=True)
    assert made.delay_s == 0.0
    made.feed({Resource.MEMORY: 10.0}, 2.0)
    assert not made.refuses(spared=False)
    assert made.delay_s == 0.0


@pytest.mark.threat("G10")
def test_a_patient_resource_delays_longer_and_longer_before_it_refuses() -> None:
    made = pressure(queue=Marks(normal=70, medium=80, high=90, delay_for_s=100.0))
    delays = []
    for number in range(11):
        made.feed({Resource.QUEUE: 85.0}, number * 2.0)
        delays.append(made.delay_s)
        assert not made.refuses(spared=False)
    assert delays == [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, DELAY_LIMIT_S]
    made.feed({Resource.QUEUE: 85.0}, 100.0)
    assert made.refuses(spared=False)


def test_an_impatient_resource_is_not_softened_by_a_patient_one() -> None:
    made = pressure(queue=Marks(normal=70, medium=80, high=90, delay_for_s=100.0), memory=USE)
    made.feed({Resource.QUEUE: 85.0, Resource.MEMORY: 85.0}, 0.0)
    assert made.refuses(spared=False)


def test_only_what_is_to_be_watched_is() -> None:
    every = marks_of(BackPressure())
    assert set(every) == set(Resource)
    assert every[Resource.DISK].scarce
    assert not every[Resource.QUEUE].scarce
    some = marks_of(BackPressure.model_validate({"watch": ("disk", "loop-lag")}))
    assert set(some) == {Resource.DISK, Resource.LOOP_LAG}
