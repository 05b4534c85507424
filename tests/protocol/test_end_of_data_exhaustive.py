"""The end-of-data rule proven: every text over {CR, LF, '.', 'x'} in every segmentation.

The framer's memory between two feedings is a handful of states. From each, every segment
(up to nine octets; six in the quick suite) must do what a byte-wise reference does, and lead to a
state that stands for the same reference state. So any sequence of segments does, whatever the cuts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest

from gatepost.protocol.data import ContentMeter, DataFramer
from gatepost.protocol.refusals import BrokenFraming

ALPHABET = b"\r\n.x"
LONGEST = 9
LONGEST_QUICK = 6

# The reference, one octet at a time. Its state is what it has seen of the line so far: START of a line, TEXT inside,
# CR behind text, DOT first in the line, DOT_CR behind such a dot. Content comes out as the octet is certain to be
# content; the framer may hold back, so contents are compared when nothing is held: with the held octets added.
START, TEXT, CR, DOT, DOT_CR = "start", "text", "cr", "dot", "dot-cr"
REFUSED, ENDED = "refused", "ended"


def step(state: str, octet: int, normalize: bool) -> tuple[str, bytes]:
    """One octet: the next state, and the content it makes certain."""
    byte = bytes([octet])
    if state in (CR, DOT_CR):
        if octet != 0x0A:
            return REFUSED, b""
        return (START, b"\r\n") if state == CR else (ENDED, b"")
    if octet == 0x0D:
        return (DOT_CR if state == DOT else CR), b""
    if octet == 0x0A:
        return (TEXT, b"\n") if normalize else (REFUSED, b"")
    if octet == 0x2E and state == START:
        return DOT, b""
    return TEXT, byte


def reference(state: str, data: bytes, normalize: bool) -> tuple[str, bytes, bytes]:
    """The state behind the data, its content, and what follows the end."""
    content = b""
    for n, octet in enumerate(data):
        state, certain = step(state, octet, normalize)
        content += certain
        if state in (REFUSED, ENDED):
            return state, content, data[n + 1 :]
    return state, content, b""


def new_framer(held: bytes, virtual: bool, normalize: bool) -> DataFramer:
    framer = DataFramer(ContentMeter(size_limit_bytes=0, line_limit_bytes=None), normalize=normalize)
    framer._held, framer._virtual = held, virtual
    return framer


def segments(longest: int) -> Iterator[bytes]:
    for length in range(1, longest + 1):
        for octets in product(ALPHABET, repeat=length):
            yield bytes(octets)


# What the framer remembers -> what the reference remembers, and the content that is held back there. A held CR LF
# at the very start (virtual) is no content.
MEANING: dict[tuple[bytes, bool], tuple[str, bytes]] = {
    (b"\r\n", True): (START, b""),
    (b"\r\n.", True): (DOT, b""),
    (b"\r\n.\r", True): (DOT_CR, b""),
    (b"", False): (TEXT, b""),
    (b"\r", False): (CR, b""),
    (b"\r\n", False): (START, b"\r\n"),
    (b"\r\n.", False): (DOT, b"\r\n"),
    (b"\r\n.\r", False): (DOT_CR, b"\r\n"),
}


SMUGGLING = pytest.mark.threat("A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A12")
MODES = pytest.mark.parametrize("normalize", [False, True], ids=["strict", "normalize"])
MEMORIES = pytest.mark.parametrize("memory", MEANING, ids=repr)


@SMUGGLING
@MODES
@MEMORIES
def test_short_segments_from_every_state(memory: tuple[bytes, bool], normalize: bool) -> None:
    check_segments(memory, normalize, LONGEST_QUICK)


@pytest.mark.slow
@pytest.mark.timeout(900)
@SMUGGLING
@MODES
@MEMORIES
def test_every_segment_from_every_state(memory: tuple[bytes, bool], normalize: bool) -> None:
    check_segments(memory, normalize, LONGEST)


def check_segments(memory: tuple[bytes, bool], normalize: bool, longest: int) -> None:
    held, virtual = memory
    state, owed = MEANING[memory]
    for segment in segments(longest):
        # Given the framer in a state it can be in, and what the reference makes of the segment
        framer = new_framer(held, virtual, normalize)
        there, content, rest = reference(state, segment, normalize)
        # When the segment comes
        try:
            framed = framer.feed(segment)
        except BrokenFraming:
            # Then both refuse
            assert there == REFUSED, segment
            continue
        if framed.rest is not None:
            # or both see the same end, the same content and the same rest
            assert (there, framed.rest, framed.content) == (ENDED, rest, owed + content), segment
            continue
        # or both are in states that mean the same, and no octet is lost or doubled
        means, kept_back = MEANING[framer._held, framer._virtual]
        assert there == means, segment
        assert framed.content + kept_back == owed + content, segment
