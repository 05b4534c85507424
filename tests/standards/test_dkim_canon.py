"""Canonical forms: the RFC's examples, that the cuts make no difference, and that nothing costs more than its size."""

from __future__ import annotations

import hashlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.standards.dkim_canon import (
    BodyCanon,
    BodyHasher,
    BodyWish,
    SignedFields,
    relaxed_field,
    unsigned_form,
)

SCRAPS = [b"\r\n", b"\r\n\r\n", b" ", b"\t", b"  ", b"\r", b"\n", b"a", b"b c", b" \r\n", b"."]
BODIES = [
    ("nothing", b"", b"\r\n", b""),
    ("an empty line", b"\r\n", b"\r\n", b""),
    ("blanks alone", b" \t\r\n", b" \t\r\n", b""),
    ("the RFC's example", b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),
    ("no line end at the end", b"a", b"a\r\n", b"a\r\n"),
    ("blanks without a line end at the end", b"a\r\n ", b"a\r\n \r\n", b"a\r\n"),
    ("empty lines inside stay", b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n"),
    ("a bare CR is no line end", b"a\rb \r\n", b"a\rb \r\n", b"a\rb\r\n"),
    ("a bare LF is no line end", b"a \nb\r\n\n\r\n", b"a \nb\r\n\n\r\n", b"a \nb\r\n\n\r\n"),
    ("a bare CR at the end", b"a\r", b"a\r\r\n", b"a\r\r\n"),
]


def canonical(pieces: list[bytes], *, relaxed: bool) -> bytes:
    out: list[bytes] = []
    canon = BodyCanon(out.append, relaxed=relaxed)
    for piece in pieces:
        canon.feed(piece)
    canon.finish()
    return b"".join(out)


def by_the_book(body: bytes, *, relaxed: bool) -> bytes:
    """The RFC's rules one after the other, without regard to cost."""
    lines = body.split(b"\r\n")
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    whole = b"".join(line + b"\r\n" for line in lines)
    return whole or (b"" if relaxed else b"\r\n")


@pytest.mark.threat("J21")
@pytest.mark.parametrize(("body", "simple", "relaxed"), [b[1:] for b in BODIES], ids=[b[0] for b in BODIES])
def test_a_body(body: bytes, simple: bytes, relaxed: bytes) -> None:
    assert canonical([body], relaxed=False) == simple
    assert canonical([body], relaxed=True) == relaxed


@given(st.lists(st.sampled_from(SCRAPS), max_size=30), st.booleans())
def test_the_cut_of_the_body_does_not_matter(scraps: list[bytes], relaxed: bool) -> None:
    body = b"".join(scraps)
    whole = by_the_book(body, relaxed=relaxed)
    assert canonical([body], relaxed=relaxed) == whole
    assert canonical(scraps, relaxed=relaxed) == whole
    assert canonical([body[i : i + 1] for i in range(len(body))], relaxed=relaxed) == whole


@given(st.binary(max_size=60), st.integers(min_value=0, max_value=70), st.booleans())
def test_the_hash_is_of_the_first_octets(body: bytes, length: int, relaxed: bool) -> None:
    wishes = [BodyWish(relaxed, length), BodyWish(relaxed), BodyWish(not relaxed)]
    hasher = BodyHasher(wishes)
    for at in range(0, len(body), 7):
        hasher.feed(body[at : at + 7])
    hashes = hasher.finish()
    whole = by_the_book(body, relaxed=relaxed)
    assert hashes[wishes[0]].digest == hashlib.sha256(whole[:length]).digest()
    assert hashes[wishes[0]].size_bytes == len(whole)
    assert hashes[wishes[1]].digest == hashlib.sha256(whole).digest()
    assert hashes[wishes[2]].digest == hashlib.sha256(by_the_book(body, relaxed=not relaxed)).digest()


@pytest.mark.parametrize("scrap", [b" ", b"\r\n", b" \t", b"\n\r\n", b" \r\n", b"\r", b"a  "])
def test_hostile_bodies_cost_no_more_than_their_size(scrap: bytes) -> None:
    body = scrap * (2_000_000 // len(scrap))
    begin = time.process_time()
    for relaxed in (False, True):
        canonical([body[i : i + 65536] for i in range(0, len(body), 65536)] + [b"x"], relaxed=relaxed)
    assert time.process_time() - begin < 10


FIELDS = [
    ("the RFC's example", b"A: X\r\n", b"a:X\r\n"),
    ("a fold and blanks", b"B : Y\t\r\n\tZ  \r\n", b"b:Y Z\r\n"),
    ("nothing in it", b"Subject:\r\n", b"subject:\r\n"),
    ("only blanks", b"Subject: \r\n \r\n", b"subject:\r\n"),
]


@pytest.mark.parametrize(("raw", "relaxed"), [f[1:] for f in FIELDS], ids=[f[0] for f in FIELDS])
def test_a_field(raw: bytes, relaxed: bytes) -> None:
    assert relaxed_field(raw) == relaxed


def test_fields_are_picked_from_the_bottom_up() -> None:
    fields = SignedFields([(b"a", b"A: 1\r\n"), (b"b", b"B: 2\r\n"), (b"a", b"a : 3\r\n")])
    assert fields.picked([b"a", b"c", b"a", b"a"], relaxed=True) == b"a:3\r\na:1\r\n"
    assert fields.picked([b"a"], relaxed=False) == b"a : 3\r\n"


def test_only_the_signature_is_taken_out() -> None:
    raw = b"DKIM-Signature: v=1; bh=abc; b = x\r\n\ty ; d=b=1;\r\n"
    assert unsigned_form(raw, relaxed=False) == b"DKIM-Signature: v=1; bh=abc; b =; d=b=1;"
    assert unsigned_form(raw, relaxed=True) == b"dkim-signature:v=1; bh=abc; b =; d=b=1;"
