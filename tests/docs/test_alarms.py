"""Alarms of docs/alarms.md are about numbers that the gateway counts, and every number is counted somewhere."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click
import pytest
import yaml  # type: ignore[import-untyped]

from gatepost.cli.front import COMMANDS
from gatepost.records.counters import BY_NAME, METRICS, MetricKind

ROOT = Path(__file__).resolve().parents[2]
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "packaging/gatepost-alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
USED = re.compile(r"\bgatepost_([a-z_]+)(?:\{([^}]*)\})?")
BY = re.compile(r"\bby \(([^)]*)\)")


def metric_of(name: str) -> str:
    """The name without what Prometheus puts behind a counter's."""
    return name.removesuffix("_total")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alarm_is_about_what_is_counted(rule: dict[str, str]) -> None:
    used = USED.findall(rule["expr"])
    assert used or rule["alert"] == "GatepostNotScraped"
    for name, selected in used:
        metric = BY_NAME[metric_of(name)]
        assert name.endswith("_total") is (metric.kind is MetricKind.COUNTER), name
        assert set(re.findall(r"(\w+)[=!]", selected)) <= set(metric.labels)
    labels = {label for name, _ in used for label in BY_NAME[metric_of(name)].labels}
    for grouped in BY.findall(rule["expr"]):
        assert set(grouped.split(", ")) <= labels


def test_the_page_says_what_to_do_about_each_alarm() -> None:
    page = (ROOT / "docs/alarms.md").read_text("utf-8")
    assert re.findall(r"^\| (Gatepost\w+) \|", page, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_every_number_of_the_list_is_counted_somewhere() -> None:
    """A number that nobody counts is an alarm that never comes."""
    sources = "".join(
        path.read_text("utf-8")
        for path in (ROOT / "src/gatepost").rglob("*.py")
        if path.name != "counters.py" or path.parent.name != "records"
    )
    by_fate = {f"recipients_{fate}" for fate in ("delivered", "deferred", "failed")}  # made of Fate's words
    assert 'f"recipients_{outcome.fate.value}"' in sources
    assert [m.name for m in METRICS if f'"{m.name}"' not in sources and m.name not in by_fate] == []


@pytest.mark.parametrize("page", ["alarms.md", "night.md"])
def test_the_commands_of_the_page_are_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    told = set(re.findall(r"(?:`|\$ )gatepost ([a-z-]+)(?: ([a-z-]+))?", text))
    assert len(told) > 10
    for verb, below in told:
        command = import_module(COMMANDS[verb][0]).command
        if below and isinstance(command, click.Group):
            assert below in command.commands, f"gatepost {verb} {below}"
