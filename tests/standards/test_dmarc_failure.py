"""Which failures a domain asks to hear of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.standards.dmarc_failure import Checked, failure_to_tell

ALL_GOOD = Checked(failed=False, dkim_aligned=True, spf_aligned=True, dkim_failed=False, spf_failed=False)
FORWARDED = Checked(failed=False, dkim_aligned=True, spf_aligned=False, dkim_failed=False, spf_failed=True)
BROKEN = Checked(failed=True, dkim_aligned=False, spf_aligned=False, dkim_failed=True, spf_failed=False)
FORGED = Checked(failed=True, dkim_aligned=False, spf_aligned=False, dkim_failed=False, spf_failed=True)


@pytest.mark.parametrize(
    ("fo", "told"),
    [
        ("0", ["", "", "dmarc", "dmarc"]),
        ("1", ["", "dmarc", "dmarc", "dmarc"]),
        ("d", ["", "", "signature", ""]),
        ("s", ["", "spf", "", "spf"]),
        ("d:s", ["", "spf", "signature", "spf"]),
        (" S : D ", ["", "spf", "signature", "spf"]),
        ("0:s", ["", "spf", "dmarc", "dmarc"]),
        ("", ["", "", "dmarc", "dmarc"]),
        ("nonsense", ["", "", "dmarc", "dmarc"]),
    ],
)
def test_what_is_told(fo: str, told: list[str]) -> None:
    assert [failure_to_tell(fo, checked) for checked in (ALL_GOOD, FORWARDED, BROKEN, FORGED)] == told


@given(st.text())
def test_good_mail_is_never_told_of(fo: str) -> None:
    assert failure_to_tell(fo, ALL_GOOD) == ""
