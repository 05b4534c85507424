"""Mail ids sort by time, never repeat, and are read back from their text."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.mail_id import MailIds, mail_id_number, mail_id_text, worker_of


@given(
    times=st.lists(st.floats(min_value=0, max_value=4e9), min_size=1, max_size=50),
    worker=st.integers(0, 63),
)
def test_ids_grow_whatever_the_clock_does(times: list[float], worker: int) -> None:
    ids = MailIds(worker)
    made = [ids.next(at) for at in times for _ in range(3)]
    assert all(earlier < later for earlier, later in itertools.pairwise(made))
    assert {worker_of(number) for number in made} == {worker}
    assert [mail_id_number(mail_id_text(number)) for number in made] == made


def test_a_burst_within_one_millisecond_does_not_repeat() -> None:
    ids = MailIds(3)
    made = [ids.next(1_700_000_000.0) for _ in range(40_000)]
    assert len(set(made)) == len(made)


def test_after_a_restart_with_the_clock_set_back_ids_go_on() -> None:
    before = [MailIds(1).next(1_700_000_000.0)]
    after = MailIds(1, after=before[-1])
    assert after.next(1_600_000_000.0) > before[-1]


@pytest.mark.parametrize("text", ["", "short", "1k3v8q0zt4w0u", "zzzzzzzzzzzzz", "1k3v8q0zt4w000"])
def test_what_is_no_mail_id_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="not a mail id"):
        mail_id_number(text)
