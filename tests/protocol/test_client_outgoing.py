"""Content on its way out: no bare newline, no hidden end of data, whatever the cut."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.protocol.outgoing import DataEncoder, NewlineNormalizer, encode_data, has_only_crlf, normalized


@dataclass(frozen=True)
class Case:
    name: str
    given: bytes
    then: bytes


CASES = [
    Case("nothing", b"", b".\r\n"),
    Case("a clean mail", b"A: b\r\n\r\nc\r\n", b"A: b\r\n\r\nc\r\n.\r\n"),
    Case("no line end at the end", b"a", b"a\r\n.\r\n"),
    Case("a dot at the very start", b".a\r\n", b"..a\r\n.\r\n"),
    Case("a line that is only a dot", b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
    Case("two dots", b"a\r\n..\r\n", b"a\r\n...\r\n.\r\n"),
    Case("a dot between bare LFs", b"a\n.\nb\n", b"a\r\n..\r\nb\r\n.\r\n"),
    Case("a dot after a bare CR", b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
    Case("LF . CR LF", b"a\n.\r\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
    Case("CR LF . LF", b"a\r\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
    Case("CR CR LF", b"a\r\r\n.", b"a\r\n\r\n..\r\n.\r\n"),
    Case("a CR at the end", b"a\r", b"a\r\n.\r\n"),
]


@pytest.mark.parametrize(
    ("data", "only"),
    [(b"", True), (b"ab", True), (b"a\r\nb", True), (b"a\r", False), (b"\na", False), (b"\n\r", False)],
)
def test_only_crlf(data: bytes, only: bool) -> None:
    assert has_only_crlf(data) is only
    assert normalized(data) is data or not only


def in_pieces(data: bytes, cuts: tuple[int, ...]) -> bytes:
    encoder = DataEncoder()
    edges = [0, *cuts, len(data)]
    return b"".join(encoder.feed(data[a:b]) for a, b in itertools.pairwise(edges)) + encoder.finish()


def slow_reference(data: bytes) -> bytes:
    """Line by line, as RFC 5321 §4.5.2 says it."""
    text = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    stuffed = [b"." + line if line.startswith(b".") else line for line in lines]
    return b"".join(line + b"\r\n" for line in [*stuffed, b"."])


@pytest.mark.threat("A18")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_encode_data(case: Case) -> None:
    assert encode_data(case.given) == case.then


@pytest.mark.threat("A18")
def test_every_short_text_at_every_two_cuts() -> None:
    for size in range(6):
        for letters in itertools.product(b"\r\n.x", repeat=size):
            data = bytes(letters)
            wanted = slow_reference(data)
            assert encode_data(data) == wanted
            for cuts in itertools.combinations_with_replacement(range(size + 1), 2):
                assert in_pieces(data, cuts) == wanted


@pytest.mark.threat("A18")
@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"x", b"\r\n", b"\r\n.\r\n", b"yz"])))
def test_the_next_hop_never_sees_a_bare_newline_or_an_early_end(parts: list[bytes]) -> None:
    out = encode_data(b"".join(parts))
    assert out.count(b"\r\n") == out.count(b"\r") == out.count(b"\n")
    assert out.endswith(b".\r\n")
    assert (b"\r\n" + out).count(b"\r\n.\r\n") == 1


@given(st.binary(max_size=200), st.integers(1, 7))
def test_normalised_in_pieces_is_normalised_whole(data: bytes, step: int) -> None:
    newlines = NewlineNormalizer()
    pieces = b"".join(newlines.feed(data[i : i + step]) for i in range(0, len(data), step))
    assert pieces + newlines.finish() == normalized(data)
    # What was held back is given once.
    assert newlines.finish() == b""


# What would begin a line if a line were cut at 998, 1000 or 8192 octets.
TAILS = [b".", b".\r\n", b"Subject: bought", b" folded", b"MAIL FROM:<eve@x.example>", b"\xc3\xa9"]
WIDTHS = (76, 78, 997, 998, 999, 1000, 1024, 4096, 8190, 8192)


@pytest.mark.threat("A28")
def test_a_line_of_any_length_stays_one_line() -> None:
    for width in WIDTHS:
        for tail in TAILS:
            line = b"x" * width + tail.rstrip(b"\r\n")
            head = b"X-Long: " + line + b"\r\n\r\n"
            given_lines = (head + line + b"\r\n").split(b"\r\n")
            for cuts in ((), (width,), (width + 1, len(head) + width)):
                said = in_pieces(head + line + b"\r\n", cuts)
                assert said.split(b"\r\n") == [*given_lines[:-1], b".", b""], (width, tail, cuts)
