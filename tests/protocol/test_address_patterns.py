"""Lists of addresses with domains and wildcards: which entry fits which address."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.address import NULL_SENDER, Address
from gatepost.protocol.address_patterns import GLOBS_LIMIT, AddressPatterns, _fits

LIST = [
    "Ann@one.example",
    "@two.example",
    "@.three.example",
    "@*.four.example",
    "*@five.example",
    "*-bounce@six.example",
    "a*b*c@six.example",
    "info@*.seven.example",
    "@spam*.example",
    "x@bücher.example",
    '"odd one"@one.example',
    '"very odd *"@one.example',
    '"as odd \\q *"@one.example',
    '"*"@nine.example',
    '"so odd *"@*.seven.example',
]
MATCHES = [
    ("an address, in any case", "ANN@one.example", "Ann@one.example"),
    ("not its neighbour", "anne@one.example", ""),
    ("nor its tagged form", "ann+x@one.example", ""),
    ("a domain", "any@two.example", "@two.example"),
    ("not what is below it", "any@x.two.example", ""),
    ("a domain with all below it", "any@three.example", "@.three.example"),
    ("far below it", "any@a.b.three.example", "@.three.example"),
    ("not one that ends like it", "any@xthree.example", ""),
    ("all below a domain", "any@a.b.four.example", "@*.four.example"),
    ("not the domain itself", "any@four.example", ""),
    ("a star for everybody", "any@five.example", "*@five.example"),
    ("a star in front", "list-bounce@six.example", "*-bounce@six.example"),
    ("a star may stand for nothing", "-bounce@six.example", "*-bounce@six.example"),
    ("several stars", "a1b2c@six.example", "a*b*c@six.example"),
    ("in their order", "acb@six.example", ""),
    ("a star in the domain", "info@x.seven.example", "info@*.seven.example"),
    ("and another local part", "inf@x.seven.example", ""),
    ("a domain by its beginning", "any@spam-42.example", "@spam*.example"),
    ("an IDN by its other form", "X@xn--bcher-kva.example", "x@bücher.example"),
    ("a quoted local part with a star", "very odd two@one.example", '"very odd *"@one.example'),
    ("an escaped letter in it", "as odd q as@one.example", '"as odd \\q *"@one.example'),
    ("a quote that stands alone", '"@eight.example', ""),
    ("nothing in quotes but a star", "any@nine.example", '"*"@nine.example'),
    ("a quoted one in any domain below", "so odd two@x.seven.example", '"so odd *"@*.seven.example'),
    ("a quoted local part", "odd one@one.example", '"odd one"@one.example'),
]


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


def test_which_entry_fits() -> None:
    patterns = AddressPatterns(LIST)
    for name, text, entry in MATCHES:
        assert patterns.match(address(text)) == entry, name
    assert patterns.match(NULL_SENDER) == ""
    assert not AddressPatterns(())


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_a_star_means_what_it_does_in_a_shell(pattern: str, text: str) -> None:
    assert _fits(tuple(pattern.split("*")), text) == fnmatch.fnmatchcase(text, pattern)


def test_a_long_list_is_looked_up_and_not_scanned() -> None:
    patterns = AddressPatterns(
        [f"p{n}@d{n}.example" for n in range(20_000)] + [f"@.e{n}.example" for n in range(20_000)]
    )
    began = time.perf_counter()
    for n in range(1000):
        assert patterns.match(Address("x", f"a.b.e{n}.example"))
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("entry", ['""@*.one.example', '""@one.example'])
def test_nothing_in_quotes_is_no_local_part(entry: str) -> None:
    with pytest.raises(ValueError, match="none of"):
        AddressPatterns([entry])


def test_too_many_that_have_to_be_tried() -> None:
    AddressPatterns([f"{n}*@one.example" for n in range(GLOBS_LIMIT)])
    with pytest.raises(ValueError, match="one by one"):
        AddressPatterns([f"{n}*@one.example" for n in range(GLOBS_LIMIT + 1)])
