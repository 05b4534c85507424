"""What the parts of a mail hold, decoded when it is asked for, and what is wrong with that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from gatepost.message.charsets import Text, decode_text
from gatepost.message.encodings import Decoded, decode
from gatepost.message.structure import LIMITS, Kind, Part, Structure, StructureLimits
from gatepost.message.structure_defects import StructureDefect
from gatepost.message.walk import walk

_UUENCODED: Final = re.compile(rb"\nbegin(?:-base64)? [0-7]{3,4} [^\r\n]{1,255}\r?\n")
_YENC: Final = re.compile(rb"\n=ybegin [^\r\n]{0,500}\bname=")


def contents(mail: bytes, part: Part, limits: StructureLimits = LIMITS) -> Decoded:
    """A part's octets without their transfer encoding, and what is wrong with how they are written."""
    return decode(part.encoding, mail[part.body_at : part.end], limits.leaf_bytes)


def text(mail: bytes, part: Part, limits: StructureLimits = LIMITS) -> Text:
    """A part as text, by its charset; with the defects of both encodings."""
    decoded = contents(mail, part, limits)
    found = decode_text(decoded.octets, part.charset)
    return found._replace(defects=found.defects | decoded.defects)


class Within(NamedTuple):
    """What a leaf's contents tell: how large they are, what is wrong, and the limit that cut them, or ""."""

    size_bytes: int
    defects: frozenset[StructureDefect]
    passed: str


def looked_into(mail: bytes, part: Part, limits: StructureLimits = LIMITS) -> Within:
    """A leaf, decoded and looked through once: linear in what it holds. Nothing of a container."""
    if part.is_opened:
        return Within(0, frozenset(), "")
    decoded = contents(mail, part, limits)
    found = set(decoded.defects)
    if part.kind in (Kind.TEXT, Kind.FIELDS) or part.charset:
        found |= decode_text(decoded.octets, part.charset).defects
    if part.kind is Kind.TEXT:
        found |= embedded(decoded.octets)
    return Within(len(decoded.octets), frozenset(found), decoded.passed)


def embedded(octets: bytes) -> frozenset[StructureDefect]:
    """Files written into a text; they are found, not decoded (threats H30)."""
    begin = b"\n" + octets[:1000]
    found = set()
    if _UUENCODED.search(begin) or _UUENCODED.search(octets):
        found.add(StructureDefect.UUENCODED)
    if _YENC.search(begin) or _YENC.search(octets):
        found.add(StructureDefect.YENC)
    return frozenset(found)


class Attached(NamedTuple):
    """A mail (or a multipart) that was encoded as a whole, against the rule, decoded and walked.

    path: of the part that holds it. octets: what structure's places are in. passed: the limit that cut it, or "".
    """

    path: str
    octets: bytes
    structure: Structure
    passed: str


def attached(mail: bytes, structure: Structure, limits: StructureLimits = LIMITS) -> Iterator[Attached]:
    """Mails that are attached in base64 or quoted-printable, and those within them.

    limits: depth and parts count from the outermost mail on; all of them together are at most
    limits.expansion times the mail.
    """
    left_bytes = limits.expansion * len(mail)
    left_parts = limits.parts - len(structure.parts)
    todo = [(mail, structure, 0, "")]
    while todo:
        outer, within, depth, prefix = todo.pop(0)
        for part in within.parts:
            if part.is_opened or not part.has(StructureDefect.ENCODED_CONTAINER):
                continue
            if left_bytes <= 0 or left_parts <= 0 or depth + part.depth >= limits.depth:
                return
            found = decode(part.encoding, outer[part.body_at : part.end], min(left_bytes, limits.leaf_bytes))
            octets = found.octets if part.kind is Kind.MESSAGE else _head_again(part) + found.octets
            below = depth + part.depth + 1
            inner = walk(octets, replace(limits, depth=max(0, limits.depth - below), parts=left_parts))
            left_bytes -= len(found.octets)
            left_parts -= len(inner.parts)
            path = f"{prefix}{part.path}"
            passed = found.passed and ("expansion" if left_bytes <= 0 else "leaf_bytes")
            yield Attached(path, octets, inner, passed)
            todo.append((octets, inner, below, f"{path}/"))


def _head_again(part: Part) -> bytes:
    """The type of a multipart whose body was encoded."""
    said = b"".join(
        b'; %s="%s"' % (name, value.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
        for name, value in part.content_type.written
        if b"\r" not in value and b"\n" not in value
    )
    return b"MIME-Version: 1.0\r\nContent-Type: %s%s\r\n\r\n" % (
        part.media_type.encode("ascii", "replace"),
        said,
    )
