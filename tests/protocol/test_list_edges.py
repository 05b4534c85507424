"""The edges of lists that others publish, and of lists of patterns: one past each limit, and what is told of it."""

from __future__ import annotations

from typing import get_args

import pytest
from tests.protocol.test_list_formats import TWO, said

from gatepost.model.address import Address
from gatepost.protocol import list_formats
from gatepost.protocol.address_patterns import AddressPatterns, _fits, check_patterns
from gatepost.protocol.list_formats import FORMATS, ListFormat, parse_list, range_of


def test_the_formats_are_those_that_a_setting_names() -> None:
    assert get_args(ListFormat) == FORMATS


@pytest.mark.parametrize("kind", FORMATS)
def test_entries_are_counted_up_to_the_limit(kind: ListFormat) -> None:
    lines = ["a.example", "b.example"] if kind in ("dnset", "domains") else ["192.0.2.1", "192.0.2.2"]
    parsed = parse_list(lines, kind, entries_limit=2)
    assert (parsed.entries, parsed.bad_count, parsed.bad_lines) == (2, 0, ())
    assert parsed.size_bytes > 0
    with pytest.raises(ValueError, match="has more than 1 entries"):
        parse_list(lines, kind, entries_limit=1)


def test_the_first_five_bad_lines_are_told_with_their_numbers() -> None:
    parsed = parse_list(["192.0.2.1", *["x" * 300] * 7], "text", entries_limit=9)
    assert parsed.bad_count == 7
    assert [number for number, _ in parsed.bad_lines] == [2, 3, 4, 5, 6]
    assert {len(why) for _, why in parsed.bad_lines} == {200}


def test_a_line_has_a_limit() -> None:
    def bad(size: int) -> list[str]:
        line = "192.0.2.1 " + "y" * (size - 10)
        return [why for _, why in parse_list([line], "text", entries_limit=9).bad_lines]

    assert bad(2048) == []
    assert bad(2049) == ["it is too long"]


COMMENTS = {
    "words with blanks": ("192.0.2.1 two words ~", f"{TWO} two words ~"),
    "it may begin with any letter": ("192.0.2.1 #; Xylophone", f"{TWO} Xylophone"),
    "control characters and others are hidden": ("192.0.2.1 a\x07b\x7fc\xe9", f"{TWO} a?b?c?"),
    "so long and no longer": ("192.0.2.1 " + "z" * 300, f"{TWO} " + "z" * 240),
}


@pytest.mark.parametrize("case", COMMENTS)
def test_a_comment(case: str) -> None:
    line, expected = COMMENTS[case]
    assert said(parse_list([line], "text", entries_limit=9), "192.0.2.1") == expected


VALUES = {
    "behind a tab": ("192.0.2.1\t:4:four", "127.0.0.4 four"),
    "hidden characters": ("192.0.2.1 :4:a\x07 ~\x7f", "127.0.0.4 a? ~?"),
    "so long and no longer": ("192.0.2.1 :4:" + "z" * 300, "127.0.0.4 " + "z" * 240),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value(case: str) -> None:
    line, expected = VALUES[case]
    assert said(parse_list([line], "ip4set", entries_limit=9), "192.0.2.1") == expected


def test_more_values_than_a_table_can_tell_apart_are_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_formats, "VALUES_LIMIT", 3)
    parsed = parse_list([f"192.0.2.{n} v{n}" for n in range(5)], "text", entries_limit=9)
    assert [said(parsed, f"192.0.2.{n}") for n in range(5)] == [f"{TWO} v{n}" for n in (0, 1, 2, 0, 0)]


DOMAINS = {
    "upper case at the beginning is no comment": ("X.example", "x.example", TWO),
    "upper case within is none either": ("aXb.example", "axb.example", TWO),
    "what is no number alone is a name": ("X1 words", "x1", f"{TWO} words"),
    "no name": ("exa!mple.org", "exa!mple.org", None),
}


@pytest.mark.parametrize("case", DOMAINS)
def test_a_domain(case: str) -> None:
    line, asked, expected = DOMAINS[case]
    parsed = parse_list([line], "domains", entries_limit=9)
    assert said(parsed, asked) == expected
    assert parsed.bad_count == (expected is None)


V4 = {
    "192.0.2.5-192.0.2.5": ("192.0.2.5", "192.0.2.5"),
    "192.0.2.1/32": ("192.0.2.1", "192.0.2.1"),
    "192.0.2.1-255": ("192.0.2.1", "192.0.2.255"),
    "255.255.255.255": ("255.255.255.255", "255.255.255.255"),
    "192.0.2": ("192.0.2.0", "192.0.2.255"),
    "203.0.113-203.0.114": ("203.0.113.0", "203.0.114.255"),
    "203.0-1": ("203.0.0.0", "203.1.255.255"),
}


@pytest.mark.parametrize("text", V4)
def test_a_range_has_two_ends(text: str) -> None:
    ends = tuple(int.from_bytes(bytes(map(int, end.split(".")))) for end in V4[text])
    assert range_of(text) == (4, *ends)
    assert range_of("2001:db8::2-2001:db8::2") == (6, *[0x20010DB8 << 96 | 2] * 2)


@pytest.mark.parametrize(
    "text",
    [
        "256.0.2.1",
        "192.0.2.1-256",
        "192.0.2.9-192.0.2.8",
        "192.0.2.1/24",
        "2001:db8::3-2001:db8::1",
        "::1-192.0.2.1",
        "192.0.2.1-::1",
        "::1-::2-::3",
        "2001:db8::1/32",
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        range_of(text)


PATTERNS = {
    "stars in two labels": ("@*.*x.example", "any@b.cx.example"),
    "the longest label with a star": (f"x@*{'a' * 62}.example", f"x@b{'a' * 62}.example"),
    "a final dot": ("info@*.seven.example.", "info@x.seven.example"),
    "a domain in capitals": ("info@*.SEVEN.example", "info@x.seven.example"),
}


@pytest.mark.parametrize("case", PATTERNS)
def test_a_pattern_finds(case: str) -> None:
    entry, address = PATTERNS[case]
    local, _, domain = address.rpartition("@")
    assert AddressPatterns([entry]).match(Address(local, domain)) == entry
    assert check_patterns((entry,)) == (entry,)


@pytest.mark.parametrize(
    "entry",
    ["nobody", "", "a*@exa mple*", "info@bü*r.example", "x@", "@exa mple", "a*b@exa mple", "y" * 400],
)
def test_what_is_no_pattern_is_refused_with_the_forms_there_are(entry: str) -> None:
    with pytest.raises(ValueError, match="is none of") as refused:
        check_patterns((entry,))
    assert str(refused.value).startswith(repr(entry[:320]))


def test_a_thousand_patterns_of_domains_may_be_tried() -> None:
    assert AddressPatterns([f"x@*.d{n}.example" for n in range(1000)])
    with pytest.raises(ValueError, match="has 1001 entries"):
        AddressPatterns([f"x@*.d{n}.example" for n in range(1001)])


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("ab*ba", "aba", False),
        ("ab*ba", "abba", True),
        ("a*b*b", "ab", False),
        ("a*b*b", "abb", True),
        ("*ab*ab*", "xab", False),
        ("*ab*ab*", "xabab", True),
    ],
)
def test_no_letter_stands_for_two(pattern: str, text: str, fits: bool) -> None:
    assert _fits(tuple(pattern.split("*")), text) is fits
