"""Header values as text for people."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gatepost.message.words import text_of, turns_writing


def _encoded(text: str, way: str) -> bytes:
    if way == "raw":
        return text.encode()
    charset = "gb18030" if way == "gb18030" else "utf-8"
    octets = text.encode(charset)
    if way == "q":
        return b"=?utf-8?Q?" + b"".join(b"=%02X" % octet for octet in octets) + b"?="
    return f"=?{charset}?B?{base64.b64encode(octets).decode()}?=".encode()


@pytest.mark.threat("K04")
@given(
    before=st.text(max_size=5),
    after=st.text(max_size=5),
    turn=st.sampled_from("\u202d\u202e"),
    way=st.sampled_from(["raw", "q", "b", "gb18030"]),
)
def test_writing_that_is_turned_is_seen_however_it_is_written(
    before: str, after: str, turn: str, way: str
) -> None:
    before, after = (text.encode("utf-8", "ignore").decode() for text in (before, after))
    assume("=?" not in before + after)
    assert turns_writing(_encoded(f"{before}{turn}{after}", way))


@pytest.mark.threat("K04")
@pytest.mark.parametrize(
    "value",
    [
        b"plain",
        "Grüße".encode(),
        "\u200fשלום".encode(),
        "\u2067سلام\u2069".encode(),
        b"=?utf-8?B?4oCt?",
        b"igK KAr 4oCu",
    ],
)
def test_other_writing_is_not_turned(value: bytes) -> None:
    assert not turns_writing(value)


CASES = [
    ("plain", b"hello", "hello"),
    ("folded", b"hello\r\n world", "hello world"),
    ("raw UTF-8", "Grüße".encode(), "Grüße"),
    ("raw Latin-1", "Grüße".encode("latin-1"), "Grüße"),
    ("quoted-printable word", b"=?utf-8?q?Gr=C3=BC=C3=9Fe_an?= alle", "Grüße an alle"),
    ("base64 word", b"=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
    ("blanks between words go", b"=?utf-8?q?a?= \r\n =?utf-8?q?b?= c", "ab c"),
    ("a language tag", b"=?utf-8*de?q?a?=", "a"),
    ("another charset", b"=?koi8-r?B?8NLJ18XU?=", "Привет"),
    ("CR LF inside", b"=?utf-8?q?a=0D=0ABcc:_x?=", "a  Bcc: x"),
    ("decoded once only", b"=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3F=3D?=", "=?utf-8?q?a?="),
    ("an unknown charset is Latin-1", b"=?zlib?q?a=E4?=", "aä"),
    ("a codec that is no charset", b"=?unicode_escape?q?=5Cn?=", "\\n"),
    ("bad base64", b"=?utf-8?b?a?=", "\ufffd"),
    ("bidirectional marks", "a\u202eb".encode(), "a\ufffdb"),
    ("ESC", b"a\x1b[31mb", "a\ufffd[31mb"),
    ("U+2028", "a\u2028b".encode(), "a\ufffdb"),
    ("format directives stay text", b"%s%n {0.__class__} ${jndi:x}", "%s%n {0.__class__} ${jndi:x}"),
]


@pytest.mark.threat("H25", "K09", "B37")
@pytest.mark.parametrize(("value", "text"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_text_of(value: bytes, text: str) -> None:
    assert text_of(value, 1000) == text


@pytest.mark.threat("K10", "H03", "H25")
@pytest.mark.parametrize(
    "value",
    [
        b"e\xcc\x81" * 500_000,
        b"=?utf-8?q?a?= " * 70_000,
        b"=?utf-8?q?" + b"a" * 1_000_000 + b"?=",
        b"=?" * 500_000,
    ],
)
def test_a_megabyte_is_cut_quickly(value: bytes) -> None:
    started = time.process_time()
    assert len(text_of(value, 1000)) <= 1000
    assert time.process_time() - started < 10


@pytest.mark.threat("K09")
@given(st.binary(max_size=300))
def test_any_bytes_become_printable_text(value: bytes) -> None:
    text = text_of(value, 100)
    assert text.isprintable()
    assert len(text) <= 100
    text.encode("utf-8")
