"""What a row holds that is not simply a field: the number of a record."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.adapters.sqlite_rows import RefusedChange, record_number

TIMES = st.floats(0, 4.3e9)


@given(TIMES, TIMES)
def test_later_records_have_greater_numbers(one: float, other: float) -> None:
    early, late = sorted((one, other))
    assert record_number("track", early) <= record_number("track", late)
    if late - early >= 0.002:
        assert record_number("track", early) + (1 << 20) <= record_number("track", late)


@pytest.mark.parametrize("kind", ["agent", "track"])
@pytest.mark.parametrize("at", [-math.inf, -1.0, 0.0, 4.3e9, 1e300, math.inf])
def test_numbers_fit_and_kinds_never_mix(kind: str, at: float) -> None:
    number = record_number(kind, at)
    assert 0 <= number <= number + (1 << 20) - 1 < 1 << 63
    assert (number >> 62 == 1) is (kind == "track")


def test_a_kind_nobody_knows_is_refused() -> None:
    with pytest.raises(RefusedChange, match="kind"):
        record_number("x", 1.0)
