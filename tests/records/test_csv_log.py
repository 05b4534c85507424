"""A cell of an exported log is quoted where CSV needs it, and nothing a spreadsheet would compute."""

from __future__ import annotations

import pytest

from gatepost.records.csv_log import cell
from gatepost.records.tracking import Event


@pytest.mark.threat("S02")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        ('a"b', '"a""b"'),
        ("a,b", '"a,b"'),
        ("=1+1", "'=1+1"),
        ("-1", "'-1"),
        ("@x,y", '"\'@x,y"'),
        (-1, "-1"),
        (("a", "b"), "a;b"),
        (("=a", "b"), "'=a;b"),
        (" a", '" a"'),
        (Event.SEND, "SEND"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text
