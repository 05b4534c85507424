"""The parts of a mail that hold something, found in linear time: for reading attachments that strangers made."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gatepost.message.headers import HeaderIndex

PARTS_LIMIT: Final = 100
"""Parts looked at, multiparts included; what follows is not seen."""
DEPTH_LIMIT: Final = 10
HEAD_LIMIT_BYTES: Final = 256 << 10
"""Of one part; what follows is not read as fields."""
FIELD_LIMIT_BYTES: Final = 4096
LOOKALIKES_LIMIT: Final = 1000
"""Lines of one multipart that begin like a delimiter and are none; the part they stand in goes on to the end."""
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_NEWLINE: Final = re.compile(rb"\r?\n")
_BOUNDARY: Final = re.compile(
    rb'[;\s]boundary\s{0,9}=\s{0,9}(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE
)
_BLANKS: Final = b" \t\r"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One part that is no multipart. media_type: lower case. named: what its fields say of it, for a file's ending."""

    media_type: str
    named: bytes
    encoding: bytes
    encoded: bytes = field(repr=False)

    def decoded(self) -> bytes:
        """What it holds; b"" when the encoding is broken beyond reading."""
        if self.encoding == b"base64":
            try:
                return binascii.a2b_base64(self.encoded)
            except binascii.Error:
                return _without_padding(self.encoded)
        if self.encoding == b"quoted-printable":
            return binascii.a2b_qp(self.encoded)
        return self.encoded


def leaves(mail: bytes) -> Iterator[Leaf]:
    """In their order, those of attached mails too. Takes any bytes, raises nothing."""
    spans = [(0, len(mail), 0)]
    for _ in range(PARTS_LIMIT):
        if not spans:
            return
        start, end, depth = spans.pop()
        index, body_at = _head(mail, start, end)
        said = _field(index, b"content-type")
        kind = said.partition(b";")[0].strip().lower() or b"text/plain"
        boundary = _boundary(said) if kind.startswith(b"multipart/") else b""
        if boundary and depth < DEPTH_LIMIT:
            inner = [(*span, depth + 1) for span in _pieces(mail, body_at, end, boundary)]
            spans += reversed(inner)
            continue
        encoding = _field(index, b"content-transfer-encoding").lower()
        if (
            kind == b"message/rfc822"
            and depth < DEPTH_LIMIT
            and encoding not in (b"base64", b"quoted-printable")
        ):
            spans.append((body_at, end, depth + 1))
            continue
        yield Leaf(
            media_type=kind.decode("ascii", "replace"),
            named=said
            + b" "
            + _field(index, b"content-disposition")
            + b" "
            + _field(index, b"content-description"),
            encoding=encoding,
            encoded=mail[body_at:end],
        )


def _head(mail: bytes, start: int, end: int) -> tuple[HeaderIndex, int]:
    """The part's fields, and where its body begins."""
    for empty in (b"\r\n", b"\n"):
        if mail.startswith(empty, start, end):
            return HeaderIndex.parse(b"\r\n"), start + len(empty)
    found = _END_OF_HEAD.search(mail, start, end)
    body_at = found.end() if found is not None else end
    head = mail[start : min(body_at, start + HEAD_LIMIT_BYTES)]
    return HeaderIndex.parse(_NEWLINE.sub(b"\r\n", head)), body_at


def _field(index: HeaderIndex, name: bytes) -> bytes:
    return (index.first(name) or b"")[:FIELD_LIMIT_BYTES]


def _boundary(content_type: bytes) -> bytes:
    found = _BOUNDARY.search(content_type)
    return (found[1] or found[2]) if found is not None else b""


def _pieces(mail: bytes, start: int, end: int, boundary: bytes) -> Iterator[tuple[int, int]]:
    """Where the parts between the delimiters are; the last one may lack its end."""
    delimiter = b"--" + boundary
    found, others, began, at = 0, 0, -1, start
    while found < PARTS_LIMIT and others < LOOKALIKES_LIMIT and (at := mail.find(delimiter, at, end)) >= 0:
        behind = at + len(delimiter)
        line_end = mail.find(b"\n", behind, end)
        line_end = end if line_end < 0 else line_end + 1
        rest = mail[behind : min(line_end, behind + FIELD_LIMIT_BYTES)].strip(_BLANKS + b"\n")
        if not (at == start or mail[at - 1 : at] == b"\n") or rest not in (b"", b"--"):
            at, others = behind, others + 1
            continue
        if began >= 0:
            found += 1
            yield began, _before_newline(mail, began, at)
        if rest == b"--":
            return
        began = at = line_end
    if began >= 0 and found < PARTS_LIMIT:
        yield began, end


def _before_newline(mail: bytes, began: int, at: int) -> int:
    """The line end before a delimiter belongs to it."""
    for newline in (b"\r\n", b"\n"):
        if mail.endswith(newline, began, at):
            return at - len(newline)
    return at


def _without_padding(encoded: bytes) -> bytes:
    """Base64 that was cut: what of it is whole."""
    octets = re.sub(rb"[^A-Za-z0-9+/]", b"", encoded)
    return binascii.a2b_base64(octets[: len(octets) // 4 * 4])
