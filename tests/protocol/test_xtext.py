"""xtext, octet by octet."""

from __future__ import annotations

import pytest

from gatepost.protocol.xtext import decode_xtext


@pytest.mark.threat("B21")
@pytest.mark.parametrize("octet", range(256), ids=lambda n: f"+{n:02X}")
def test_an_octet_in_hexadecimal_is_taken_when_it_is_printable(octet: int) -> None:
    said = f"a+{octet:02X}b"
    if 0x20 <= octet <= 0x7E:
        assert decode_xtext(said) == f"a{chr(octet)}b"
    else:
        with pytest.raises(ValueError):
            decode_xtext(said)
