"""The walk over a mail's parts: what is well formed is given back, what is not is named, every octet has a place."""

# ruff: noqa: E501  # a table is read across

from __future__ import annotations

import base64
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.message.mime_trees import Tree, trees, written

from gatepost.message.contents import attached, contents
from gatepost.message.encodings import Encoding
from gatepost.message.headers import body_at
from gatepost.message.structure import LIMITS, Kind, Passed, Region, Structure, StructureLimits
from gatepost.message.structure_defects import StructureDefect as D
from gatepost.message.walk import readings, walk

MIXED = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
PLAIN = b"Content-Type: text/plain\r\n\r\nhi"
TWO = MIXED + b"--b\r\n" + PLAIN + b"\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n"
SCRAPS = [
    b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: message/rfc822\r\n", b"boundary=c;", b"--b", b"--b--",
    b"--c\r\n", b"\r\n", b"\n", b"\r", b"\0", b" ", b"text\r\n", b"Content-Transfer-Encoding: base64\r\n", b"QUJD", b'"', b"(",
    b"Content-Type: multipart/mixed; boundary=bb; boundary*0=c\r\n", b"x: y\r\n", b"\r\n\r\n", b"--bb\r\n", b"\xff",
]  # fmt: skip


def shape_of(mail: bytes, structure: Structure, number: int = 0) -> tuple[object, ...]:
    part = structure.parts[number]
    if part.is_opened:
        return (part.media_type, tuple(shape_of(mail, structure, n) for n, _ in structure.children(number)))
    return (part.media_type, part.encoding.value, contents(mail, part).octets)


def check_places(mail: bytes, structure: Structure) -> None:
    """Places nest, do not overlap, and every octet is in exactly one region."""
    at = 0
    for span in structure.spans():
        assert span.start == at < span.end
        at = span.end
    assert at == len(mail)
    for part in structure.parts:
        assert part.start <= part.body_at <= part.end
        if part.parent >= 0:
            around = structure.parts[part.parent]
            assert around.body_at <= part.start
            assert part.end <= around.end
            assert part.depth == around.depth + 1
    for one, other in zip(structure.parts, structure.parts[1:], strict=False):
        assert other.parent < len(structure.parts)
        assert one.start <= other.start
    paths = [part.path for part in structure.parts]
    assert len(set(paths)) == len(paths)


@given(trees)
def test_what_was_composed_is_given_back(tree: Tree) -> None:
    mail = written(tree)
    structure = walk(mail)
    check_places(mail, structure)
    assert shape_of(mail, structure) == tree.shape()
    assert not structure.passed
    assert structure.defects <= {D.TEXT_AFTER_END, D.EIGHT_BIT}


@given(st.lists(st.sampled_from(SCRAPS), max_size=40).map(b"".join), st.booleans())
def test_every_octet_of_anything_has_its_place(mail: bytes, last_wins: bool) -> None:
    structure = walk(mail, last_wins=last_wins)
    check_places(mail, structure)
    for inner in attached(mail, structure):
        check_places(inner.octets, inner.structure)


@given(
    st.lists(st.sampled_from(SCRAPS), max_size=60).map(b"".join),
    st.integers(1, 4), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3),
)  # fmt: skip
def test_all_limits_hold(mail: bytes, depth: int, parts: int, boundary: int, lines: int) -> None:
    limits = StructureLimits(
        depth=depth,
        parts=parts,
        boundary_bytes=boundary,
        delimiter_lines=lines,
        part_header_bytes=30,
        leaf_bytes=5,
    )
    structure = walk(MIXED + mail, limits)
    check_places(MIXED + mail, structure)
    assert len(structure.parts) <= parts
    for part in structure.parts:
        assert part.depth <= depth
        assert len(contents(MIXED + mail, part, limits).octets) <= 5
    for passed in structure.passed:
        assert 0 <= passed.at <= len(MIXED + mail)


PATHS = [
    ("one part", b"\r\nx", ["1"]),
    ("two parts", TWO, ["TEXT", "1", "2"]),
    (
        "an attached mail of one part",
        MIXED + b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n--b--\r\n",
        ["TEXT", "1", "1.1"],
    ),
    (
        "an attached mail of two",
        MIXED.replace(b"=b", b"=a") + b"--a\r\nContent-Type: message/global\r\n\r\n" + TWO + b"\r\n--a--\r\n",
        ["TEXT", "1", "1.TEXT", "1.1", "1.2"],
    ),
    (
        "a digest holds mails",
        MIXED.replace(b"mixed", b"digest") + b"--b\r\n\r\nSubject: in\r\n\r\nx\r\n--b--\r\n",
        ["TEXT", "1", "1.1"],
    ),
]


@pytest.mark.parametrize(("mail", "paths"), [row[1:] for row in PATHS], ids=[row[0] for row in PATHS])
def test_parts_are_counted_as_by_imap(mail: bytes, paths: list[str]) -> None:
    assert [part.path for part in walk(mail).parts] == paths


KINDS = [
    (b"message/delivery-status", Kind.FIELDS),
    (b"text/rfc822-headers", Kind.FIELDS),
    (b"text/calendar", Kind.TEXT),
    (b"message/partial; id=x; number=1", Kind.OTHER),
    (b"application/pkcs7-mime", Kind.OTHER),
]


@pytest.mark.parametrize(("said", "kind"), KINDS)
def test_kinds(said: bytes, kind: Kind) -> None:
    assert walk(b"Content-Type: " + said + b"\r\n\r\n").parts[0].kind is kind


def part(fields: bytes, body: bytes = b"x") -> bytes:
    return MIXED + b"--b\r\n" + fields + b"\r\n\r\n" + body + b"\r\n--b--\r\n"


def mixed(body: bytes, boundary: bytes = b"b") -> bytes:
    return b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + body


P = b"\r\n" + PLAIN
# Name, mail, what is wrong (all of it), the types of its leaves
DEFECTS: list[tuple[str, bytes, set[D], list[str]]] = [
    ("nothing is wrong", TWO, set(), ["text/plain", "image/png"]),
    ("two types, the container is read", b"MIME-Version: 1\r\nContent-Type: text/plain\r\n"
     b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--", {D.TWO_CONTENT_TYPES}, ["image/png"]),
    ("two types, the first is read", part(b"Content-Type: image/png\r\nContent-Type: text/html"),
     {D.TWO_CONTENT_TYPES}, ["image/png"]),
    ("two encodings", part(b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64"),
     {D.TWO_ENCODINGS}, ["text/plain"]),
    ("two dispositions", part(b"Content-Disposition: inline; filename=a.txt\r\nContent-Disposition: attachment; "
     b"filename=a.exe"), {D.TWO_DISPOSITIONS, D.NAMES_DIFFER}, ["text/plain"]),
    ("two boundaries, the one that stands there", mixed(b"--b" + P + b"\r\n--b--", b"a; boundary=b"),
     {D.TWO_PARAMETERS}, ["text/plain"]),
    ("no boundary", mixed(b"--b" + P, b'""'), {D.NO_BOUNDARY}, ["multipart/mixed"]),
    ("a boundary of 300 octets", mixed(b"--" + b"b" * 300 + P + b"\r\n", b"b" * 300), {D.LONG_BOUNDARY},
     ["multipart/mixed"]),
    ("a boundary of 100 octets", mixed(b"--" + b"b" * 100 + P + b"\r\n--" + b"b" * 100 + b"--", b"b" * 100),
     {D.LONG_BOUNDARY}, ["text/plain"]),
    ("a boundary with a blank at its end", mixed(b"--b" + P + b"\r\n--b--", b'"b "'), {D.ODD_BOUNDARY}, ["text/plain"]),
    ("a boundary in sections", mixed(b"--bc" + P + b"\r\n--bc--", b"\0").replace(b"boundary=\0", b"boundary*0=b; boundary*1=c"),
     {D.ODD_BOUNDARY}, ["text/plain"]),
    ("a boundary with percents", mixed(b"--b" + P + b"\r\n--b--", b"\0").replace(b"boundary=\0", b"boundary*=us-ascii''%62"),
     {D.ODD_BOUNDARY}, ["text/plain"]),
    ("a boundary with 8-bit", mixed(b"--\xffb" + P + b"\r\n--\xffb--", b"\xffb"), {D.ODD_BOUNDARY}, ["text/plain"]),
    ("a boundary with a comment", mixed(b"--b" + P + b"\r\n--b--", b"b (not c)"), set(), ["text/plain"]),
    ("a boundary whose quote is missing", mixed(b"--b" + P + b"\r\n--b--", b'"b; charset=x'),
     {D.BAD_PARAMETER, D.ODD_BOUNDARY}, ["text/plain"]),
    ("a boundary that never stands there", mixed(b"hello"), {D.NO_DELIMITER}, ["multipart/mixed"]),
    ("a multipart that is never closed", mixed(b"--b" + P), {D.NOT_CLOSED}, ["text/plain"]),
    ("a multipart closed before its first part", mixed(b"--b--\r\n"), {D.EMPTY_MULTIPART}, ["multipart/mixed"]),
    ("text after the end", TWO + b"advertisement", {D.TEXT_AFTER_END}, ["text/plain", "image/png"]),
    ("a part after the end", TWO + b"--b" + P, {D.TEXT_AFTER_END, D.PART_AFTER_END}, ["text/plain", "image/png"]),
    ("a part after the end, without a delimiter", TWO + b"Content-Type: image/png\r\n\r\nx", {D.TEXT_AFTER_END, D.PART_AFTER_END},
     ["text/plain", "image/png"]),
    ("a delimiter after one within a line", TWO + b"x --b\r\n--b", {D.TEXT_AFTER_END, D.PART_AFTER_END}, ["text/plain", "image/png"]),
    ("a delimiter within a line after the end", TWO + b"x--b and Content-Type: y", {D.TEXT_AFTER_END}, ["text/plain", "image/png"]),
    ("empty lines after the end", TWO + b"\r\n \r\n", set(), ["text/plain", "image/png"]),
    ("a part before the first, and no end", mixed(b"Content-Type: application/zip\r\n\r\nPK\r\n--b" + P),
     {D.PART_IN_PREAMBLE, D.NOT_CLOSED}, ["text/plain"]),
    ("text before the first", mixed(b"This is MIME --b\r\n--b" + P + b"\r\n--b--"), set(), ["text/plain"]),
    ("a part before the first", mixed(b"content-type : application/zip\r\n\r\nPK\r\n--b" + P + b"\r\n--b--"),
     {D.PART_IN_PREAMBLE}, ["text/plain"]),
    ("a line like a delimiter", mixed(b"--b" + P + b"\r\n--bc\r\n--b--"), {D.LIKE_DELIMITER}, ["text/plain"]),
    ("a delimiter behind a bare CR", mixed(b"--b" + P + b"\r--b" + P + b"\r\n--b--"), {D.LIKE_DELIMITER}, ["text/plain"]),
    ("a delimiter between bare LF", mixed(b"--b" + P + b"\n--b" + P + b"\r\n--b--"), {D.BARE_DELIMITER},
     ["text/plain", "text/plain"]),
    ("the boundary of the multipart around it", mixed(b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b"
     + P + b"\r\n--b--"), {D.SAME_BOUNDARY, D.NO_DELIMITER}, ["multipart/mixed", "text/plain"]),
    ("a boundary that begins with the outer one", mixed(b"--b\r\nContent-Type: multipart/mixed; boundary=bc\r\n\r\n--bc"
     + P + b"\r\n--bc--\r\n--b--"), {D.BOUNDARY_PREFIX, D.LIKE_DELIMITER}, ["text/plain"]),
    ("a boundary with which the outer one begins", mixed(b"--bc\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b"
     + P + b"\r\n--b--\r\n--bc--", b"bc"), {D.BOUNDARY_PREFIX}, ["text/plain"]),
    ("a header that is not ended", mixed(b"--b\r\nContent-Type: text/html\r\n--b--"), {D.HEADER_NOT_ENDED}, ["text/html"]),
    ("a line that is no field", part(b"Content-Type: text/html\r\nhello"), {D.HEADER_ODD}, ["text/html"]),
    ("a blank before the colon", part(b"Content-Type : text/html"), {D.HEADER_ODD}, ["text/html"]),
    ("a bare CR in a header", part(b"X: a\rContent-Type: text/html"), {D.HEADER_BARE_CR}, ["text/plain"]),
    ("a bare LF in a header", part(b"X: a\nContent-Type: text/html"), {D.HEADER_BARE_LF}, ["text/html"]),
    ("NUL in a header", part(b"X: \0\r\nContent-Type: text/html"), {D.HEADER_NUL}, ["text/html"]),
    ("no MIME-Version", b"Content-Type: text/html\r\n\r\nx", {D.NO_MIME_VERSION}, ["text/html"]),
    ("no fields of MIME at all", b"Subject: x\r\n\r\nx", set(), ["text/plain"]),
    ("an unknown encoding", part(b"Content-Transfer-Encoding: x-uuencode"), {D.UNKNOWN_ENCODING}, ["text/plain"]),
    ("an encoding with a comment", part(b"Content-Transfer-Encoding: base64 (yes)", b"QUJD"), {D.ODD_ENCODING}, ["text/plain"]),
    ("an encoding in capitals", part(b"Content-Transfer-Encoding: BASE64", b"QUJD"), set(), ["text/plain"]),
    ("quoted-printable of a multipart", MIXED.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
     + b"--b" + P + b"\r\n--b--", {D.ENCODED_CONTAINER}, ["text/plain"]),
    ("a type that is none", part(b"Content-Type: text"), {D.BAD_TYPE}, ["application/octet-stream"]),
    ("an empty type", part(b"Content-Type: "), {D.BAD_TYPE}, ["application/octet-stream"]),
    ("a piece of a mail", part(b"Content-Type: message/partial; id=a; number=1; total=2"), {D.PARTIAL}, ["message/partial"]),
    ("a kind of message nobody knows", part(b"Content-Type: message/x-mail", b"Content-Type: image/png\r\nMIME-Version: 1.0\r\n\r\nx"),
     {D.UNKNOWN_MESSAGE}, ["image/png"]),
    ("contents elsewhere", part(b"Content-Type: message/external-body; access-type=url; url=x"), {D.EXTERNAL_BODY},
     ["message/external-body"]),
    ("a charset nobody knows", part(b"Content-Type: text/plain; charset=x-none"), {D.UNKNOWN_CHARSET}, ["text/plain"]),
    ("UTF-7", part(b"Content-Type: text/html; charset=UTF-7"), {D.DANGEROUS_CHARSET}, ["text/html"]),
    ("names that differ", part(b"Content-Type: image/png; name=a.png\r\nContent-Disposition: attachment; filename=a.exe"),
     {D.NAMES_DIFFER}, ["image/png"]),
    ("an encoded word in a name", part(b'Content-Type: image/png; name="=?utf-8?Q?a=2Eexe?="'), {D.WORD_IN_PARAMETER}, ["image/png"]),
    ("a name with a path", part(b'Content-Disposition: attachment; filename="..\\\\a.exe"'), {D.NAME_PATH}, ["text/plain"]),
    ("a name with a gap", part(b"Content-Disposition: attachment; filename*0=a; filename*2=.exe"),
     {D.SECTION_MISSING, D.NAMES_DIFFER}, ["text/plain"]),
    ("a name of one section twice", part(b"Content-Disposition: attachment; filename*0=a; filename*0=b"), {D.SECTION_TWICE}, ["text/plain"]),
    ("a name in two forms", part(b"Content-Disposition: attachment; filename=a.txt; filename*=utf-8''a.txt"), {D.FORMS_MIXED}, ["text/plain"]),
]  # fmt: skip


@pytest.mark.threat("H10", "H11", "H12", "H13", "H15", "H16", "H18", "H19", "H20", "H24")
@pytest.mark.parametrize(
    ("mail", "defects", "types"), [row[1:] for row in DEFECTS], ids=[row[0] for row in DEFECTS]
)
def test_what_two_readers_could_see_differently_is_named(
    mail: bytes, defects: set[D], types: list[str]
) -> None:
    structure = walk(mail)
    check_places(mail, structure)
    assert set(structure.defects) == defects
    assert [part.media_type for _, part in structure.leaves] == types


@pytest.mark.threat("H10", "H11")
def test_both_readings_of_what_stands_twice_can_be_had() -> None:
    mail = mixed(b"--a\r\nContent-Type: image/png\r\n\r\n\r\n--b" + P + b"\r\n--b--", b"a; boundary=b")
    first, last = readings(mail)
    assert [part.media_type for _, part in first.leaves] == ["image/png"]
    assert [part.media_type for _, part in last.leaves] == ["text/plain"]
    assert len(readings(TWO)) == 1


def test_lines_like_delimiters_at_the_limit_and_one_past() -> None:
    mail = MIXED + b"--bb\r\n" * 3 + b"--b" + P + b"\r\n--b--"
    within, past = (walk(mail, StructureLimits(delimiter_lines=limit)) for limit in (3, 2))
    assert [part.path for part in within.parts] == ["TEXT", "1"]
    assert [part.path for part in past.parts] == ["TEXT"]
    assert past.passed == (Passed("delimiter_lines", mail.rindex(b"--bb")),)


@pytest.mark.parametrize(
    "inner", [b"multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--", b"message/rfc822\r\n\r\n\r\nx"]
)
def test_depth_at_the_limit_and_one_past(inner: bytes) -> None:
    mail = MIXED + b"--b\r\nContent-Type: " + inner + b"\r\n--b--"
    within, past = (walk(mail, StructureLimits(depth=limit)) for limit in (2, 1))
    assert [(part.depth, part.is_opened) for part in within.parts] == [(0, True), (1, True), (2, False)]
    assert [(part.depth, part.is_opened) for part in past.parts] == [(0, True), (1, False)]
    assert (within.passed, past.passed) == ((), (Passed("depth", past.parts[1].body_at),))


def test_a_boundary_at_the_limit_and_one_past() -> None:
    mail = mixed(b"--" + b"b" * 80 + P + b"\r\n--" + b"b" * 80 + b"--", b"b" * 80)
    within, past = (walk(mail, StructureLimits(boundary_bytes=limit)) for limit in (80, 79))
    assert (len(within.parts), within.passed) == (2, ())
    assert (len(past.parts), past.passed) == (1, (Passed("boundary_bytes", 0),))


@pytest.mark.threat("A20", "H20")
def test_the_body_of_a_mail_begins_where_all_of_the_gateway_says() -> None:
    mail = b"A: b\n\nContent-Type: text/html\r\nMIME-Version: 1.0\r\n\r\nbody"
    assert walk(mail).parts[0].body_at == body_at(mail) == len(mail) - 4
    no_body = b"A: b\r\nC: d\n\nContent-Type: text/html"
    assert body_at(no_body) == len(no_body)
    assert no_body[walk(no_body).parts[0].body_at :] == b"Content-Type: text/html"


def test_a_name_has_every_reading() -> None:
    fields = (
        b'Content-Type: x/y; name="one"; name=two\r\n'
        b"Content-Disposition: attachment; filename*=utf-8''%E2%82%AC.exe; filename=three\r\n"
        b"Content-Disposition: inline; filename=four"
    )
    found = walk(part(fields)).parts[1]
    assert found.names == ("€.exe", "three", "four", "one", "two")


def hostile() -> list[tuple[str, bytes, str]]:
    """Name, mail, the limit that has to be passed ("" when none has to)."""
    levels = b"".join(
        b"Content-Type: multipart/mixed; boundary=x%dx\r\n\r\n--x%dx\r\n" % (n, n) for n in range(20_000)
    )
    return [
        ("H05: multiparts within each other", levels, "depth"),
        ("H06: mails within each other", b"Content-Type: message/rfc822\r\n\r\n" * 20_000, "depth"),
        ("H07: a hundred thousand empty parts", MIXED + b"--b\r\n\r\n\r\n" * 100_000, "parts"),
        ("H02: fifty thousand parameters", b"Content-Type: a/b" + b"; c=d" * 50_000 + b"\r\n\r\n", "parameters"),
        ("H01: a part's field of a megabyte", part(b"X: " + b"a " * 500_000), "part_header_bytes"),
        ("H01: a part of a hundred thousand fields", part(b"a: b\r\n" * 100_000 + b"c: d"), "part_header_bytes"),
        ("H12: lines like delimiters", MIXED + b"--bb\r\n" * 300_000, "delimiter_lines"),
        ("H12: delimiters within lines", MIXED + b"--b " * 300_000, "delimiter_lines"),
        ("H12: nearly the boundary", mixed(b"-" * 1_000_000, b"-" * 69 + b"x"), ""),
        ("H16: a name of 64 KiB", part(b'Content-Disposition: attachment; filename="' + b"a" * 60_000 + b'"'), ""),
        ("H04: comments within each other", part(b"Content-Type: text/plain " + b"(" * 60_000), ""),
        ("quotes without end", part(b"Content-Type: text/plain; a=" + b'"\\' * 30_000), ""),
        ("semicolons", part(b"Content-Type: text/plain" + b";" * 60_000), ""),
        ("sections of a name", part(b"Content-Type: a/b" + b"".join(b"; name*%d=x" % n for n in range(4000))), "parameters"),
    ]  # fmt: skip


@pytest.mark.threat("H01", "H02", "H04", "H05", "H06", "H07", "H09", "H12", "H16")
def test_hostile_mails_pass_a_limit_and_no_more() -> None:
    for name, mail, limit in hostile():
        structure = walk(mail)
        check_places(mail, structure)
        assert {passed.limit for passed in structure.passed} == ({limit} if limit else set()), name
        assert len(structure.parts) <= LIMITS.parts


def _calls(mail: bytes) -> int:
    """Calls of functions, Python's and C's, that a walk makes."""
    count = 0

    def counted(_frame: Any, event: str, _what: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        walk(mail)
    finally:
        sys.setprofile(before)
    return count


class Watched(bytes):
    """A mail that counts the octets that are looked through for a delimiter or the end of a header."""

    looked = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(sub, start, len(self) if end is None else end)
        self.looked += (found if found >= 0 else (len(self) if end is None else end)) - start
        return found


@pytest.mark.threat("H05", "H06", "H07", "H12")
def test_work_grows_as_the_mail() -> None:
    """Operations are counted, not seconds."""
    pumps = {
        "parts": b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n",
        "empty parts": b"--b\r\n",
        "lines like delimiters": b"--bb\r\n",
        "text": b"hello world, -- this is text\r\n",
        "fields": b"a: b\r\n",
    }
    wide = StructureLimits(parts=10**6, delimiter_lines=10**6)
    for name, pump in pumps.items():
        small, large = (Watched(MIXED + pump * times) for times in (500, 4000))
        for mail in (small, large):
            structure = walk(mail, wide)
            assert mail.looked <= 4 * len(mail), name
            assert structure.size_bytes == len(mail)
        assert _calls(large) <= 9 * _calls(small), name
    deep = Watched(
        b"".join(b"Content-Type: multipart/mixed; boundary=x%dx\r\n\r\n--x%dx\r\n" % (n, n) for n in range(60)) + b"y" * 50_000
    )  # fmt: skip
    walk(deep)
    assert deep.looked <= 3 * (LIMITS.depth + 1) * len(deep)


def test_the_walk_says_where_it_stopped() -> None:
    mail = MIXED + b"--b" + P + b"\r\n--b" + P + b"\r\n--b" + P + b"\r\n--b--"
    structure = walk(mail, StructureLimits(parts=3))
    assert structure.passed == (Passed("parts", mail.rindex(b"Content-Type")),)
    unread = [span for span in structure.spans() if span.region is Region.UNREAD]
    assert [(span.start, span.end) for span in unread] == [
        (mail.rindex(b"Content-Type"), mail.rindex(b"--b--"))
    ]


def test_what_is_attached_encoded_is_walked_within_its_budget() -> None:
    inner = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD"
    head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64"
    once = part(head, base64.encodebytes(inner).replace(b"\n", b"\r\n"))
    twice = part(head, base64.encodebytes(once).replace(b"\n", b"\r\n"))
    found = [*attached(twice, walk(twice))]
    assert [(one.path, [p.media_type for p in one.structure.parts]) for one in found] == [
        ("1", ["multipart/mixed", "message/rfc822"]),
        ("1/1", ["image/png"]),
    ]
    assert contents(found[1].octets, found[1].structure.parts[0]).octets == b"ABC"
    nested = once
    for _ in range(12):
        nested = part(head, base64.encodebytes(nested).replace(b"\n", b"\r\n"))
    limits = StructureLimits(depth=9, expansion=1)
    found = [*attached(nested, walk(nested, limits), limits)]
    assert sum(len(one.octets) for one in found) <= len(nested)
    assert len(found) < 6
    body = base64.encodebytes(b"--b" + P + b"\r\n--b--").replace(b"\n", b"\r\n")
    encoded = MIXED.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + body
    (one,) = attached(encoded, walk(encoded))
    assert [p.media_type for p in one.structure.parts] == ["multipart/mixed", "text/plain"]


@settings(max_examples=50)
@given(trees, st.integers(0, 200))
def test_a_mail_that_was_cut_is_read_as_far_as_it_goes(tree: Tree, cut: int) -> None:
    mail = written(tree)
    short = mail[: max(0, len(mail) - cut)]
    structure = walk(short)
    check_places(short, structure)
    found = {(part.path, part.start, part.end, part.media_type) for part in structure.parts}
    for part in walk(mail).parts:
        if not part.is_opened and part.end < len(short) - 40:  # the delimiter behind it is there
            assert (part.path, part.start, part.end, part.media_type) in found


def test_the_encoding_of_a_part() -> None:
    assert (
        walk(part(b"Content-Transfer-Encoding: quoted-printable", b"=41")).parts[1].encoding
        is Encoding.QUOTED_PRINTABLE
    )
