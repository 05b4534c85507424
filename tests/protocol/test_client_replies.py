"""Replies of a next hop: what is one, what is none, and that their text is harmless."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.fault import WorldFault
from gatepost.protocol.replies import (
    LINE_LIMIT_BYTES,
    LINES_LIMIT,
    SAFE_TEXT_LIMIT_BYTES,
    PeerReply,
    ReplyReader,
    safe_reply_text,
)


@dataclass(frozen=True)
class Case:
    name: str
    given: bytes
    then: list[tuple[int, str]]


GOOD = [
    Case("one line", b"250 2.0.0 OK\r\n", [(250, "250 2.0.0 OK")]),
    Case("several lines", b"250-a\r\n250-b\r\n250 c\r\n", [(250, "250 a b c")]),
    Case("several replies", b"250 a\r\n354 b\r\n", [(250, "250 a"), (354, "354 b")]),
    Case(
        "two of several lines", b"250-a\r\n250 b\r\n450-c\r\n450 d\r\n", [(250, "250 a b"), (450, "450 c d")]
    ),
    Case("a blank and no words", b"250 \r\n", [(250, "250")]),
    Case("no words in a first line", b"250-\r\n250 x\r\n", [(250, "250  x")]),
    Case("half a line is none yet", b"250 a\r\n250 b", [(250, "250 a")]),
    Case("half a line end is none yet", b"250 a\r", []),
    Case("a bare LF is text", b"250 a\n550 b\r\n", [(250, "250 a?550 b")]),
    Case("a bare CR is text", b"250 a\r550 b\r\n", [(250, "250 a?550 b")]),
    Case("a no of a number nobody knows", b"571 5.7.1 blocked\r\n", [(571, "571 5.7.1 blocked")]),
    Case("a later of a number nobody knows", b"499-a\r\n499 b\r\n", [(499, "499 a b")]),
    Case("NUL, ANSI and 8-bit are no text", b"550 \x00\x1b[2J\xc3\xa4\r\n", [(550, "550 ??[2J??")]),
]


def read_all(data: bytes, *, cut: int = 0) -> list[PeerReply]:
    reader = ReplyReader()
    replies = []
    for piece in [data[:cut], data[cut:]] if cut else [data]:
        reader.receive(piece)
        while (reply := reader.next_reply()) is not None:
            replies.append(reply)
    return replies


@pytest.mark.threat("N02")
@pytest.mark.parametrize("case", GOOD, ids=lambda c: c.name)
def test_replies_are_read(case: Case) -> None:
    for cut in range(len(case.given)):
        assert [(r.code, r.text) for r in read_all(case.given, cut=cut)] == case.then


BAD = {
    "code 000": b"000 no\r\n",
    "code 999": b"999 no\r\n",
    "code 199": b"199 no\r\n",
    "code 2x0": b"2x0 no\r\n",
    "code 260": b"260 no\r\n",
    "code 360": b"360 no\r\n",
    "code 600": b"600 no\r\n",
    "four digits": b"2500 no\r\n",
    "two digits": b"25 no\r\n",
    "a blank first": b" 250 no\r\n",
    "an empty line": b"\r\n",
    "another mark": b"250+no\r\n",
    "mixed codes": b"250-a\r\n550 b\r\n",
    "digits that are not ASCII": "٢٥٠ no\r\n".encode(),
    "a line without an end": b"250 " + b"x" * LINE_LIMIT_BYTES,
    "one MB without an end": b"2" * 1_000_000,
    "101 lines": b"250-x\r\n" * LINES_LIMIT + b"250 x\r\n",
    "64 KiB of lines": (b"250-" + b"x" * 2000 + b"\r\n") * 40 + b"250 x\r\n",
}


@pytest.mark.threat("N01", "N03")
@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_what_is_no_reply_breaks_the_conversation(data: bytes) -> None:
    with pytest.raises(WorldFault):
        read_all(data)


def test_a_reply_of_100_lines_is_read() -> None:
    assert len(read_all(b"250-x\r\n" * (LINES_LIMIT - 1) + b"250 x\r\n")) == 1


def test_a_line_of_the_limit_is_read() -> None:
    assert len(read_all(b"250 " + b"x" * (LINE_LIMIT_BYTES - 6) + b"\r\n")) == 1


LIMITS = [
    ("100 lines", b"250-x\r\n" * 99 + b"250 x\r\n", True),
    ("101 lines", b"250-x\r\n" * 100 + b"250 x\r\n", False),
    ("a line of 2 KiB with its end", b"250 " + b"x" * 2042 + b"\r\n", True),
    ("a line of 2 KiB and one octet", b"250 " + b"x" * 2043 + b"\r\n", False),
    ("a reply of 64 KiB", (b"250-" + b"x" * 1024 + b"\r\n") * 64 + b"250 x\r\n", True),
    ("a reply of more", (b"250-" + b"x" * 1024 + b"\r\n") * 64 + b"250-x\r\n250 x\r\n", False),
    (
        "a reply of 64 KiB after another",
        b"250 x\r\n" + (b"250-" + b"x" * 1024 + b"\r\n") * 64 + b"250 x\r\n",
        True,
    ),
    ("a line of 2 KiB without its end", b"250 " + b"x" * 2044, False),
    ("many short replies", b"250 x\r\n" * 18000, True),
    ("128 KiB at once", b"250 xx\r\n" * 16384, True),
    ("one octet more at once", b"250 xx\r\n" * 16383 + b"250 xxx\r\n", False),
    ("more at once than anybody asked for", b"250 x\r\n" * 19000, False),
]


@pytest.mark.threat("N01")
@pytest.mark.parametrize(("name", "data", "good"), LIMITS, ids=[row[0] for row in LIMITS])
def test_limits(name: str, data: bytes, good: bool) -> None:
    if good:
        assert read_all(data)
    else:
        with pytest.raises(WorldFault):
            read_all(data)


@pytest.mark.parametrize(
    ("code", "kind"), [(200, 2), (299, 2), (300, 3), (399, 3), (400, 4), (499, 4), (500, 5), (559, 5)]
)
def test_the_class_of_a_code(code: int, kind: int) -> None:
    reply = PeerReply(code, (b"x",))
    assert (reply.is_positive, reply.is_temporary, reply.is_permanent) == (kind == 2, kind == 4, kind == 5)
    assert not reply.bare


@pytest.mark.threat("N01")
def test_an_endless_reply_is_not_kept() -> None:
    with pytest.raises(WorldFault):
        read_all(b"250-x" * 1_000_000)


@pytest.mark.threat("N02", "L10")
@given(st.integers(200, 599), st.lists(st.binary(max_size=900), min_size=1, max_size=4))
def test_the_text_of_a_reply_is_one_harmless_line(code: int, lines: list[bytes]) -> None:
    text = safe_reply_text(code, tuple(lines))
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= SAFE_TEXT_LIMIT_BYTES
    assert text.startswith(str(code))


def test_a_long_text_is_cut_at_500_octets() -> None:
    assert len(safe_reply_text(550, (b"x" * 600,))) == 500


@pytest.mark.parametrize(
    ("code", "line", "then"),
    [
        (550, b"5.1.1 no", "5.1.1"),
        (550, b"2.0.0 ok", ""),
        (550, b"no", ""),
        (550, b"5.1.1", "5.1.1"),
        (550, b"5.1.1x no", ""),
        (550, b"\xff5.1.1 no", ""),
        (421, b"4.3.2 later", "4.3.2"),
        (421, b"2.0.0 later", ""),
    ],
)
def test_the_enhanced_code_must_agree(code: int, line: bytes, then: str) -> None:
    assert PeerReply(code, (line,)).enhanced == then


LATER = [
    # As Cyrus IMAP says it
    (550, (b"Mailbox unknown.", b"or no rights.", b"5.1.1 User unknown"), "5.1.1",
     "550 5.1.1 Mailbox unknown. or no rights. 5.1.1 User unknown"),
    (550, (b"5.7.1 not you", b"5.1.1 nobody"), "5.7.1", "550 5.7.1 not you 5.1.1 nobody"),
    (550, (b"no", b"4.2.2 full", b"5.2.1 off"), "5.2.1", "550 5.2.1 no 4.2.2 full 5.2.1 off"),
    (550, (b"no", b"see 5.1.1"), "", "550 no see 5.1.1"),
    (550, (b"", b"5.1.1 nobody"), "5.1.1", "550 5.1.1  5.1.1 nobody"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "lines", "enhanced", "text"), LATER)
def test_the_enhanced_code_may_come_in_a_later_line(
    code: int, lines: tuple[bytes, ...], enhanced: str, text: str
) -> None:
    reply = PeerReply(code, lines)
    assert reply.enhanced == enhanced
    assert reply.text == text


@given(st.binary(max_size=300))
def test_any_bytes_end_in_replies_or_a_fault(data: bytes) -> None:
    reader = ReplyReader()
    try:
        reader.receive(data)
        while reader.next_reply() is not None:
            pass
    except WorldFault:
        pass


HALVES = [
    ("nothing", b"", False),
    ("a beginning", b"25", True),
    ("a CR without its LF", b"250 x\r", True),
    ("a bare LF ends nothing", b"250 x\n", True),
    ("a whole line", b"250-x\r\n", False),
    ("a line and half of another", b"250-x\r\n250", True),
]


@pytest.mark.parametrize(("name", "data", "half"), HALVES, ids=[row[0] for row in HALVES])
def test_whether_the_end_of_a_line_is_missing(name: str, data: bytes, half: bool) -> None:
    reader = ReplyReader()
    reader.receive(data)
    assert reader.next_reply() is None
    assert reader.has_half_a_line is half


def test_a_line_not_read_yet_is_a_whole_one() -> None:
    reader = ReplyReader()
    reader.receive(b"250 x\r\n250")
    assert not reader.has_half_a_line


def test_how_much_of_nonsense_is_told() -> None:
    reader = ReplyReader()
    reader.receive(b"SSH-" + b"x" * 100 + b"\r\n")
    with pytest.raises(WorldFault, match=f"SSH-{'x' * 56}$"):
        reader.next_reply()
