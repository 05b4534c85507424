"""The arithmetic of the benchmark, and its look at processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.cost import cpu_s, family_of, memory_bytes
from bench.gatepost_server import Gatepost
from bench.lines import Goal, Line
from bench.measures import Latency, Load, Scenario, Work, percentile, ratios, spread_of
from bench.postfix import Postfix
from bench.report import data_of, lines_of, text_of
from bench.rounds import Results, in_turn
from bench.rows import ROWS, Plan, meets

PERCENTILES = [
    ("the middle of three", [3.0, 1.0, 2.0], 0.5, 2.0),
    ("between two", [1.0, 2.0], 0.5, 1.5),
    ("one value is every percentile", [5.0], 0.99, 5.0),
    ("the highest", [1.0, 2.0, 3.0], 1.0, 3.0),
    ("ninety-nine of a hundred and one", [float(n) for n in range(101)], 0.99, 99.0),
]


@pytest.mark.parametrize(("name", "values", "share", "expected"), PERCENTILES, ids=lambda v: str(v)[:30])
def test_percentiles(name: str, values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_ratio_is_taken_round_by_round() -> None:
    """given a slow round for both, when the ratios are taken, then it does not spread them"""
    ratio = ratios([300.0, 30.0, 600.0], [100.0, 10.0, 100.0])
    assert (ratio.median, ratio.lowest, ratio.highest) == pytest.approx((3.0, 3.0, 6.0))
    assert spread_of([1.0, 5.0]).median == 3.0


def test_who_goes_first_changes() -> None:
    orders = [list(in_turn("ab", n)) for n in range(3)]
    assert orders == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_a_short_plan_still_gives_every_session_something_to_do() -> None:
    loads = list(Plan(share=0.001).loads)
    assert {row for row, _ in loads} < set(ROWS)
    for _, scenario in loads:
        assert scenario.messages >= 2 * scenario.sessions


def test_only_the_rows_that_are_wanted_are_measured() -> None:
    plan = Plan(rows=("large", "start"))
    assert [(scenario.sessions, scenario.size_bytes) for _, scenario in plan.loads] == [
        (10, 65536),
        (50, 65536),
    ]


MEETINGS = [
    ("Postfix gets everything", "Postfix", Scenario(1, False, 1, Work.TLS), True),
    ("Haraka gets mail of ten sessions", "Haraka", Scenario(10, True, 1), True),
    ("Haraka gets no single session", "Haraka", Scenario(1, True, 1), False),
    ("aiosmtpd relays nothing", "aiosmtpd", Scenario(10, True, 1, Work.RELAY), False),
    ("rspamd is spared the two hundred sessions", "Postfix+rspamd", Scenario(200, True, 1), False),
]


@pytest.mark.parametrize(("name", "server", "scenario", "expected"), MEETINGS, ids=lambda v: str(v)[:40])
def test_who_meets_which_load(name: str, server: str, scenario: Scenario, expected: bool) -> None:
    assert meets(server, scenario) is expected


GOALS = [
    ("a ratio that is reached", Goal("Postfix", 4), True),
    ("a ratio that is not", Goal("Postfix", 4.1), False),
    ("a cost that is low enough", Goal("Postfix", 4, at_most=True), True),
    ("a figure of its own", Goal("", 100, at_most=True), False),
    ("a peer that was not there", Goal("Haraka", 1), None),
]


@pytest.mark.parametrize(("name", "goal", "expected"), GOALS, ids=lambda v: str(v)[:30])
def test_a_goal_is_judged_by_the_median(name: str, goal: Goal, expected: bool | None) -> None:
    line = Line("x", ".0f", [400.0, 410.0, 100.0], {"Postfix": [100.0, 100.0, 100.0]}, (goal,))
    assert goal.is_reached(line) is expected
    answer = {True: "yes", False: "no", None: "not measured"}[expected]
    assert goal.told(line).endswith(answer)


def test_the_cost_of_a_family_includes_its_dead() -> None:
    """given a child that worked and was waited for, when the parent is looked at, then its time counts"""
    before_s = cpu_s(os.getpid())
    subprocess.run([sys.executable, "-c", "sum(range(4_000_000))"], check=True)
    assert cpu_s(os.getpid()) > before_s


def test_a_family_has_its_children() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        child.stdout.readline()  # it runs
        assert child.pid in family_of(os.getpid())
        assert memory_bytes(child.pid) > 1 << 20
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()
        child.stdout.close()
    assert memory_bytes(child.pid) == 0


def test_the_table_has_a_row_for_each_figure(tmp_path: Path) -> None:
    results = Results()
    scenario = Scenario(10, False, 100)
    for server, seconds in ((Gatepost(tmp_path), 1.0), (Postfix(tmp_path), 4.0)):
        load = Load(messages=100, seconds=seconds, cpu_s=seconds / 10, memory_bytes=1 << 20)
        results.add_load(server, scenario, load)
        results.add_latency(server, True, Latency(p50_s=0.001 * seconds, p99_s=0.002 * seconds), 10)
    lines = [*lines_of(results), Line("2 workers: messages/s", ".0f", [3.0], {"1 worker": [2.0]})]
    text = text_of(lines, {"cores": "2"}, {"Gatepost": 0, "Postfix": 3})
    rows = text.splitlines()
    assert any("messages/s" in row and "4.00" in row and "at least 4 x Postfix: yes" in row for row in rows)
    assert any("CPU s/1000" in row and "at most 0.25 x Postfix: yes" in row for row in rows)
    assert any(row.startswith("2 workers") and row.endswith("1.50 x 1 worker") for row in rows)
    assert "Postfix: 3 acknowledged mails are missing" in text
    assert "Gatepost: 0" not in text
    found = json.loads(json.dumps(data_of(lines, results, {}, {})))
    assert found["loads"][0]["sessions"] == 10
    assert found["lines"][0]["others"]["Postfix"] == [25.0]
    assert results.offered == {("Gatepost", False): 110, ("Postfix", False): 110}
