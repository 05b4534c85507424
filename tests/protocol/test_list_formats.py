"""Lists as others publish them: every form of an entry, and what becomes of lines that are none."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.shared_data import ABSENT, SHARED

from gatepost.model.address_table import NOT_LISTED, AddressTable, pack
from gatepost.model.ip_ranges import number_of
from gatepost.protocol.list_formats import FORMATS, ListFormat, ParsedList, parse_list

ZONES = SHARED / "dnsbl/zones"


def said(parsed: ParsedList, asked: str) -> str | None:
    """Code and text; None when it is not listed."""
    if parsed.addresses is not None:
        value = parsed.addresses.find(*number_of(asked))
    else:
        assert parsed.names is not None
        value = parsed.names.find(asked)
    if value < 0:
        return None
    listing = parsed.listings[value]
    return f"{listing.code} {listing.text}".strip()


@dataclass(frozen=True)
class Case:
    name: str
    kind: ListFormat
    text: str
    expected: dict[str, str | None]
    bad: int = 0


TWO = "127.0.0.2"
CASES = (
    Case(
        "addresses",
        "text",
        "192.0.2.1\n# x\n\n192.0.2.3 # why\n",
        {"192.0.2.1": TWO, "192.0.2.3": f"{TWO} why", "192.0.2.2": None},
    ),
    Case(
        "networks with numbers behind",
        "text",
        "192.0.2.0/24 ; SBL1\n2001:db8::/32 ; SBL2\n",
        {"192.0.2.9": f"{TWO} SBL1", "2001:db8::9": f"{TWO} SBL2", "2001:db9::": None},
    ),
    Case(
        "ranges",
        "text",
        "192.0.2.5-192.0.2.9\n2001:db8::1-2001:db8::3",
        {"192.0.2.5": TWO, "192.0.2.10": None, "2001:db8::3": TWO, "2001:db8::4": None},
    ),
    Case(
        "lines that are none",
        "text",
        "x\n300.0.2.1\n192.0.2.1/24\n192.0.2.9-192.0.2.1\n192.0.2.1/33\n192.0.2.7",
        {"192.0.2.7": TWO},
        5,
    ),
    Case(
        "short forms",
        "ip4set",
        "192.0.2\n198.51.100.1-9\n203.0\n",
        {"192.0.2.200": TWO, "198.51.100.9": TWO, "198.51.100.10": None, "203.0.255.1": TWO},
    ),
    Case(
        "values",
        "ip4set",
        ":127.0.0.3:default $\n192.0.2.1\n192.0.2.2 :4:four\n192.0.2.3 :127.0.0.5:\n192.0.2.4 words",
        {
            "192.0.2.1": "127.0.0.3 default $",
            "192.0.2.2": "127.0.0.4 four",
            "192.0.2.3": "127.0.0.5 default $",
            "192.0.2.4": "127.0.0.3 words",
        },
    ),
    Case(
        "exceptions",
        "ip4trie",
        "192.0.2.0/24\n!192.0.2.128/25\n192.0.2.129\n",
        {"192.0.2.1": TWO, "192.0.2.130": None, "192.0.2.129": TWO},
    ),
    Case(
        "words by number",
        "ip4set",
        "$1 see example.org\n192.0.2.1 :2:$1",
        {"192.0.2.1": f"{TWO} see example.org"},
    ),
    Case("several sets", "ip4set", "$DATASET ip4set x\n192.0.2.1", {"192.0.2.1": TWO}, 1),
    Case("a wrong value", "ip4set", "192.0.2.1 :999999999999:x\n192.0.2.2 :x:y", {"192.0.2.1": None}, 2),
    Case(
        "IPv6",
        "ip6trie",
        ":2:v6\n2001:db8::/32\n!2001:db8:1::/48\n::ffff:7f00:2",
        {"2001:db8::1": f"{TWO} v6", "2001:db8:1::1": None, "127.0.0.2": f"{TWO} v6"},
    ),
    Case(
        "domains of a data set",
        "dnset",
        "a.example\n.b.example\n*.c.example\n!x.b.example\nd.example:4:four",
        {
            "a.example": TWO,
            "x.a.example": None,
            "b.example": TWO,
            "y.b.example": TWO,
            "x.b.example": None,
            "c.example": None,
            "y.c.example": TWO,
            "d.example": "127.0.0.4 four",
        },
    ),
    Case(
        "plain domains",
        "domains",
        "a.example\n||b.example^\n0.0.0.0 c.example\n*.d.example\nbad name.\n-\n_",
        {
            "x.a.example": TWO,
            "b.example": TWO,
            "c.example": TWO,
            "y.d.example": TWO,
            "example": None,
            "bad": f"{TWO} name.",
        },
    ),
    Case("the test points", "ip4set", "127.0.0.2", {"127.0.0.2": TWO, "127.0.0.1": None}),
)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a_list(case: Case) -> None:
    parsed = parse_list(case.text.splitlines(), case.kind, entries_limit=100)
    assert {asked: said(parsed, asked) for asked in case.expected} == case.expected
    assert parsed.bad_count == case.bad


def test_too_many_entries_are_not_taken() -> None:
    with pytest.raises(ValueError, match="more than 2 entries"):
        parse_list(["192.0.2.1", "192.0.2.2", "192.0.2.3"], "text", entries_limit=2)


@settings(max_examples=200)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), max_size=5),
)
def test_no_line_breaks_the_reader(kind: ListFormat, lines: list[str]) -> None:
    parse_list(lines, kind, entries_limit=100)


LINES = st.from_regex(
    r"[!:$.*]?[0-9a-f:.*]{0,20}[/-]?[0-9.]{0,8} ?:?[0-9.]{0,9}:?[a-z$0-9]{0,4}", fullmatch=True
)


@settings(max_examples=200)
@given(st.sampled_from(FORMATS), st.lists(LINES, max_size=6))
def test_no_nearly_right_line_breaks_the_reader(kind: ListFormat, lines: list[str]) -> None:
    parse_list(lines, kind, entries_limit=100)


RANGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from([0, 1, 2, NOT_LISTED])), max_size=8
)


@settings(max_examples=200)
@given(RANGES, st.sampled_from([4, 6]))
def test_the_table_agrees_with_looking_at_every_network(
    ranges: list[tuple[int, int, int]], version: int
) -> None:
    """Networks nest; of those that hold an address the smallest counts, of equals the highest value."""
    networks = []
    for number, length, value in ranges:
        shift = length % 6
        low = number >> shift << shift
        networks.append((low, low + (1 << shift) - 1, value))
    packed = [pack(version, low, high, value) for low, high, value in networks]
    table = AddressTable.of(packed if version == 4 else [], packed if version == 6 else [])
    for address in range(80):
        around = [(high - low, -value, value) for low, high, value in networks if low <= address <= high]
        expected = min(around)[2] if around else NOT_LISTED
        assert table.find(version, address) == (-1 if expected == NOT_LISTED else expected)


def test_the_ends_of_the_address_space() -> None:
    parsed = parse_list(["0.0.0.0/1", "255.255.255.255", "::/1", "ffff::/16"], "text", entries_limit=10)
    for address in ("0.0.0.0", "127.255.255.255", "255.255.255.255", "::", "ffff::1"):
        assert said(parsed, address) == TWO, address
    for address in ("128.0.0.0", "255.255.255.254", "8000::"):
        assert said(parsed, address) is None, address


@pytest.mark.skipif(not ZONES.exists(), reason=ABSENT)
def test_the_shared_zone_files() -> None:
    def read(name: str, kind: ListFormat) -> ParsedList:
        return parse_list((ZONES / name).read_text().splitlines(), kind, entries_limit=1000)

    ip4, ip6, names = (
        read("ip4.rbldnsd", "ip4set"),
        read("ip6.rbldnsd", "ip6trie"),
        read("dbl.rbldnsd", "dnset"),
    )
    assert said(ip4, "198.51.100.7") == "127.0.0.4 Open proxy $"
    assert said(ip4, "192.0.2.77") == "127.0.0.2 Listed, see test:$"
    assert (said(ip4, "203.0.113.5"), said(ip4, "127.0.0.1"), said(ip4, "192.0.2.129")) == (None, None, None)
    assert said(ip6, "2001:db8:bad::25") is not None
    assert said(names, "www.spam-domain.example") == "127.0.1.2 Domain listed $"
    assert (said(names, "invalid"), said(names, "phish.example")) == (None, "127.0.1.4 Phishing $")
