"""Transfer encodings (RFC 2045 §6) taken off: in slices, bounded, whatever the octets are."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from gatepost.message.structure_defects import StructureDefect


class Encoding(Enum):
    """How a body is written. UNKNOWN is taken as it stands."""

    SEVEN_BIT = "7bit"
    EIGHT_BIT = "8bit"
    BINARY = "binary"
    BASE64 = "base64"
    QUOTED_PRINTABLE = "quoted-printable"
    UNKNOWN = "unknown"


IDENTITY: Final = frozenset((Encoding.SEVEN_BIT, Encoding.EIGHT_BIT, Encoding.BINARY, Encoding.UNKNOWN))
BY_WORD: Final = {encoding.value: encoding for encoding in Encoding if encoding is not Encoding.UNKNOWN}
_LINE_BYTES: Final = 1000
SLICE_BYTES: Final = 64 << 10
PADDINGS_LIMIT: Final = 1000
"""Ends within one base64 body that are read on from; at the next the decoding stops."""
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NO_BASE64: Final = bytes(octet for octet in range(256) if octet not in _ALPHABET + b"=")
_RUBBISH: Final = re.compile(rb"[^A-Za-z0-9+/=\r\n \t]")
_PADDING: Final = re.compile(rb"=[=\s]*+")
_TO_URL: Final = bytes.maketrans(b"-_", b"+/")
_BAD_ESCAPE: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]{0,80}(?:\r?\n|\Z))")
_CONTROL: Final = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")
_SHORT_LINES: Final = re.compile(rb"(?:[^\n]{0,77}+\n)*+[^\n]{0,76}+\Z")
_SOFT_END: Final = re.compile(rb"=[ \t]*\r?\n?\Z")
_TRAILING: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_NONE: Final[frozenset[StructureDefect]] = frozenset()


class Decoded(NamedTuple):
    """Octets without their transfer encoding. passed: the limit that ended them, "" when none did."""

    octets: bytes
    defects: frozenset[StructureDefect]
    passed: str = ""


def decode(encoding: Encoding, encoded: bytes, limit_bytes: int) -> Decoded:
    """At most limit_bytes of what it holds, and what is wrong with how it is written. Raises nothing."""
    if encoding is Encoding.BASE64:
        return _base64(encoded, limit_bytes)
    if encoding is Encoding.QUOTED_PRINTABLE:
        return _quoted_printable(encoded, limit_bytes)
    found = set()
    if encoding is Encoding.SEVEN_BIT and not encoded.isascii():
        found.add(StructureDefect.EIGHT_BIT)
    if encoding is not Encoding.BINARY and b"\0" in encoded:
        found.add(StructureDefect.NUL_IN_BODY)
    defects = frozenset(found) if found else _NONE
    if len(encoded) > limit_bytes:
        return Decoded(encoded[:limit_bytes], defects, "leaf_bytes")
    return Decoded(encoded, defects)


def base64_readings(encoded: bytes, limit_bytes: int) -> tuple[bytes, ...]:
    """Whatever readers take it for, each once: the first is decode()'s (threats H14).

    Those who read on behind a padding, who stop there, who skip = as rubbish, and who know
    the alphabet of URLs (- and _).
    """
    found = [_base64(encoded, limit_bytes).octets]
    end = encoded.find(b"=")
    if 0 <= end < len(encoded.rstrip(b"= \t\r\n")):
        found.append(_base64(encoded[: end + 1], limit_bytes).octets)
        found.append(_base64(encoded.replace(b"=", b""), limit_bytes).octets)
    if b"-" in encoded or b"_" in encoded:
        found.append(_base64(encoded.translate(_TO_URL), limit_bytes).octets)
    return tuple(dict.fromkeys(found))


def _base64(encoded: bytes, limit_bytes: int) -> Decoded:
    defects = set()
    if not encoded.isascii():
        defects.add(StructureDefect.EIGHT_BIT)
    if _RUBBISH.search(encoded):
        defects.add(StructureDefect.BASE64_RUBBISH)
    kept: list[bytes] = []
    size, paddings, passed = 0, 0, ""
    carried = b""
    ended = False
    for piece, is_end in _runs(encoded):
        if piece and ended:
            defects.add(StructureDefect.BASE64_PADDING)
            paddings += 1
            if paddings > PADDINGS_LIMIT:
                passed = "base64-paddings"
                break
        ended = ended and not piece
        group = carried + piece
        whole = len(group) // 4 * 4
        octets = binascii.a2b_base64(group[:whole])
        carried = group[whole:]
        if is_end:
            octets += _rest(carried, defects)
            carried, ended = b"", True
        kept.append(octets)
        size += len(octets)
        if size > limit_bytes:
            break
    if carried and not passed and size <= limit_bytes:
        defects.add(StructureDefect.BASE64_CUT)
        kept.append(_rest(carried, defects))
    octets = b"".join(kept)
    if len(octets) > limit_bytes:
        octets, passed = octets[:limit_bytes], "leaf_bytes"
    return Decoded(octets, frozenset(defects), passed)


def _runs(encoded: bytes) -> Iterator[tuple[bytes, bool]]:
    """Characters of the alphabet, a slice at a time; True: padding stands behind them."""
    for at in range(0, len(encoded), SLICE_BYTES):
        clean = encoded[at : at + SLICE_BYTES].translate(None, _NO_BASE64)
        begin = 0
        while (end := clean.find(b"=", begin)) >= 0:
            yield clean[begin:end], True
            begin = _PADDING.match(clean, end).end()  # type: ignore[union-attr]  # it stands there
        if begin < len(clean):
            yield clean[begin:], False


def _rest(carried: bytes, defects: set[StructureDefect]) -> bytes:
    """The last group of a run: one, two or three characters."""
    if len(carried) == 1:
        defects.add(StructureDefect.BASE64_CUT)
        return b""
    return binascii.a2b_base64(carried + b"=" * (4 - len(carried))) if carried else b""


def _quoted_printable(encoded: bytes, limit_bytes: int) -> Decoded:
    found = set()
    if not encoded.isascii():
        found.add(StructureDefect.EIGHT_BIT)
    if _SHORT_LINES.match(encoded) is None:
        found.add(StructureDefect.QP_LONG_LINE)
    if b"\0" in encoded:
        found.add(StructureDefect.NUL_IN_BODY)
    if _CONTROL.search(encoded):
        found.add(StructureDefect.QP_CONTROL)
    if b"=" in encoded:
        if _BAD_ESCAPE.search(encoded):
            found.add(StructureDefect.QP_BAD_ESCAPE)
        if _SOFT_END.search(encoded, max(0, len(encoded) - _LINE_BYTES)):
            found.add(StructureDefect.QP_SOFT_END)
    kept: list[bytes] = []
    size = at = 0
    while at < len(encoded) and size <= limit_bytes:
        end = encoded.find(b"\n", at + SLICE_BYTES) + 1 or len(encoded)
        kept.append(_unescaped(encoded[at:end]))
        size += len(kept[-1])
        at = end
    octets = b"".join(kept)
    if len(octets) > limit_bytes:
        return Decoded(octets[:limit_bytes], frozenset(found), "leaf_bytes")
    return Decoded(octets, frozenset(found))


def _unescaped(lines: bytes) -> bytes:
    """Of whole lines."""
    plain = _TRAILING.sub(b"", lines)
    if b"=" not in plain:
        return plain
    # The library would drop text behind "=\r", and one of two "=": what is no escape is written as one.
    return binascii.a2b_qp(_BAD_ESCAPE.sub(b"=3D", plain))
