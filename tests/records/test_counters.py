"""Every number that is counted is on the list of metrics, and explained there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gatepost
from gatepost.records import counters


@pytest.mark.threat("S05")
def test_every_counter_in_the_code_is_on_the_list() -> None:
    """counters.add("name", label=...) and .set: names and labels are those of records/counters.py."""
    strangers = [
        f"{path.name}:{call.lineno} {name}({', '.join(labels)})"
        for path in Path(gatepost.__file__).parent.rglob("*.py")
        for call, name, labels in _counts(path)
        if name not in counters.BY_NAME or not set(labels) <= set(counters.BY_NAME[name].labels)
    ]
    assert not strangers, "add them to records/counters.py"


def _counts(path: Path) -> list[tuple[ast.Call, str, list[str]]]:
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
    return [
        (call, call.args[0].value, [k.arg or "**" for k in call.keywords])
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("add", "set")
        and "counter" in ast.unparse(call.func.value)
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]


def test_metrics_are_named_once_and_explained() -> None:
    assert len(counters.BY_NAME) == len(counters.METRICS)
    for metric in counters.METRICS:
        assert metric.name.replace("_", "").isalpha()
        assert metric.help[0].isupper() or metric.help[0].isdigit()
