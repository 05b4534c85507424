"""When a connector sends: the spans a text means, and when they begin."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.schedule import parse_schedule

# 2026-11-23 is a Monday.
CASES = [
    ("always", ("always",), "23T12:00", "23T12:00"),
    ("within hours", ("08:00-18:00",), "23T08:00", "23T08:00"),
    ("a minute early", ("08:00-18:00",), "23T07:59", "23T08:00"),
    ("at the end", ("08:00-18:00",), "23T18:00", "24T08:00"),
    ("over midnight, in the evening", ("22:00-06:00",), "23T23:30", "23T23:30"),
    ("over midnight, in the morning", ("22:00-06:00",), "23T05:59", "23T05:59"),
    ("over midnight, by day", ("22:00-06:00",), "23T06:00", "23T22:00"),
    ("the weekend, on Monday", ("sat,sun",), "23T00:00", "28T00:00"),
    ("the weekend, on Sunday night", ("sat,sun",), "29T23:59", "29T23:59"),
    ("over the end of the week", ("sun 22:00-04:00",), "23T03:00", "23T03:00"),
    ("days around the week's end", ("fri-mon",), "24T00:00", "27T00:00"),
    ("the nearest of several", ("mon 01:00-02:00", "wed 08:00-24:00"), "24T00:00", "25T08:00"),
    ("up to midnight", ("mon-fri 18:00-24:00",), "23T23:59", "23T23:59"),
    ("large letters", ("MON 08:00-09:00",), "23T08:30", "23T08:30"),
]


def at(text: str) -> float:
    return datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("texts", "now", "opens"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_when_it_opens(texts: tuple[str, ...], now: str, opens: str) -> None:
    assert parse_schedule(texts).opens_at(at(now)) == at(opens)


def test_never_is_never() -> None:
    assert parse_schedule(("never",)).opens_at(at("23T00:00")) == math.inf


WRONG = [
    (),
    ("",),
    ("daily",),
    ("8:00-9:00",),
    ("08:60-09:00",),
    ("24:00-08:00",),
    ("08:00-25:00",),
    ("mon", "always"),
    ("never", "mon"),
    ("mon-xyz",),
    ("mon 08:00-09:00 x",),
    ("08:00-09:00 mon",),
    ("mon-fri 18-20",),
]


@pytest.mark.parametrize("texts", WRONG, ids=repr)
def test_what_is_no_schedule(texts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"^(is empty|.* is not a time|.* stands alone)"):
        parse_schedule(texts)


@given(st.floats(0, 4e9), st.integers(0, 1439), st.integers(0, 1440))
def test_it_is_open_when_it_opens(now: float, start: int, end: int) -> None:
    schedule = parse_schedule((f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}",))
    opens_at = schedule.opens_at(now)
    assert now <= opens_at <= now + 86400
    assert schedule.opens_at(opens_at + 0.01) == opens_at + 0.01
