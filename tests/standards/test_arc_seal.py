"""What a seal of ours takes for our own results."""

from __future__ import annotations

import pytest

from gatepost.standards.arc_seal import own_results

OURS = "mx.example.com"


@pytest.mark.threat("J33")
@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        pytest.param("mx.example.com", True, id="our name"),
        pytest.param("other.example", False, id="another"),
        pytest.param("mx.example.com\x1e", False, id="a control character behind it"),
        pytest.param("mx.example.com\u2003x", False, id="a blank of another alphabet"),
        pytest.param("mx.example.com 1", False, id="a version, which we do not write"),
    ],
)
def test_only_what_is_ours_to_the_letter_is_sealed(name: str, is_ours: bool) -> None:
    head = f"Authentication-Results: {name}; spf=pass\r\n\r\n".encode()
    assert own_results(head, OURS) == (f"{OURS}; spf=pass" if is_ours else "")
