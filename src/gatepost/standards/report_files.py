"""Reports out of what they come in: a mail, gzip, zip or plain; nothing grows beyond its limit (threats J39)."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from gatepost.message.leaves import Leaf, leaves

MAIL_LIMIT_BYTES: Final = 25 << 20
DOCUMENT_LIMIT_BYTES: Final = 50 << 20
DOCUMENTS_LIMIT: Final = 20
ENTRIES_LIMIT: Final = 1000
"""Entries of a zip, those that are no reports included."""
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_BLANKS: Final = b" \t\r\n\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_END_OF_ZIP: Final = b"PK\x05\x06"
_END_OF_ZIP_BYTES: Final = 22
_LOCATOR_OF_ZIP64: Final = b"PK\x06\x07"
_LOCATOR_OF_ZIP64_BYTES: Final = 20
_COMMENT_LIMIT_BYTES: Final = 0xFFFF
_UNPACKED_KINDS: Final = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
"""Others want memory as their maker likes."""
_FOR_PEOPLE: Final = ("text/", "image/", "audio/", "video/", "message/")
_NAMED_AS_REPORT: Final = re.compile(r"\.(?:xml|json|gz|gzip|zip)\b", re.IGNORECASE)

Pause = Callable[[], None]
"""Called between pieces of work; raises UnreadableReport when there was enough."""


class UnreadableReport(ValueError):
    """What it is not, or which limit it breaks; for the administrator."""


class NoReport(UnreadableReport):
    """Nothing in it looks like a report: mail of another kind."""


def no_pause() -> None:
    """For whoever waits for the result."""


def documents(data: bytes, *, limit_bytes: int | None = None, pause: Pause = no_pause) -> tuple[bytes, ...]:
    """The XML and JSON documents in a file, at most DOCUMENTS_LIMIT. Raises UnreadableReport.

    limit_bytes: of all of them together, unpacked; None: DOCUMENT_LIMIT_BYTES.
    """
    if len(data) > MAIL_LIMIT_BYTES:
        raise UnreadableReport(f"larger than {MAIL_LIMIT_BYTES >> 20} MiB")
    limit_bytes = DOCUMENT_LIMIT_BYTES if limit_bytes is None else limit_bytes
    found = list(_unpacked(data, limit_bytes))
    if not found:
        found = list(_of_mail(data, limit_bytes, pause))
    if not found:
        raise NoReport("neither XML nor JSON, gzip nor zip, nor a mail with one of them")
    return tuple(found[:DOCUMENTS_LIMIT])


def _of_mail(data: bytes, limit_bytes: int, pause: Pause) -> Iterator[bytes]:
    parts = list(leaves(data))
    left = limit_bytes
    for part in parts:
        pause()
        data = part.decoded()
        for document in _unpacked(data, left) if len(parts) == 1 or _may_be(part, data) else ():
            left -= len(document)
            yield document


def _may_be(part: Leaf, data: bytes) -> bool:
    """Reports come under every type; the text for people beside one does not count."""
    kind = part.media_type
    is_data = not kind.startswith(_FOR_PEOPLE) or kind in ("text/xml", "text/json")
    return (
        is_data
        or any(_NAMED_AS_REPORT.search(name) for name in part.names)
        or data[:64].lstrip(_BLANKS).startswith(b"<?xml")
    )


def _unpacked(data: bytes, limit_bytes: int) -> Iterator[bytes]:
    """One level: a report is packed once."""
    if data.startswith(_GZIP):
        data = _gunzipped(data, limit_bytes)
    elif data.startswith(_ZIP):
        yield from _unzipped(data, limit_bytes)
        return
    elif len(data) > limit_bytes:
        raise _too_large(limit_bytes)
    if _is_document(data):
        yield data.lstrip(_BLANKS)


def _is_document(data: bytes) -> bool:
    return data[:64].lstrip(_BLANKS)[:1] in (b"<", b"{") or data.startswith(_UTF16)


def _too_large(limit_bytes: int) -> UnreadableReport:
    return UnreadableReport(f"unpacks to more than {limit_bytes / (1 << 20):.3g} MiB")


def _gunzipped(data: bytes, limit_bytes: int) -> bytes:
    inflating = zlib.decompressobj(wbits=31)
    try:
        text = inflating.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise UnreadableReport(f"broken gzip: {error}") from error
    if len(text) > limit_bytes:
        raise _too_large(limit_bytes)
    if not inflating.eof:
        raise UnreadableReport("broken gzip: it ends too early")
    return text


def _unzipped(data: bytes, limit_bytes: int) -> Iterator[bytes]:
    _check_directory(data)
    left = limit_bytes
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist()[:DOCUMENTS_LIMIT]:
                if entry.compress_type not in _UNPACKED_KINDS:
                    raise UnreadableReport(f"a zip with compression {entry.compress_type}, which is not read")
                with archive.open(entry) as opened:
                    text = opened.read(left + 1)
                left -= len(text)
                if left < 0:
                    raise _too_large(limit_bytes)
                if _is_document(text):
                    yield text.lstrip(_BLANKS)
    # RuntimeError: a password; NotImplementedError is one.
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, UnreadableReport):
            raise
        raise UnreadableReport(f"broken zip: {error}") from error


def _check_directory(data: bytes) -> None:
    """Before anything is made of it: a directory may name half a million entries."""
    end = data.rfind(_END_OF_ZIP, max(0, len(data) - _END_OF_ZIP_BYTES - _COMMENT_LIMIT_BYTES))
    if end < 0 or len(data) < end + _END_OF_ZIP_BYTES:
        raise UnreadableReport("broken zip: it has no end")
    if data[max(0, end - _LOCATOR_OF_ZIP64_BYTES) : end].startswith(_LOCATOR_OF_ZIP64):
        # Its own numbers count instead, 64 bits wide; no report needs them.
        raise UnreadableReport("a zip of the 64-bit kind, which is not read")
    entries = int.from_bytes(data[end + 10 : end + 12], "little")
    size_bytes = int.from_bytes(data[end + 12 : end + 16], "little")
    if entries > ENTRIES_LIMIT or size_bytes > ENTRIES_LIMIT * 1024:
        raise UnreadableReport(f"a zip of more than {ENTRIES_LIMIT} entries")
