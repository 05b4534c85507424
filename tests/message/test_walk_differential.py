"""The walk beside two other readers: where it names no defect, all of them see the same mail."""

from __future__ import annotations

import email
import gzip
import importlib.util
import json
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest
from hypothesis import given, settings
from tests.message.mime_trees import Tree, trees, written
from tests.shared_data import ABSENT, SHARED

from gatepost.message.contents import contents as contents_of
from gatepost.message.contents import looked_into
from gatepost.message.structure import Kind, Structure
from gatepost.message.structure_defects import StructureDefect
from gatepost.message.walk import walk

MIME = SHARED / "mime"
CORPUS = SHARED / "corpus" / "dev"
_SKIPPED = {".json", ".md"}
# The standard library takes the fields of these for mails.
_ITS_MESSAGES = ("message/", "text/rfc822-headers")


def library(mail: bytes) -> list[tuple[str, bytes]]:
    """The leaves that compat32 sees."""
    parsed: Message[Any, Any] = email.message_from_bytes(mail)
    leaves = [part for part in parsed.walk() if not part.is_multipart()]
    return [(part.get_content_type(), bytes(part.get_payload(decode=True) or b"")) for part in leaves]


def ours(mail: bytes, structure: Structure) -> list[tuple[str, bytes]]:
    return [(part.media_type, contents_of(mail, part).octets) for _, part in structure.leaves]


def same_leaves(mail: bytes, structure: Structure) -> bool:
    """Types are compared always, contents where nothing is wrong with how they are encoded."""
    theirs, mine = library(mail), ours(mail, structure)
    if [kind for kind, _ in theirs] != [kind for kind, _ in mine]:
        return False
    return all(
        looked_into(mail, part).defects or _loosely(one[1]) == _loosely(other[1])
        for (_, part), one, other in zip(structure.leaves, theirs, mine, strict=True)
    )


def _loosely(octets: bytes) -> list[bytes]:
    """Blanks at the end of a line of quoted-printable are no part of it (RFC 2045 §6.7): the library keeps them."""
    return [line.rstrip() for line in octets.split(b"\n")]


def has_fields_only(structure: Structure) -> bool:
    return any(
        part.kind is Kind.FIELDS or part.media_type.startswith(_ITS_MESSAGES) for part in structure.parts
    )


def collected() -> Iterator[tuple[str, bytes]]:
    for path in sorted(MIME.rglob("*")):
        if path.is_file() and path.suffix not in _SKIPPED and "LICENSE" not in path.name:
            yield path.name, _as_mail(path.read_bytes())


def corpus(step: int) -> Iterator[tuple[str, bytes]]:
    for path in sorted(CORPUS.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if number % step == 0:
                    row = json.loads(line)
                    yield row["id"], _as_mail(row["raw"].encode("latin-1"))


def _as_mail(octets: bytes) -> bytes:
    return octets if b"\r\n" in octets else octets.replace(b"\n", b"\r\n")


def plain_of(structure: Structure) -> bool:
    return not structure.passed and structure.defects <= {StructureDefect.NO_MIME_VERSION}


def compared(mails: Iterator[tuple[str, bytes]]) -> tuple[int, list[str]]:
    """How many mails without a defect there were, and which of them the library sees otherwise."""
    number, others = 0, []
    for name, mail in mails:
        structure = walk(mail)
        if plain_of(structure) and not has_fields_only(structure):
            number += 1
            if not same_leaves(mail, structure):
                others.append(name)
    return number, others


@settings(max_examples=50)
@given(trees)
def test_the_library_sees_the_trees_that_we_see(tree: Tree) -> None:
    mail = written(tree)
    structure = walk(mail)
    assert library(mail) == ours(mail, structure)


@pytest.mark.skipif(not MIME.is_dir(), reason=ABSENT)
def test_odd_mails_of_others_suites_are_seen_alike_or_named() -> None:
    number, others = compared(collected())
    assert number > 100
    assert others == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)
def test_mails_of_every_day_are_seen_alike_or_named() -> None:
    number, others = compared(corpus(16))
    assert number > 90
    assert others == []


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason=ABSENT)
def test_all_mails_of_every_day_are_seen_alike_or_named() -> None:
    number, others = compared(corpus(1))
    assert number > 1000
    assert others == []


@pytest.mark.skipif(not MIME.is_dir(), reason=ABSENT)
def test_a_reader_in_rust_sees_what_we_see() -> None:
    if importlib.util.find_spec("fast_mail_parser") is None:
        pytest.skip("fast-mail-parser is not installed (tools/setup.sh dev)")
    import fast_mail_parser

    number, others = 0, []
    for name, mail in (*collected(), *(corpus(16) if CORPUS.is_dir() else ())):
        structure = walk(mail)
        if not plain_of(structure):
            continue
        try:
            parts = fast_mail_parser.walk(fast_mail_parser.parse_email_tree(mail))
            theirs = [part.content_type for part in parts if not part.children]
        except fast_mail_parser.ParseError:
            continue  # it refuses what it cannot decode
        number += 1
        if theirs != [part.media_type for _, part in structure.leaves]:
            others.append(name)
    assert number > 100
    assert others == []
