"""The operators' page of limits names every setting there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gatepost.config.back_pressure_settings import BackPressure
from gatepost.config.limit_settings import Intake, Limits, Stress
from gatepost.config.schema import Table, fields_of

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text("utf-8")
NAMED = frozenset(re.findall(r"[a-z]+(?:-[a-z]+)*", PAGE))


@pytest.mark.parametrize("table", [Limits, Stress, Intake, BackPressure], ids=lambda table: table.__name__)
def test_every_limit_stands_on_the_page(table: type[Table]) -> None:
    assert set(fields_of(table)) - NAMED == set()
