"""Addresses: what cannot be written to a wire cannot exist; what exists is written so that it is read back."""

from __future__ import annotations

import pytest

from gatepost.model.address import NULL_SENDER, Address


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("bob", "example.com"), "bob@example.com"),
        (Address("bob smith", "example.com"), '"bob smith"@example.com'),
        (Address('a"b\\c', "example.com"), '"a\\"b\\\\c"@example.com'),
        (Address("a..b", "example.com"), '"a..b"@example.com'),
        (Address("a@b", "example.com"), '"a@b"@example.com'),
        (Address("j\u00f6rg", "example.com"), "j\u00f6rg@example.com"),
        (Address("x", "[192.0.2.1]"), "x@[192.0.2.1]"),
        (Address("postmaster", ""), "postmaster"),
        (NULL_SENDER, ""),
    ],
)
def test_as_on_the_wire(address: Address, text: str) -> None:
    assert str(address) == text


@pytest.mark.threat("F25")
@pytest.mark.parametrize("local", ["a\rb", "a\nb", "a\x00b", "a\x7fb", "\ud800", "a\r\nRCPT TO:<x@y>"])
def test_an_address_that_would_break_a_line_cannot_exist(local: str) -> None:
    with pytest.raises(ValueError, match=r"control|Unicode"):
        Address(local, "example.com")


@pytest.mark.threat("K06")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Address("Bob", "example.com"), Address("bob", "example.com"), True),
        (Address("B\u00d6B", "example.com"), Address("b\u00d6b", "example.com"), True),
        (Address("B\u00d6B", "example.com"), Address("b\u00f6b", "example.com"), False),
        (Address("stra\u00dfe", "example.com"), Address("strasse", "example.com"), False),
    ],
)
def test_list_look_ups_fold_ascii_letters_and_nothing_else(one: Address, other: Address, same: bool) -> None:
    assert (one.key == other.key) is same
