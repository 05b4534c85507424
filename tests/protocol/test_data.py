"""The end of data: what ends it, what is text, what is refused; and what is counted on the way."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.talk import LIMITS, OFFER, SMUGGLED, Taken, in_data, in_transaction, octets_kept

from gatepost.model.content import BodyForm
from gatepost.protocol.data import ContentMeter, DataFramer, lines_of
from gatepost.protocol.events import EndOfData
from gatepost.protocol.refusals import BrokenFraming

NORMALIZING = replace(OFFER, normalize_newlines=True)


@dataclass(frozen=True, slots=True)
class Smuggle:
    name: str
    threat: str
    end: bytes


SMUGGLES = [
    Smuggle("LF . LF", "A01", b"\n.\n"),
    Smuggle("LF . CR LF", "A02", b"\n.\r\n"),
    Smuggle("CR LF . LF", "A03", b"\r\n.\n"),
    Smuggle("CR . CR", "A04", b"\r.\r"),
    Smuggle("CR . LF", "A05", b"\r.\n"),
    Smuggle("LF . CR", "A06", b"\n.\r"),
    Smuggle("CR . CR LF", "A07", b"\r.\r\n"),
    Smuggle("CR LF . CR CR LF", "A08", b"\r\n.\r\r\n"),
    Smuggle("CR CR LF . CR CR LF", "A08", b"\r\r\n.\r\r\n"),
    Smuggle("CR LF NUL . CR LF", "A09", b"\r\n\0.\r\n"),
    Smuggle("CR LF NUL NUL . CR LF", "A09", b"\r\n\0\0.\r\n"),
    Smuggle("CR LF . NUL CR LF", "A09", b"\r\n.\0\r\n"),
    Smuggle("CR LF NUL . NUL CR LF", "A09", b"\r\n\0.\0\r\n"),
    Smuggle("CR inside a header field", "A16", b"Subject: x\rFrom: forged@x\r\n"),
    Smuggle("LF inside a header field", "A16", b"Subject: x\nFrom: forged@x\r\n"),
]


@pytest.mark.threat("A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A09", "A16")
@pytest.mark.parametrize(
    "behind", [b"", SMUGGLED + b"evil\r\n.\r\n", b"\r\n.\r\n" + SMUGGLED], ids=["alone", "a mail", "an end"]
)
@pytest.mark.parametrize("smuggle", SMUGGLES, ids=lambda s: s.name)
def test_no_other_end_of_data(smuggle: Smuggle, behind: bytes) -> None:
    text = b"Subject: hi\r\n\r\nfirst" + smuggle.end + b"x" + behind
    for cut in (0, *range(1, len(smuggle.end) + 3), 16):
        # Given a client inside DATA
        talk = in_data()
        # When it sends something that another server takes for the end, and commands behind it
        codes = talk.codes(text, cut=cut)
        # Then it is refused, we hang up, and nothing behind it is ever executed
        assert codes == ["521 5.5.2"]
        assert talk.closed
        assert talk.taken == []


@pytest.mark.threat("A01", "A09")
@pytest.mark.parametrize("smuggle", SMUGGLES, ids=lambda s: s.name)
def test_no_other_end_at_the_first_line(smuggle: Smuggle) -> None:
    talk = in_data()
    assert talk.codes(smuggle.end + b"x\r\n.\r\n" + SMUGGLED) == ["521 5.5.2"]


@dataclass(frozen=True, slots=True)
class Text:
    name: str
    sent: bytes
    kept: bytes


TEXTS = [
    Text("one line", b"hi\r\n.\r\n", b"hi\r\n"),
    Text("empty mail", b".\r\n", b""),
    Text("an empty line", b"\r\n.\r\n", b"\r\n"),
    Text("a dot and a blank is text", b"x\r\n. \r\n.\r\n", b"x\r\n \r\n"),
    Text("a dot and a tab is text", b"x\r\n.\t\r\n.\r\n", b"x\r\n\t\r\n"),
    Text("two dots are one", b"x\r\n..\r\n.\r\n", b"x\r\n.\r\n"),
    Text("two dots first", b"..\r\n.\r\n", b".\r\n"),
    Text("a dot before a word", b".x\r\n.\r\n", b"x\r\n"),
    Text("dots inside a line stay", b"a..b.\r\n.\r\n", b"a..b.\r\n"),
    Text("two dotted lines", b"..a\r\n..b\r\n.\r\n", b".a\r\n.b\r\n"),
    Text("NUL in a word", b"a\0b\r\n.\r\n", b"a\0b\r\n"),
    Text("NUL line without a dot", b"x\r\n\0\r\n.\r\n", b"x\r\n\0\r\n"),
    Text("NUL and two dots", b"x\r\n\0..\r\n.\r\n", b"x\r\n\0..\r\n"),
    Text("NUL, a dot and a letter", b"x\r\n\0.a\r\n.\r\n", b"x\r\n\0.a\r\n"),
    Text("a dotted line behind NUL", b"\0x\r\n..y\r\n.\r\n", b"\0x\r\n.y\r\n"),
    Text("a word, NUL and a dot", b"x\r\na\0.\r\n.\r\n", b"x\r\na\0.\r\n"),
    Text("8-bit", b"\xff\xfe\r\n.\r\n", b"\xff\xfe\r\n"),
    Text(
        "VT, FF, NEL and U+2028 end no line",
        b"a\x0b.\x0c.\x85.\xe2\x80\xa8.\r\n.\r\n",
        b"a\x0b.\x0c.\x85.\xe2\x80\xa8.\r\n",
    ),
]


@pytest.mark.threat("A10", "A11", "A12", "A13", "A21", "A24", "A25", "A26", "C21")
@pytest.mark.parametrize("text", TEXTS, ids=lambda t: t.name)
def test_content_is_what_was_sent_at_every_cut(text: Text) -> None:
    for cut in range(len(text.sent) + 1):
        # Given a client inside DATA; when its text comes in pieces, with QUIT behind it
        talk = in_data()
        codes = talk.codes(text.sent + b"QUIT\r\n", cut=cut)
        # Then the mail is taken once, byte for byte, and QUIT is a command again
        assert talk.taken == [Taken("ann@client.example", ("bob@ours.example",), text.kept)]
        assert codes == ["250 2.0.0", "221 2.0.0"]


@pytest.mark.threat("A12")
@pytest.mark.parametrize("cut", range(1, 6))
def test_two_mails_at_every_cut(cut: int) -> None:
    talk = in_transaction()
    for sent in (
        b"DATA\r\n",
        b"one\r\n.\r\n",
        b"MAIL FROM:<>\r\nRCPT TO:<x@ours.example>\r\nDATA\r\n",
        b"two\r\n.\r\n",
    ):
        talk.say(sent, cut=cut)
    assert [(t.sender, t.content) for t in talk.taken] == [
        ("ann@client.example", b"one\r\n"),
        ("", b"two\r\n"),
    ]


@pytest.mark.threat("A22")
def test_content_without_its_end_is_no_mail() -> None:
    talk = in_data()
    assert talk.codes(b"half a mail\r\n.\r") == []
    assert talk.engine.in_content
    assert talk.taken == []


NORMAL = [
    Text("a bare LF passes", b"a\nb\r\n.\r\n", b"a\nb\r\n"),
    Text("LF . LF does not end", b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
    Text("LF . CR LF does not end", b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
    Text("CR LF . LF does not end", b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n"),
]


@pytest.mark.threat("A17")
@pytest.mark.parametrize("text", NORMAL, ids=lambda t: t.name)
def test_normalizing_for_a_legacy_client(text: Text) -> None:
    for cut in range(len(text.sent) + 1):
        talk = in_data(offer=NORMALIZING)
        talk.say(text.sent, cut=cut)
        assert [t.content for t in talk.taken] == [text.kept]
        end = talk.events[-1]
        assert isinstance(end, EndOfData)
        assert end.form.bare_newlines


@pytest.mark.parametrize(
    ("sent", "size_bytes"),
    [(b"abcd\nab\r\nabc\n.\r\n.\r\n", 16), (b"a\nabcd\r\n.\r\n", 8), (b"a\n\r\nabcd\r\n.\r\n", 10)],
)
def test_a_bare_newline_ends_a_line_when_normalizing(sent: bytes, size_bytes: int) -> None:
    talk = in_data(offer=NORMALIZING)
    talk.say(sent)
    end = talk.events[-1]
    assert isinstance(end, EndOfData)
    assert end.form == BodyForm(size_bytes=size_bytes, longest_line_bytes=4, bare_newlines=True)


@pytest.mark.threat("A17")
def test_nothing_is_normalized_unless_it_is_said() -> None:
    framer = DataFramer(ContentMeter(size_limit_bytes=0, line_limit_bytes=None))
    with pytest.raises(BrokenFraming):
        framer.feed(b"a\nb\r\n")


def test_behind_a_limit_nothing_is_passed_on() -> None:
    meter = ContentMeter(size_limit_bytes=3, line_limit_bytes=None)
    assert [meter.take(b"abc"), meter.take(b"d"), meter.take(b"e")] == [b"abc", b"", b""]


@pytest.mark.threat("A17", "A09")
@pytest.mark.parametrize(
    "sent", [b"a\rb\r\n.\r\n", b"a\r\r\n", b"\r.\r\n.\r\n", b"a\n\0.\nb\r\n", b"a\n\0.\r\nb\r\n"]
)
def test_normalizing_still_refuses_bare_cr_and_dots_beside_nul(sent: bytes) -> None:
    for cut in range(len(sent) + 1):
        talk = in_data(offer=NORMALIZING)
        assert talk.codes(sent + b"\r\n.\r\n", cut=cut) == ["521 5.5.2"]


def form_of(sent: bytes, cut: int = 0) -> BodyForm:
    talk = in_data(limits=replace(LIMITS, text_line_bytes=50))
    talk.say(sent, cut=cut)
    end = talk.events[-1]
    assert isinstance(end, EndOfData)
    return end.form


FORMS = [
    ("nothing", b".\r\n", BodyForm()),
    ("one line", b"abc\r\n.\r\n", BodyForm(size_bytes=5, longest_line_bytes=3)),
    ("the longest is first", b"abcd\r\nab\r\n.\r\n", BodyForm(size_bytes=10, longest_line_bytes=4)),
    (
        "the longest is in the middle",
        b"a\r\nabcd\r\nab\r\n.\r\n",
        BodyForm(size_bytes=13, longest_line_bytes=4),
    ),
    ("the longest is last", b"a\r\nabcde\r\n.\r\n", BodyForm(size_bytes=10, longest_line_bytes=5)),
    ("a removed dot does not count", b"..abc\r\n.\r\n", BodyForm(size_bytes=6, longest_line_bytes=4)),
    ("NUL", b"\0\r\n.\r\n", BodyForm(size_bytes=3, longest_line_bytes=1, has_nul=True)),
    ("NUL, then none", b"\0\r\nabc\r\n.\r\n", BodyForm(size_bytes=8, longest_line_bytes=3, has_nul=True)),
    ("8-bit", b"\x80\r\nabc\r\n.\r\n", BodyForm(size_bytes=8, longest_line_bytes=3, has_8bit=True)),
]


@pytest.mark.parametrize(("name", "sent", "form"), FORMS, ids=[f[0] for f in FORMS])
def test_what_is_counted(name: str, sent: bytes, form: BodyForm) -> None:
    for cut in range(len(sent) + 1):
        assert form_of(sent, cut) == form, cut


@pytest.mark.threat("A27")
@pytest.mark.parametrize(
    ("length", "codes"), [(50, ["250 2.0.0"]), (51, ["554 5.6.0"]), (5000, ["554 5.6.0"])]
)
def test_a_line_above_the_limit_is_refused_at_the_end(length: int, codes: list[str]) -> None:
    for cut in (0, 1, 49, 50, 51, 52, 53):
        talk = in_data(limits=replace(LIMITS, text_line_bytes=50))
        assert talk.codes(b"a\r\n" + b"x" * length + b"\r\nend\r\n.\r\n", cut=cut) == codes
        assert bool(talk.taken) is (codes == ["250 2.0.0"])


SIZE_CASES = [
    ("at the limit", 98, ["250 2.0.0"]),
    ("one above", 99, ["552 5.3.4"]),
    ("at twice the limit", 198, ["552 5.3.4"]),
    ("one above twice the limit", 199, ["552 5.3.4"]),
]


@pytest.mark.threat("B19", "B20")
@pytest.mark.parametrize(("name", "octets", "codes"), SIZE_CASES, ids=[c[0] for c in SIZE_CASES])
def test_size(name: str, octets: int, codes: list[str]) -> None:
    for cut in (0, 1, 7):
        talk = in_data(offer=replace(OFFER, size_bytes=100))
        assert talk.codes(b"x" * octets + b"\r\n.\r\n", cut=cut)[:1] == codes
        assert talk.closed is (octets == 199)
        assert bool(talk.taken) is (codes == ["250 2.0.0"])


def test_without_a_size_limit_everything_goes() -> None:
    talk = in_data(offer=replace(OFFER, size_bytes=0))
    talk.say((b"x" * 98 + b"\r\n") * 2000 + b".\r\n")
    assert len(talk.taken[0].content) == 200_000


@pytest.mark.threat("B02", "A27")
@pytest.mark.parametrize(
    "chunk",
    [b"x" * 65536, b"x" * 65534 + b"\r\n", b"\0" * 65536, b"\r\n" * 32768],
    ids=["no line end", "lines", "NUL", "empty lines"],
)
def test_endless_content_takes_no_memory(chunk: bytes) -> None:
    # Given 100 MB of content, without a size limit
    framer = DataFramer(ContentMeter(size_limit_bytes=0, line_limit_bytes=8192))
    framer.feed(chunk)
    tracemalloc.start()
    for _ in range(8 if chunk[:1] == b"\r" else 1600):
        framer.feed(chunk)
    held = octets_kept()
    tracemalloc.stop()
    # Then next to nothing of it is kept
    assert held < 4096


@given(text=st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"a", b"\x0b", b"\x85", b"\0"])).map(b"".join))
def test_only_the_pair_ends_a_line_and_a_lone_half_is_noticed(text: bytes) -> None:
    lines, bare = lines_of(text)
    split = text.split(b"\r\n")
    assert bare == any(b"\r" in line or b"\n" in line for line in split)
    assert bare or lines == split


LINES = st.lists(st.sampled_from([b"", b".", b"..", b"a", b".a", b"\0", b"\0.", b"x" * 20]), max_size=8)


@given(lines=LINES, cuts=st.lists(st.integers(0, 120), max_size=6))
def test_every_cut_counts_and_frames_the_same(lines: list[bytes], cuts: list[int]) -> None:
    data = b"\r\n".join(lines) + b"\r\n.\r\nrest"
    whole = outcome(data, [])
    assert outcome(data, sorted(cuts)) == whole


def outcome(data: bytes, cuts: list[int]) -> tuple[bytes, BodyForm, bytes | None] | str:
    meter = ContentMeter(size_limit_bytes=0, line_limit_bytes=None)
    framer = DataFramer(meter)
    content = b""
    points = [0, *[c for c in cuts if c <= len(data)], len(data)]
    try:
        for n, (start, stop) in enumerate(pairwise(points)):
            framed = framer.feed(data[start:stop])
            content += framed.content
            if framed.rest is not None:
                return content, meter.form, framed.rest + data[points[n + 1] :]
    except BrokenFraming as fault:
        return fault.reason
    return content, meter.form, None
