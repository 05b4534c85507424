"""Search texts that would keep a backtracking matcher busy for ever."""

from __future__ import annotations

import apsw
import pytest

from gatepost.adapters.store_filters import like, matches
from gatepost.ports.store import SEARCH_LIMIT_CHARACTERS

TEXT = "a" * 10_000


@pytest.mark.threat("S06")
@pytest.mark.parametrize(
    "pattern", ["*a" * 400 + "*b", "a*" * 400 + "b", "*" * 900 + "b"], ids=["*a", "a*", "*"]
)
def test_stars_without_end_find_nothing_and_end(pattern: str) -> None:
    assert not matches(TEXT, pattern)
    database = apsw.Connection(":memory:")
    ((found,),) = database.execute("SELECT ? LIKE ? ESCAPE '~'", (TEXT, like(pattern)))
    assert not found


@pytest.mark.threat("S06")
def test_no_character_of_a_search_is_a_program() -> None:
    assert not matches("aaaa", "(a+)+$")
    assert matches("(a+)+$", "(A+)*")
    with pytest.raises(ValueError, match="at most 1000 characters"):
        like("x" * (SEARCH_LIMIT_CHARACTERS + 1))
