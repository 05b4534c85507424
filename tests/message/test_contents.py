"""What parts hold: transfer encodings, charsets, parameters, names; whatever the octets are."""

# ruff: noqa: E501  # a table is read across

from __future__ import annotations

import base64
import codecs
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.charsets import CODECS, DANGEROUS, WIDE, decode_text
from gatepost.message.contents import embedded, looked_into, text
from gatepost.message.encodings import PADDINGS_LIMIT, Encoding, base64_readings, decode
from gatepost.message.file_names import defects_of_names, safe_name
from gatepost.message.parameters import read_disposition, read_type, read_word, without_comments
from gatepost.message.structure_defects import StructureDefect as D
from gatepost.message.walk import walk

PLENTY = 1 << 24
B, Q = Encoding.BASE64, Encoding.QUOTED_PRINTABLE

ENCODED = [
    ("whole groups", B, b"QUJD", b"ABC", set()),
    ("with padding", B, b"QUJDRA==\r\n", b"ABCD", set()),
    ("without padding", B, b"QUJDRA", b"ABCD", {D.BASE64_CUT}),
    ("one character too many", B, b"QUJDR", b"ABC", {D.BASE64_CUT}),
    ("rubbish", B, b"Q!U-J\0D", b"ABC", {D.BASE64_RUBBISH}),
    ("8-bit rubbish", B, b"QU\xffJD", b"ABC", {D.BASE64_RUBBISH, D.EIGHT_BIT}),
    ("more behind the padding", B, b"QUI=QUI=", b"ABAB", {D.BASE64_PADDING}),
    ("padding over two lines", B, b"QQ=\r\n=\r\n", b"A", set()),
    ("nothing but padding", B, b"====", b"", set()),
    (
        "a footer of a list",
        B,
        b"QUI=\r\n-- \r\nlist",
        b"AB\x96\x2b\x2d",
        {D.BASE64_PADDING, D.BASE64_RUBBISH},
    ),
    ("escapes", Q, b"a=3Db=c3=A4", b"a=b\xc3\xa4", set()),
    ("a soft break", Q, b"a=\r\nb=  \r\nc", b"abc", set()),
    ("blanks at the end of lines", Q, b"a \t\r\nb ", b"a\r\nb", set()),
    ("a bad escape", Q, b"a=zzb", b"a=zzb", {D.QP_BAD_ESCAPE}),
    ("two equals signs", Q, b"a==41", b"a=A", {D.QP_BAD_ESCAPE}),
    ("an equals sign before a bare CR", Q, b"a=\rb\r\nc", b"a=\rb\r\nc", {D.QP_BAD_ESCAPE, D.QP_CONTROL}),
    ("a soft break at the end", Q, b"a=\r\n", b"a", {D.QP_SOFT_END}),
    ("an equals sign at the end", Q, b"a=", b"a", {D.QP_SOFT_END}),
    ("a long line", Q, b"a" * 77, b"a" * 77, {D.QP_LONG_LINE}),
    ("no long line", Q, b"a" * 76 + b"\r\n" + b"b" * 76, b"a" * 76 + b"\r\n" + b"b" * 76, set()),
    ("8-bit in quoted-printable", Q, b"\xe4", b"\xe4", {D.EIGHT_BIT}),
    ("8-bit in 7bit", Encoding.SEVEN_BIT, b"\xe4", b"\xe4", {D.EIGHT_BIT}),
    ("NUL in quoted-printable", Q, b"a\0b", b"a\0b", {D.NUL_IN_BODY}),
    ("a bell in quoted-printable", Q, b"a\ab", b"a\ab", {D.QP_CONTROL}),
    ("NUL in 8bit", Encoding.EIGHT_BIT, b"a\0b", b"a\0b", {D.NUL_IN_BODY}),
    ("NUL in binary", Encoding.BINARY, b"a\0b", b"a\0b", set()),
    ("8-bit in 8bit", Encoding.EIGHT_BIT, b"\xe4", b"\xe4", set()),
]


@pytest.mark.threat("H14", "H15")
@pytest.mark.parametrize(
    ("encoding", "octets", "decoded", "defects"), [r[1:] for r in ENCODED], ids=[r[0] for r in ENCODED]
)
def test_transfer_encodings(encoding: Encoding, octets: bytes, decoded: bytes, defects: set[D]) -> None:
    found = decode(encoding, octets, PLENTY)
    assert (found.octets, set(found.defects), found.passed) == (decoded, defects, "")


@given(st.binary(max_size=400))
def test_what_was_encoded_is_decoded(octets: bytes) -> None:
    assert decode(B, base64.encodebytes(octets), PLENTY) == (octets, frozenset(), "")
    lines = quopri.encodestring(octets.replace(b"\r", b"").replace(b"\n", b""), quotetabs=True)
    assert decode(Q, lines, PLENTY)[:2] == (octets.replace(b"\r", b"").replace(b"\n", b""), frozenset())


@given(st.binary(max_size=400), st.sampled_from(list(Encoding)), st.integers(0, 500))
def test_any_octets_are_decoded_within_the_limit(octets: bytes, encoding: Encoding, limit: int) -> None:
    found = decode(encoding, octets, limit)
    assert len(found.octets) <= limit
    whole = decode(encoding, octets, PLENTY).octets
    assert whole.startswith(found.octets)
    assert len(whole) <= len(octets)
    assert bool(found.passed) == (len(whole) > limit)


@pytest.mark.threat("H14")
def test_base64_has_every_reading() -> None:
    assert base64_readings(b"QUJD", PLENTY) == (b"ABC",)
    assert base64_readings(b"QUI=QUI=", PLENTY) == (b"ABAB", b"AB", b"AB\x10P")
    assert base64_readings(b"-_-_", PLENTY) == (b"", b"\xfb\xff\xbf")


@pytest.mark.threat("H14")
def test_hostile_encodings_are_bounded() -> None:
    assert decode(B, b"A=" * 1_000_000, PLENTY).passed == "base64-paddings"
    assert decode(B, b"QQ==" * PADDINGS_LIMIT, PLENTY).octets == b"A" * PADDINGS_LIMIT
    for octets in (
        b"=" * 1_000_000,
        b" " * 1_000_000 + b"x",
        b"\r" * 1_000_000,
        b"A" * 1_000_000,
        b"= " * 500_000,
    ):
        for encoding in Encoding:
            assert len(decode(encoding, octets, 1000).octets) <= 1000
            assert len(decode(encoding, octets, PLENTY).octets) <= len(octets)


CHARSETS = [
    ("utf-8", "utf-8", "ä".encode(), "ä", set()),
    ("in capitals and quotes", '"UTF8"', "ä".encode(), "ä", set()),
    ("Latin-1 is windows-1252", "iso-8859-1", b"\x80\x81\xe4", "€\x81ä", set()),
    ("no charset, UTF-8 all the same", "", "ä".encode(), "ä", set()),
    ("no charset, and no UTF-8", "", b"\xe4", "ä", set()),
    ("8-bit in ASCII", "us-ascii", "ä".encode(), "ä", {D.NOT_OF_CHARSET}),
    ("not of the charset", "utf-8", b"a\xff", "a\ufffd", {D.NOT_OF_CHARSET}),
    ("an overlong slash", "utf-8", b"\xc0\xaf", "\ufffd\ufffd", {D.OVERLONG_UTF8}),
    ("GB2312", "gb2312", "中文".encode("gbk"), "中文", set()),
    ("Shift JIS of Windows", "shift_jis", "①".encode("cp932"), "①", set()),
    ("ISO-2022-JP", "ISO-2022-JP", "日本".encode("iso2022_jp"), "日本", set()),
    ("UTF-16 with a mark", "utf-16", b"\xfe\xff\0a", "a", set()),
    ("UTF-16 without a mark", "utf-16", b"a\0", "a", {D.UNMARKED_UTF16}),
    ("UTF-16 that nobody said", "", b"\xff\xfea\0", "a", {D.UNMARKED_UTF16}),
    ("half a character of UTF-16", "utf-16le", b"a\0b", "a\ufffd", {D.NOT_OF_CHARSET}),
    ("UTF-7 is not decoded", "utf-7", b"+ADw-script", "+ADw-script", {D.DANGEROUS_CHARSET}),
    ("unknown", "x-none", b"a\xe4", "aä", {D.UNKNOWN_CHARSET}),
    ("a path", "../../x", b"a", "a", {D.UNKNOWN_CHARSET}),
    ("a name without end", "x" * 100_000, b"a", "a", {D.UNKNOWN_CHARSET}),
]


@pytest.mark.threat("H24")
@pytest.mark.parametrize(
    ("charset", "octets", "said", "defects"), [r[1:] for r in CHARSETS], ids=[r[0] for r in CHARSETS]
)
def test_charsets(charset: str, octets: bytes, said: str, defects: set[D]) -> None:
    found = decode_text(octets, charset)
    assert (found.text, set(found.defects)) == (said, defects)


@pytest.mark.threat("H24")
def test_only_codecs_of_text_are_reached() -> None:
    for codec in {*CODECS.values(), *filter(None, WIDE.values())}:
        assert codecs.lookup(codec)._is_text_encoding
    reached = {*CODECS.values(), *WIDE.values()}
    assert reached.isdisjoint(
        {"utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "hz"}
    )
    for name in ("idna", "punycode", "rot13", "zlib", "hex", "unicode_escape", "utf-7"):
        assert name in DANGEROUS
        assert decode_text(b"xn--a+ADw-\\x41", name).text == "xn--a+ADw-\\x41"


@given(st.binary(max_size=200), st.sampled_from([*CODECS, *WIDE, *DANGEROUS, "", "x"]) | st.text(max_size=70))
def test_any_octets_in_any_charset_are_text(octets: bytes, charset: str) -> None:
    decode_text(octets, charset).text.encode("utf-8", "surrogatepass")


PARAMETERS = [
    ("quoted, with escapes", b'a/b; n="a\\"b"', {"n": ("a\"b",)}, set()),
    ("comments", b"a/b (c); (d) n = (e) x (f)", {"n": ("x",)}, set()),
    ("a comment with a quote", b'a/b (don"t); n=x', {"n": ("x",)}, set()),
    ("a comment with a comment", b"a/b (c (d) \\) e); n=x", {"n": ("x",)}, set()),
    ("parentheses in quotes", b'a/b; n="x (1)"', {"n": ("x (1)",)}, set()),
    ("parentheses in a name without quotes", b"a/b; name=x (1).pdf", {"name": ("x .pdf", "x (1).pdf")}, {D.BAD_PARAMETER}),
    ("blanks without quotes", b"a/b; n=a b", {"n": ("a b",)}, {D.BAD_PARAMETER}),
    ("a quote that is missing", b'a/b; n="a', {"n": ("a",)}, {D.BAD_PARAMETER}),
    ("a semicolon that is missing", b'a/b; n="a" m=b', {"n": ("a",)}, {D.BAD_PARAMETER}),
    ("no name", b"a/b; =x; n=y", {"n": ("y",)}, {D.BAD_PARAMETER}),
    ("no value", b"a/b; n", {}, {D.BAD_PARAMETER}),
    ("an empty value", b"a/b; n=", {"n": ("",)}, {D.BAD_PARAMETER}),
    ("twice", b"a/b; n=1; N=2", {"n": ("1", "2")}, {D.TWO_PARAMETERS}),
    ("RFC 2231", b"a/b; n*=utf-8'de'%C3%A4", {"n": ("ä",)}, set()),
    ("RFC 2231 in sections", b"a/b; n*0*=utf-8''%C3; n*1*=%A4; n*2=%41", {"n": ("ä%41",)}, set()),
    ("sections in disorder", b"a/b; n*1=b; n*0=a", {"n": ("ab",)}, set()),
    ("more than nine sections", b"a/b; n*10=x" + b"".join(b"; n*%d=%d" % (n, n) for n in range(10)), {"n": ("0123456789x",)}, set()),
    ("a gap", b"a/b; n*0=a; n*2=c", {"n": ("ac", "a")}, {D.SECTION_MISSING}),
    ("no first section", b"a/b; n*1=b", {"n": ("b",)}, {D.SECTION_MISSING}),
    ("no charset where one belongs", b"a/b; n*=x", {"n": ("x",)}, {D.BAD_PARAMETER}),
    ("a charset that is a codec", b"a/b; n*=unicode_escape''%5Cn", {"n": ("\\n",)}, set()),
    ("an encoded word", b'a/b; n="=?utf-8?B?w6Q=?="', {"n": ("ä",)}, {D.WORD_IN_PARAMETER}),
    ("8-bit", "a/b; n=ä".encode(), {"n": ("ä",)}, set()),
    ("NUL", b"a/b; n=a\0b", {"n": ("a\0b",)}, set()),
]  # fmt: skip


@pytest.mark.threat("H02", "H04", "H16")
@pytest.mark.parametrize(
    ("value", "texts", "defects"), [r[1:] for r in PARAMETERS], ids=[r[0] for r in PARAMETERS]
)
def test_parameters(value: bytes, texts: dict[str, tuple[str, ...]], defects: set[D]) -> None:
    found = read_type(value)
    assert (found.main, found.texts, set(found.defects), found.passed) == ("a/b", texts, defects, "")


@given(st.lists(st.sampled_from([*b"ab/=;\"\\()*'% \t\r\n0", 0xFF]), max_size=80).map(bytes))
def test_any_value_is_read(value: bytes) -> None:
    for found in (read_type(value), read_disposition(value), read_type(value, last_wins=True)):
        assert found.main == found.main.lower()
        assert all(readings for readings in found.texts.values())
    assert len(without_comments(value)) <= len(value)
    assert read_word(value)[0] == read_word(value)[0].lower()


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "name"]), st.text(max_size=20).filter(lambda t: "=?" not in t), max_size=3
    )
)
def test_parameters_that_were_written_are_read(said: dict[str, str]) -> None:
    value = b"x/y"
    for name, one in said.items():
        value += b'; %s="%s"' % (name.encode(), one.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    found = read_type(value)
    assert found.texts == {name: (one,) for name, one in said.items()}


NAMES = [
    ("a.pdf", "a.pdf", set()),
    ("über uns.pdf", "über uns.pdf", set()),
    ("C:\\tmp\\a.exe", "a.exe", {D.NAME_PATH}),
    ("../../etc/passwd", "passwd", {D.NAME_PATH}),
    ("a\0.exe", "a.exe", {D.NAME_CONTROL}),
    ("a\r\nb", "ab", {D.NAME_CONTROL}),
    ("\u202egpj.exe", "gpj.exe", {D.NAME_TURNS}),
    ("a\u200b.exe", "a.exe", {D.NAME_TURNS}),
    ("a.exe. . ", "a.exe", {D.NAME_TRAILS}),
    ("a.", "a", {D.NAME_TRAILS}),
    ("..", "", {D.NAME_TRAILS}),
    ("\ud800", "\ufffd", set()),
    ("a" * 300 + ".exe", "a" * 214 + "…" + "a" * 36 + ".exe", {D.NAME_LONG}),
]


@pytest.mark.threat("H16")
def test_names_are_safe_to_show() -> None:
    for name, shown, defects in NAMES:
        assert safe_name(name) == shown, name
        assert defects_of_names([name]) == defects, name


@given(st.text(max_size=400), st.integers(16, 60))
def test_any_name_is_safe_to_show(name: str, limit: int) -> None:
    shown = safe_name(name, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert not set("/\\\u202e").intersection(shown)
    assert shown == safe_name(shown, limit)


@pytest.mark.threat("H30")
def test_files_in_text_are_found() -> None:
    assert embedded(b"hi\r\nbegin 644 a.exe\r\nM") == {D.UUENCODED}
    assert embedded(b"begin-base64 644 a.exe\r\nTVqQ") == {D.UUENCODED}
    assert embedded(b"=ybegin line=128 size=1 name=a.exe\r\n") == {D.YENC}
    assert embedded(b"We begin 2026 well\r\nbegin the day\r\n") == set()


def test_a_part_is_decoded_by_what_it_says() -> None:
    mail = (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-2\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=B1=zz"
    )
    (part,) = walk(mail).parts
    assert text(mail, part) == ("ą=zz", "iso8859-2", frozenset({D.QP_BAD_ESCAPE}))
    assert looked_into(mail, part) == (4, frozenset({D.QP_BAD_ESCAPE}), "")


@pytest.mark.threat("K09", "H24")
def test_no_other_charset_than_two_has_characters_that_turn_by_force() -> None:
    """What words.turns_writing relies on."""
    able = set()
    for codec in set(CODECS.values()):
        try:
            "\u202e".encode(codec)
        except UnicodeEncodeError:
            continue
        able.add(codec)
    assert able == {"utf-8", "gb18030"}
