"""The header index: what it reads, what it calls a defect, and that it takes anything in linear time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.headers import Defect, HeaderField, HeaderIndex, name_of, raw_fields, split

SCRAPS = st.sampled_from(
    [
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b":",
        b"a",
        b"Subject",
        b": x",
        b"\0",
        b"\x85",
        b"\xc2\x85",
        b"\x0b",
        b"\xff",
    ]
)
ANYTHING = st.one_of(st.binary(max_size=200), st.lists(SCRAPS, max_size=30).map(b"".join))


def fields(*pairs: tuple[str, str]) -> tuple[HeaderField, ...]:
    return tuple(HeaderField(name.encode(), value.encode()) for name, value in pairs)


@dataclass(frozen=True)
class Reading:
    name: str
    head: bytes
    fields: tuple[HeaderField, ...]
    defects: frozenset[Defect] = frozenset()


def flawed(name: str, head: bytes, read: tuple[HeaderField, ...], *defects: Defect) -> Reading:
    return Reading(name, head, read, frozenset(defects))


A = ("a", "1")
READINGS = [
    Reading("two fields", b"A: 1\r\nB: 2\r\n\r\n", fields(A, ("b", "2"))),
    Reading("no fields at all", b"\r\n", ()),
    Reading("a folded value", b"A: 1\r\n 2\r\n\t3\r\n\r\n", fields(("a", "1 2\t3"))),
    Reading("an empty value", b"A:\r\nB: 2\r\n\r\n", fields(("a", ""), ("b", "2"))),
    Reading("a colon in the value", b"A: b: c\r\n\r\n", fields(("a", "b: c"))),
    Reading("8-bit in a value", "A: ü\r\n\r\n".encode(), fields(("a", "ü"))),
    Reading("the same name twice", b"A: 1\r\na: 2\r\n\r\n", fields(A, ("a", "2"))),
    Reading(
        "odd but lawful names", b"__proto__: 1\r\n{0}: 2\r\n\r\n", fields(("__proto__", "1"), ("{0}", "2"))
    ),
    flawed(
        "a line that is no field", b"A: 1\r\nrubbish\r\n\r\n", fields(A, ("", "rubbish")), Defect.NO_COLON
    ),
    flawed("a From line of mbox", b"From a@b\r\nA: 1\r\n\r\n", fields(("", "From a@b"), A), Defect.NO_COLON),
    flawed("a blank before the colon", b"A : 1\r\n\r\n", fields(A), Defect.BLANK_BEFORE_COLON),
    flawed("a folded name", b"A\r\n : 1\r\n\r\n", fields(A), Defect.BLANK_BEFORE_COLON),
    flawed("a name of two words", b"A b: 1\r\n\r\n", fields(("a b", "1")), Defect.ODD_NAME),
    flawed("an 8-bit name", "ä: 1\r\n\r\n".encode(), fields(("ä", "1")), Defect.ODD_NAME),
    flawed("no name", b": 1\r\n\r\n", fields(("", "1")), Defect.EMPTY_NAME),
    flawed("a folded line first", b" A: 1\r\n\r\n", fields(A), Defect.LEADING_BLANK),
    flawed("a line of blanks", b"A: 1\r\n \t\r\nB: 2\r\n\r\n", fields(A, ("b", "2")), Defect.BLANK_LINE),
    flawed("a fold of blanks last", b"A: 1\r\n \r\n\r\n", fields(A), Defect.BLANK_LINE),
    flawed("bare CR", b"A: 1\rB: 2\r\n\r\n", fields(("a", "1\rB: 2")), Defect.BARE_CR),
    flawed("bare LF", b"A: 1\nB: 2\r\n\r\n", fields(("a", "1\nB: 2")), Defect.BARE_LF),
    flawed("an end by bare LFs", b"A: 1\n\nB: 2\r\n\r\n", fields(("a", "1\n\nB: 2")), Defect.BARE_LF),
    flawed("NUL", b"A: 1\0\r\n\r\n", fields(("a", "1\0")), Defect.NUL),
    flawed("no empty line", b"A: 1\r\n", fields(A), Defect.NO_END),
    flawed("not even CR LF", b"A: 1", fields(A), Defect.NO_END),
    flawed("nothing", b"", (), Defect.NO_END),
    flawed("VT", b"A: 1\x0bB: 2\r\n\r\n", fields(("a", "1\x0bB: 2")), Defect.OTHER_LINE_END),
    flawed("FF", b"A: 1\x0cB: 2\r\n\r\n", fields(("a", "1\x0cB: 2")), Defect.OTHER_LINE_END),
    flawed("RS", b"A: 1\x1eB: 2\r\n\r\n", fields(("a", "1\x1eB: 2")), Defect.OTHER_LINE_END),
    flawed("NEL", "A: 1\x85B: 2\r\n\r\n".encode(), fields(("a", "1\x85B: 2")), Defect.OTHER_LINE_END),
    flawed("U+2028", "A: 1\u2028B: 2\r\n\r\n".encode(), fields(("a", "1\u2028B: 2")), Defect.OTHER_LINE_END),
]


@pytest.mark.threat("A20", "A21", "H20", "B35")
@pytest.mark.parametrize("case", READINGS, ids=lambda c: c.name)
def test_a_header_section_is_read_one_way(case: Reading) -> None:
    # When it is read
    index = HeaderIndex.parse(case.head)
    # Then fields and defects are these
    assert index.fields == case.fields
    assert index.defects == case.defects


SPLITS = [
    ("the usual", b"A: 1\r\n\r\nbody", (b"A: 1\r\n\r\n", b"body")),
    ("no fields", b"\r\nbody", (b"\r\n", b"body")),
    ("no body", b"A: 1\r\n\r\n", (b"A: 1\r\n\r\n", b"")),
    ("no empty line", b"A: 1\r\nB: 2", (b"A: 1\r\nB: 2", b"")),
    ("the first empty line counts", b"A: 1\r\n\r\n\r\n\r\n", (b"A: 1\r\n\r\n", b"\r\n\r\n")),
    ("a line of blanks is no end", b"A: 1\r\n \r\nB: 2\r\n\r\nx", (b"A: 1\r\n \r\nB: 2\r\n\r\n", b"x")),
    ("bare CR is no end", b"A: 1\r\r\n\r\rx\r\n\r\ny", (b"A: 1\r\r\n\r\rx\r\n\r\n", b"y")),
    ("bare LF is no end", b"A: 1\n\nx", (b"A: 1\n\nx", b"")),
]


@pytest.mark.threat("A20")
@pytest.mark.parametrize(("content", "parts"), [s[1:] for s in SPLITS], ids=[s[0] for s in SPLITS])
def test_head_and_body_are_split_at_the_first_empty_line(content: bytes, parts: tuple[bytes, bytes]) -> None:
    assert split(content) == parts


def test_fields_are_found_by_name() -> None:
    index = HeaderIndex.parse(b"To: a\r\nReceived: new\r\nRECEIVED : old\r\n\r\n")
    assert index.first(b"received") == b"new"
    assert index.all(b"received") == [b"new", b"old"]
    assert index.count(b"received") == 2
    assert index.first(b"from") is None
    assert index.count(b"from") == 0


@pytest.mark.threat("B35", "H01")
def test_names_of_any_length_are_ordinary_fields_up_to_the_limit_of_their_number() -> None:
    # Given as many fields as allowed, one of them with a name of 4 KiB, then one more
    head = b"n" * 4096 + b": 1\r\n" + b"A: 1\r\n" * 8
    at_limit = HeaderIndex.parse(head + b"\r\n", fields_limit=9)
    one_more = HeaderIndex.parse(head + b"B: 1\r\n\r\n", fields_limit=9)
    # Then the limit holds
    assert at_limit.count(b"n" * 4096) == 1
    assert not at_limit.defects or at_limit.defects == {Defect.TOO_MANY_FIELDS}
    assert len(at_limit.fields) == 9
    assert len(one_more.fields) == 9
    assert one_more.defects == {Defect.TOO_MANY_FIELDS}


@given(ANYTHING)
def test_any_bytes_are_read(head: bytes) -> None:
    index = HeaderIndex.parse(head)
    assert all(name == name.strip(b" \t\r\n").lower() for name, _ in index.fields)
    assert not any(b"\r\n" in value for _, value in index.fields)


@given(ANYTHING)
def test_raw_fields_are_the_head(head: bytes) -> None:
    raws = raw_fields(head)
    rest = b"\r\n" if head == b"\r\n" or head.endswith(b"\r\n\r\n") else b""
    assert b"".join(raws) + rest == head
    assert [name_of(raw) for raw in raws] == [name for name, _ in HeaderIndex.parse(head).fields]


@given(ANYTHING, ANYTHING)
def test_the_split_loses_nothing(before: bytes, after: bytes) -> None:
    content = before + b"\r\n\r\n" + after
    head, body = split(content)
    assert head + body == content
    assert b"\r\n\r\n" not in head[:-1]


@given(
    st.lists(st.tuples(st.sampled_from(["A", "Subject", "X-1"]), st.text("ab :\t", max_size=8)), max_size=5)
)
def test_tidy_and_untidy_readings_agree(pairs: list[tuple[str, str]]) -> None:
    # Given a lawful section, and the same with a defect at its end
    head = b"".join(f"{name}: x{value}\r\n".encode() for name, value in pairs)
    # Then the fields before the defect are read alike by the fast way and the careful one
    careful = HeaderIndex.parse(head + b"Z : 1\r\n\r\n")
    assert HeaderIndex.parse(head + b"Z: 1\r\n\r\n").fields == careful.fields
    assert Defect.BLANK_BEFORE_COLON in careful.defects


HUGE = [
    ("fields", b"a: b\r\n" * 50_000 + b"\r\n"),
    ("lines without a colon", b"a\r\n" * 80_000 + b"\r\n"),
    ("folds", b"a: b" + b"\r\n c" * 60_000 + b"\r\n\r\n"),
    ("folds of blanks", b"a: b" + b"\r\n " * 80_000 + b"\r\n\r\n"),
    ("blanks", b"a: b\r\n" + b" " * 250_000 + b"\r\n\r\n"),
    ("CRs", b"a: b" + b"\r" * 250_000 + b"\r\n\r\n"),
    ("colons", b":" * 250_000 + b"\r\n\r\n"),
    ("one field", b"a: " + b"a " * 120_000 + b"\r\n\r\n"),
]


@pytest.mark.threat("H01")
@pytest.mark.parametrize("head", [h for _, h in HUGE], ids=[n for n, _ in HUGE])
def test_a_quarter_of_a_megabyte_of_anything_is_read_quickly(head: bytes) -> None:
    started = time.process_time()
    HeaderIndex.parse(head).fields  # noqa: B018
    raw_fields(head)
    # A quadratic reading takes minutes; a linear one some milliseconds.
    assert time.process_time() - started < 20
