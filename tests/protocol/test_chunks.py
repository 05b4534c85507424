"""BDAT: exact octets, and octets that are never commands whatever we think of them."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.talk import (
    ENVELOPE,
    HELLO,
    LATER,
    LIMITS,
    OFFER,
    SMUGGLED,
    Talk,
    in_transaction,
    octets_kept,
)

from gatepost.model.content import BodyForm
from gatepost.protocol import smtp_server
from gatepost.protocol.data import ContentMeter
from gatepost.protocol.events import BdatChunk, EndOfData, Offer
from gatepost.protocol.smtp_states import State

NASTY = b"a\nb\rc\r\n.\r\n.\n\0" + SMUGGLED + b"\r\n..\r\nQUIT\r\n"


@pytest.mark.threat("C12", "C21")
def test_content_is_exact_at_every_cut() -> None:
    half = len(NASTY) // 2
    data = (
        b"BDAT %d\r\n" % half
        + NASTY[:half]
        + b"BDAT %d LAST\r\n" % (len(NASTY) - half)
        + NASTY[half:]
        + b"NOOP\r\n"
    )
    for cut in range(len(data) + 1):
        # Given a transaction; when content comes that looks like ends and commands
        talk = in_transaction()
        codes = talk.codes(data, cut=cut)
        # Then it is one mail of exactly these octets
        assert codes == ["250 2.0.0"] * 3
        assert [t.content for t in talk.taken] == [NASTY]


@dataclass(frozen=True, slots=True)
class Said:
    name: str
    data: bytes
    codes: list[str]
    state: State


GOOD = [
    Said("one chunk", b"BDAT 2 LAST\r\nhi", ["250 2.0.0"], State.READY),
    Said("lower case", b"bdat 2 last\r\nhi", ["250 2.0.0"], State.READY),
    Said("leading zeros", b"BDAT 0002 LAST\r\nhi", ["250 2.0.0"], State.READY),
    Said("an empty end", b"BDAT 2\r\nhiBDAT 0 LAST\r\n", ["250 2.0.0"] * 2, State.READY),
    Said("an empty mail", b"BDAT 0 LAST\r\n", ["250 2.0.0"], State.READY),
    Said("an empty chunk", b"BDAT 0\r\n", ["250 2.0.0"], State.BDAT),
    Said("NOOP between", b"BDAT 2\r\nhiNOOP\r\n", ["250 2.0.0"] * 2, State.BDAT),
    Said("DATA behind", b"BDAT 2\r\nhiDATA\r\n", ["250 2.0.0", "503 5.5.1"], State.BDAT),
    Said("RCPT behind", b"BDAT 2\r\nhiRCPT TO:<c@o.test>\r\n", ["250 2.0.0", "503 5.5.1"], State.BDAT),
    Said("MAIL behind", b"BDAT 2\r\nhiMAIL FROM:<>\r\n", ["250 2.0.0", "503 5.5.1"], State.BDAT),
    Said(
        "RSET between",
        b"BDAT 2\r\nhiRSET\r\nBDAT 2 LAST\r\nhi",
        ["250 2.0.0", "250 2.0.0", "503 5.5.1"],
        State.READY,
    ),
    Said(
        "BDAT after LAST",
        b"BDAT 2 LAST\r\nhiBDAT 6 LAST\r\nRSET\r\nNOOP\r\n",
        ["250 2.0.0", "503 5.5.1", "250 2.0.0"],
        State.READY,
    ),
]


@pytest.mark.threat("C09", "C11", "C14")
@pytest.mark.parametrize("said", GOOD, ids=lambda s: s.name)
def test_order(said: Said) -> None:
    for cut in (0, 1):
        talk = in_transaction()
        assert talk.codes(said.data, cut=cut) == said.codes
        assert talk.engine.state is said.state


@pytest.mark.threat("C08")
@pytest.mark.parametrize(
    "argument",
    [
        b"",
        b" ",
        b" -1",
        b" +1",
        b" 0x10",
        b" 1f",
        b" 1 2",
        b"  1",
        b" 1 ",
        b" 1  LAST",
        b" 1 LAST ",
        b" 1 FIRST",
        b" LAST",
        b" 1LAST",
        b" 9223372036854775808",
        b" 99999999999999999999",
        b" 00000000000000000001",
        b" 1.0",
        b" \xd9\xa1",
        b"\t1",
    ],
)
def test_without_a_size_framing_is_lost(argument: bytes) -> None:
    talk = in_transaction()
    codes = talk.codes(b"BDAT" + argument + b"\r\n" + SMUGGLED)
    if argument in (b" \xd9\xa1", b"\t1"):
        # Refused as a line already; it does not close, and is no BDAT.
        assert codes[0] == "500 5.5.2"
        return
    assert codes == ["501 5.5.4"]
    assert talk.closed


REFUSED_CHUNKS: list[tuple[str, Offer, bytes, str]] = [
    ("before EHLO", OFFER, b"", "503 5.5.1"),
    ("before MAIL", OFFER, HELLO, "503 5.5.1"),
    ("without recipients", OFFER, HELLO + b"MAIL FROM:<>\r\n", "554 5.5.1"),
    ("not offered", replace(OFFER, chunking=False), HELLO + ENVELOPE, "502 5.5.1"),
    ("before TLS", replace(OFFER, tls_needed=True, starttls=True), HELLO, "530 5.7.0"),
]


@pytest.mark.threat("C09", "D08")
@pytest.mark.parametrize("last", [b"", b" LAST"])
@pytest.mark.parametrize(
    ("name", "offer", "start", "code"), REFUSED_CHUNKS, ids=[r[0] for r in REFUSED_CHUNKS]
)
def test_octets_of_a_refused_chunk_are_no_commands(
    name: str, offer: Offer, start: bytes, code: str, last: bytes
) -> None:
    data = b"BDAT %d%b\r\n" % (len(NASTY), last) + NASTY
    for cut in (0, 1, 10):
        talk = Talk(offer=offer)
        for line in start.splitlines(keepends=True):
            talk.say(line)
        before, state = len(talk.events), talk.engine.state
        assert talk.codes(data, cut=cut) == [code]
        assert len(talk.events) == before + 1
        assert talk.engine.state is state
        assert not talk.engine.in_content


@pytest.mark.threat("B12", "C09")
def test_a_chunk_we_refuse_ends_the_transaction() -> None:
    talk = in_transaction(answers={BdatChunk: LATER})
    data = b"BDAT 3\r\nabcBDAT 6 LAST\r\nRSET\r\nDATA\r\n"
    assert talk.codes(data) == ["451 4.7.1", "503 5.5.1", "503 5.5.1"]
    assert not talk.engine.in_transaction
    assert talk.taken == []


@pytest.mark.threat("C07", "C13")
def test_a_chunk_that_does_not_come_is_no_mail() -> None:
    talk = in_transaction()
    assert talk.codes(b"BDAT 10 LAST\r\n123456789") == []
    assert talk.engine.in_content
    assert talk.taken == []


SIZES = [
    ("at the limit", [60, 40], ["250 2.0.0", "250 2.0.0"], False),
    ("one above", [60, 41], ["250 2.0.0", "552 5.3.4"], False),
    ("the first too large, the rest drained", [101, 10], ["552 5.3.4", "503 5.5.1"], False),
    ("at twice the limit", [100, 100], ["250 2.0.0", "552 5.3.4"], False),
    ("one above twice the limit", [100, 101], ["250 2.0.0", "552 5.3.4"], True),
    ("far above", [2**63 - 1], ["552 5.3.4"], True),
]


@pytest.mark.threat("C10", "B19")
@pytest.mark.parametrize(("name", "sizes", "codes", "closed"), SIZES, ids=[s[0] for s in SIZES])
def test_size(name: str, sizes: list[int], codes: list[str], closed: bool) -> None:
    for cut in (0, 1):
        talk = in_transaction(offer=replace(OFFER, size_bytes=100))
        said: list[str] = []
        for n, size in enumerate(sizes):
            last = b" LAST" if n == len(sizes) - 1 else b""
            said += talk.codes(b"BDAT %d%b\r\n" % (size, last) + b"x" * min(size, 300), cut=cut)
        assert said == codes
        assert talk.closed is closed
        assert len(talk.taken) == (1 if codes[-1].startswith("250") else 0)


@pytest.mark.threat("C10")
def test_what_came_before_counts_when_a_chunk_is_announced() -> None:
    talk = in_transaction(offer=replace(OFFER, size_bytes=100))
    assert talk.codes(b"BDAT 100\r\n" + b"x" * 100) == ["250 2.0.0"]
    # When more than twice the limit is announced, it is refused before an octet of it came
    assert talk.codes(b"BDAT 101 LAST\r\n") == ["552 5.3.4"]
    assert talk.closed


@pytest.mark.threat("C09")
def test_a_chunk_as_the_first_word_of_all() -> None:
    assert Talk().codes(b"BDAT 0\r\nNOOP\r\n") == ["503 5.5.1", "250 2.0.0"]


def test_a_refused_chunk_without_size_limit_is_drained_so_far() -> None:
    limit = smtp_server.DRAIN_LIMIT_BYTES
    assert limit == 64 * 1024 * 1024
    for size, closed in ((limit, False), (limit + 1, True)):
        talk = Talk(offer=replace(OFFER, size_bytes=0))
        talk.say(HELLO)
        talk.say(b"BDAT %d\r\n" % size)
        assert talk.closed is closed
    accepted = in_transaction(offer=replace(OFFER, size_bytes=0))
    accepted.say(b"BDAT %d\r\n" % (limit + 1))
    assert not accepted.closed


@pytest.mark.threat("A27")
@pytest.mark.parametrize(("body", "code"), [(b"", "554 5.6.0"), (b" BODY=BINARYMIME", "250 2.0.0")])
def test_line_length_matters_only_where_there_are_lines(body: bytes, code: str) -> None:
    talk = Talk(limits=replace(LIMITS, text_line_bytes=50))
    talk.say(HELLO)
    talk.say(b"MAIL FROM:<>%b\r\nRCPT TO:<b@o.test>\r\n" % body)
    assert talk.codes(b"BDAT 51 LAST\r\n" + b"x" * 51) == [code]


FORMS = [
    ("clean", b"ab\r\nc\r\n", BodyForm(size_bytes=7, longest_line_bytes=2)),
    ("no line end", b"abc", BodyForm(size_bytes=3, longest_line_bytes=3)),
    ("bare LF", b"a\nbc\r\n", BodyForm(size_bytes=6, longest_line_bytes=2, bare_newlines=True)),
    (
        "bare LF, the longest line is another",
        b"a\nb\r\nabc\r\n",
        BodyForm(size_bytes=10, longest_line_bytes=3, bare_newlines=True),
    ),
    ("bare CR", b"a\rbc\r\n", BodyForm(size_bytes=6, longest_line_bytes=4, bare_newlines=True)),
    ("CR at the end", b"ab\r", BodyForm(size_bytes=3, longest_line_bytes=2, bare_newlines=True)),
    ("LF CR", b"a\n\rb\r\n", BodyForm(size_bytes=6, longest_line_bytes=2, bare_newlines=True)),
    (
        "NUL and 8-bit",
        b"\0\xff\r\n",
        BodyForm(size_bytes=4, longest_line_bytes=2, has_nul=True, has_8bit=True),
    ),
    ("nothing", b"", BodyForm()),
]


@pytest.mark.parametrize(("name", "content", "form"), FORMS, ids=[f[0] for f in FORMS])
def test_what_is_counted(name: str, content: bytes, form: BodyForm) -> None:
    for cut in range(len(content) + 1):
        talk = in_transaction()
        talk.say(b"BDAT %d LAST\r\n" % len(content))
        talk.say(content, cut=cut)
        assert talk.events[-1] == EndOfData(form, None, by_bdat=True)


@given(data=st.text("\r\na", max_size=12).map(str.encode), at=st.lists(st.integers(0, 12), max_size=4))
def test_the_cut_does_not_change_what_is_counted(data: bytes, at: list[int]) -> None:
    whole, pieces = (ContentMeter(size_limit_bytes=0, line_limit_bytes=None) for _ in range(2))
    whole.take(data)
    points = [0, *sorted(at), len(data)]
    for start, stop in pairwise(points):
        pieces.take(data[start:stop])
    bare = data.replace(b"\r\n", b"").strip(b"a") != b""
    assert pieces.form == whole.form
    assert whole.form.bare_newlines is bare


@pytest.mark.threat("B34", "B02")
def test_many_small_chunks_take_no_memory() -> None:
    talk = in_transaction()
    engine = talk.engine
    talk.say(b"BDAT 1\r\nx" * 10)
    tracemalloc.start()
    for _ in range(2000):
        talk.say(b"BDAT 1\r\nxBDAT 0\r\n")
        talk.events.clear()
    held = octets_kept()
    tracemalloc.stop()
    assert held < 8192  # the mail itself is 2 KB
    assert engine.buffered_bytes == 0
