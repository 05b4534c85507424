"""Tag lists: what is one, what is not, and that nothing else is ever raised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.standards.tag_list import BadTagList, base64_of, number_of, parse_tags

GOOD = [
    ("one tag", b"a=1", {"a": "1"}),
    ("a semicolon at the end", b"a=1; b=2;", {"a": "1", "b": "2"}),
    ("blanks and folds mean nothing around a value", b" a =\r\n\t1 ;\r\n b= 2 3 ", {"a": "1", "b": "2 3"}),
    ("a value may be empty", b"p=", {"p": ""}),
    ("a value may hold an equals sign", b"b=ab==", {"b": "ab=="}),
    ("names keep their case", b"a=1; A=2", {"a": "1", "A": "2"}),
    ("UTF-8 (RFC 8616)", "d=bücher.test".encode(), {"d": "bücher.test"}),
]
BAD = [
    ("nothing", b""),
    ("no equals sign", b"k=rsa; t; p="),
    ("an empty tag in the middle", b"a=1;;b=2"),
    ("a name that stands twice", b"a=1; a=1"),
    ("a name that begins with a digit", b"1a=1"),
    ("NUL", b"a=1\0"),
    ("a bare newline", b"a=1;\n b=2"),
    ("a bare carriage return", b"a=1;\r b=2"),
    ("not UTF-8", b"a=\xff"),
    ("too many tags", b";".join(b"a%d=1" % n for n in range(65))),
]


@pytest.mark.parametrize(("text", "tags"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
def test_a_tag_list_is_read(text: bytes, tags: dict[str, str]) -> None:
    assert parse_tags(text) == tags


@pytest.mark.threat("J23")
@pytest.mark.parametrize("text", [row[1] for row in BAD], ids=[row[0] for row in BAD])
def test_what_is_no_tag_list_is_refused(text: bytes) -> None:
    with pytest.raises(BadTagList):
        parse_tags(text)


@pytest.mark.parametrize("value", ["a", "ab=c", "é===", "====", "YQ=a", "YQ"])
def test_what_is_no_base64_is_refused(value: str) -> None:
    with pytest.raises(BadTagList):
        base64_of({"b": value}, "b")


@pytest.mark.parametrize("value", ["", "-1", "1e3", "١٢", "1" * 13, "0x1"])
def test_what_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(BadTagList):
        number_of({"t": value}, "t")


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"a=", b";", b"=", b"b", b"\r\n ", b"="])).map(b"".join)
)
def test_any_octets_are_read_or_refused(text: bytes) -> None:
    try:
        tags = parse_tags(text)
    except BadTagList:
        return
    assert all("\n" not in value and ";" not in value for value in tags.values())
