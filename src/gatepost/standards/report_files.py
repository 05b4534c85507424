"""Reports out of what they come in: a mail, gzip, zip or plain; nothing grows beyond its limit (threats J39)."""

from __future__ import annotations

import email
import email.policy
import io
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

MAIL_LIMIT_BYTES: Final = 25 << 20
DOCUMENT_LIMIT_BYTES: Final = 50 << 20
DOCUMENTS_LIMIT: Final = 20
PARTS_LIMIT: Final = 100
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_BLANKS: Final = b" \t\r\n\xef\xbb\xbf"


class UnreadableReport(ValueError):
    """What it is not, or which limit it breaks; for the administrator."""


def documents(data: bytes) -> tuple[bytes, ...]:
    """The XML and JSON documents in a file, at most DOCUMENTS_LIMIT. Raises UnreadableReport."""
    if len(data) > MAIL_LIMIT_BYTES:
        raise UnreadableReport(f"larger than {MAIL_LIMIT_BYTES >> 20} MiB")
    found = list(_unpacked(data))
    if not found:
        parts = _parts_of_mail(data)
        found = [document for part in parts for document in _unpacked(part)]
    if not found:
        raise UnreadableReport("neither XML nor JSON, gzip nor zip, nor a mail with one of them")
    return tuple(found[:DOCUMENTS_LIMIT])


def _unpacked(data: bytes) -> Iterator[bytes]:
    """One level: a report is packed once."""
    if data.startswith(_GZIP):
        data = _gunzipped(data)
    elif data.startswith(_ZIP):
        yield from _unzipped(data)
        return
    if data.lstrip(_BLANKS)[:1] in (b"<", b"{"):
        yield data.lstrip(_BLANKS)


def _gunzipped(data: bytes) -> bytes:
    inflating = zlib.decompressobj(wbits=31)
    try:
        text = inflating.decompress(data, DOCUMENT_LIMIT_BYTES)
    except zlib.error as error:
        raise UnreadableReport(f"broken gzip: {error}") from error
    if inflating.unconsumed_tail:
        raise UnreadableReport(f"unpacks to more than {DOCUMENT_LIMIT_BYTES >> 20} MiB")
    if not inflating.eof:
        raise UnreadableReport("broken gzip: it ends too early")
    return text


def _unzipped(data: bytes) -> Iterator[bytes]:
    left = DOCUMENT_LIMIT_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist()[:DOCUMENTS_LIMIT]:
                with archive.open(entry) as opened:
                    text = opened.read(left + 1)
                left -= len(text)
                if left < 0:
                    raise UnreadableReport(f"unpacks to more than {DOCUMENT_LIMIT_BYTES >> 20} MiB")
                if text.lstrip(_BLANKS)[:1] in (b"<", b"{"):
                    yield text.lstrip(_BLANKS)
    # RuntimeError: a password; NotImplementedError is one.
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, UnreadableReport):
            raise
        raise UnreadableReport(f"broken zip: {error}") from error


def _parts_of_mail(data: bytes) -> Iterator[bytes]:
    """Decoded attachments that may be reports."""
    try:
        message = email.message_from_bytes(data, policy=email.policy.compat32)
        parts = list(islice(message.walk(), PARTS_LIMIT))
    except (RecursionError, ValueError, LookupError) as error:
        raise UnreadableReport(f"not a mail that can be read: {type(error).__name__}") from error
    for part in parts:
        may_be = part.get_content_maintype() == "application" or part.get_content_type() == "text/xml"
        content = part.get_payload(decode=True) if may_be and not part.is_multipart() else None
        if isinstance(content, bytes):
            yield content
