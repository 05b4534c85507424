"""The parts of a notice that hold text for people and what came back of the mail."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from gatepost.message.fields import LINE_LIMIT_BYTES
from gatepost.message.headers import raw_fields

_UNSENDABLE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


@dataclass(frozen=True, slots=True)
class ReturnedPart:
    """The last part of a report, with its own fields."""

    octets: bytes
    has_8bit: bool
    is_whole: bool
    """The whole mail, not only its header section."""


def text_part(text: str) -> bytes:
    """Text for people (lines separated by LF) as a text/plain part."""
    octets = text.replace("\n", "\r\n").encode("utf-8", "replace")
    if octets.isascii():
        return b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + octets + b"\r\n"
    # The encoder ends lines of its own as the text ends its first one: a text of one line would get bare LFs.
    encoded = binascii.b2a_qp(octets + b"\r\n", istext=True).removesuffix(b"\r\n")
    return (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + encoded
        + b"\r\n"
    )


def returned_part(
    head: bytes, body: bytes | None, *, international: bool, head_limit_bytes: int
) -> ReturnedPart:
    """What came back of the mail: whole when a body is given and may be sent as it is, else its header section.

    international: the notice itself needs SMTPUTF8, so 8-bit header fields may stand as they are.
    """
    if body is not None and _is_sendable(head + body) and (head.isascii() or international):
        kind = b"message/global" if international and not head.isascii() else b"message/rfc822"
        return _plain(kind, head + body, is_whole=True)
    cut = _cut_head(head, head_limit_bytes)
    if cut.isascii() and _is_sendable(cut):
        return _plain(b"text/rfc822-headers", cut, is_whole=False)
    if international and _is_sendable(cut) and _is_utf8(cut):
        return _plain(b"message/global-headers", cut, is_whole=False)
    # 8-bit, over-long lines or stray control characters: base64 carries them to where they harm nobody.
    encoded = base64.encodebytes(cut).replace(b"\n", b"\r\n")
    fields = b"Content-Type: text/rfc822-headers; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return ReturnedPart(fields + encoded, has_8bit=False, is_whole=False)


def _plain(kind: bytes, octets: bytes, *, is_whole: bool) -> ReturnedPart:
    has_8bit = not octets.isascii()
    encoding = b"Content-Transfer-Encoding: 8bit\r\n" if has_8bit else b""
    return ReturnedPart(
        b"Content-Type: " + kind + b"\r\n" + encoding + b"\r\n" + octets, has_8bit=has_8bit, is_whole=is_whole
    )


def _is_sendable(octets: bytes) -> bool:
    """Lines end in CR LF, are not too long, and there is no NUL."""
    if _UNSENDABLE.search(octets):
        return False
    return all(len(line) <= LINE_LIMIT_BYTES for line in octets.split(b"\r\n"))


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _cut_head(head: bytes, limit_bytes: int) -> bytes:
    """The header section's first fields, whole ones, within the limit; its first field may be cut itself."""
    if len(head) <= limit_bytes:
        return head
    kept: list[bytes] = []
    room = limit_bytes
    for raw in raw_fields(head[:limit_bytes]):
        if len(raw) > room or not raw.endswith(b"\r\n"):
            break
        kept.append(raw)
        room -= len(raw)
    return b"".join(kept) + b"\r\n"
