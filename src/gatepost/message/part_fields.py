"""The fields of one part: where they end, and what those of MIME say."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gatepost.message import headers
from gatepost.message.charsets import defect_of_label
from gatepost.message.delimiters import Seen
from gatepost.message.encodings import BY_WORD, Encoding
from gatepost.message.file_names import defects_of_names
from gatepost.message.headers import Defect, HeaderIndex
from gatepost.message.parameters import EMPTY, Valued, read_disposition, read_type, read_word
from gatepost.message.structure import Kind, StructureLimits
from gatepost.message.structure_defects import StructureDefect

_NEWLINE: Final = re.compile(rb"\r?\n")
_CONTAINERS: Final = (Kind.MULTIPART, Kind.MESSAGE)
_MESSAGES: Final = frozenset(("message/rfc822", "message/global", "message/news"))
_FIELDS: Final = frozenset(
    ("message/delivery-status", "message/global-delivery-status", "message/disposition-notification",
     "message/global-disposition-notification", "message/feedback-report", "message/tracking-status",
     "message/global-headers", "text/rfc822-headers", "message/rfc822-headers")
)  # fmt: skip
_OTHER_MESSAGES: Final = frozenset(
    f"message/{name}"
    for name in ("partial", "external-body", "http", "s-http", "sip", "sipfrag", "cpim", "imdn+xml", "mls")
)
"""No mail inside. A kind that nobody knows is opened, as some readers do."""
_NAMED: Final = {
    "message/partial": StructureDefect.PARTIAL,
    "message/external-body": StructureDefect.EXTERNAL_BODY,
}
_OF_HEADER: Final = {
    Defect.BARE_CR: StructureDefect.HEADER_BARE_CR,
    Defect.BARE_LF: StructureDefect.HEADER_BARE_LF,
    Defect.NUL: StructureDefect.HEADER_NUL,
    Defect.NO_END: StructureDefect.HEADER_NOT_ENDED,
}
_DEFAULT: Final = read_type(b"text/plain")
_DEFAULT_OF_DIGEST: Final = read_type(b"message/rfc822")


class Head(NamedTuple):
    """What a part's fields say. passed: names of limits."""

    body_at: int
    kind: Kind
    content_type: Valued
    encoding: Encoding
    disposition: Valued
    seen: Seen
    passed: tuple[str, ...]


def read_head(
    mail: bytes,
    start: int,
    end: int,
    limits: StructureLimits,
    *,
    is_mail: bool,
    in_digest: bool,
    last_wins: bool,
) -> Head:
    """The fields at `start`. is_mail: of a mail (or an attached one), not of a part of a multipart."""
    body_at = _body_at_of_mail(mail, start, end) if is_mail and start == 0 else _body_at(mail, start, end)
    seen: Seen = {}
    passed: list[str] = []
    index = _index(mail, start, body_at, limits, seen, passed)
    types = index.all(b"content-type")
    content_type = _type(types, limits, last_wins, in_digest)
    if len(types) > 1:
        seen[StructureDefect.TWO_CONTENT_TYPES] = start
    words = index.all(b"content-transfer-encoding")
    encoding = _encoding(words, last_wins, start, seen) if words else Encoding.SEVEN_BIT
    said = index.all(b"content-disposition")
    disposition = _disposition(said, limits, last_wins, start, seen) if said else EMPTY
    kind = _kind(content_type.main)
    if content_type is not _DEFAULT or disposition is not EMPTY:
        _look_at_values(content_type, disposition, kind, encoding, limits, start, seen)
    if (types or words) and is_mail and not index.count(b"mime-version"):
        seen[StructureDefect.NO_MIME_VERSION] = start
    passed += [valued.passed for valued in (content_type, disposition) if valued.passed]
    return Head(body_at, kind, content_type, encoding, disposition, seen, tuple(passed))


def _body_at_of_mail(mail: bytes, start: int, end: int) -> int:
    """Of a mail as it came: the one agreed split. Where that finds no body, one behind a bare LF is seen."""
    agreed = headers.body_at(mail)
    return agreed if agreed < end or mail.endswith(b"\r\n\r\n") else _body_at(mail, start, end)


def _body_at(mail: bytes, start: int, end: int) -> int:
    """Behind the first empty line, whatever line ends it is made of; the end when there is none."""
    for empty in (b"\r\n", b"\n"):
        if mail.startswith(empty, start, end):
            return start + len(empty)
    found = mail.find(b"\n\r\n", start, end)
    bare = mail.find(b"\n\n", start, end if found < 0 else found + 1)
    if bare >= 0:
        return bare + 2
    return found + 3 if found >= 0 else end


def _index(
    mail: bytes, start: int, body_at: int, limits: StructureLimits, seen: Seen, passed: list[str]
) -> HeaderIndex:
    limit = _limit_of_head(start, limits)
    head = mail[start : min(body_at, start + limit)]
    if head in (b"\r\n", b"\n"):
        return _NO_FIELDS
    index = HeaderIndex.parse(head) if start == 0 else HeaderIndex.parse_once(head)
    if not index.defects and body_at - start <= limit:
        return index
    if Defect.BARE_LF in index.defects:
        seen[StructureDefect.HEADER_BARE_LF] = start
        index = HeaderIndex.parse_once(_NEWLINE.sub(b"\r\n", head))
    if body_at - start > limit:
        passed.append("part_header_bytes")
    for defect in index.defects:
        if defect is Defect.TOO_MANY_FIELDS:
            passed.append("part_header_bytes")
        elif defect is not Defect.NO_END or body_at - start <= limit:
            seen.setdefault(_OF_HEADER.get(defect, StructureDefect.HEADER_ODD), start)
    return index


_NO_FIELDS: Final = HeaderIndex.parse_once(b"\r\n")


def _limit_of_head(start: int, limits: StructureLimits) -> int:
    """The mail's own header section has had its limit at the door, which is larger."""
    return limits.part_header_bytes if start else max(limits.part_header_bytes, 1 << 20)


def _type(types: list[bytes], limits: StructureLimits, last_wins: bool, in_digest: bool) -> Valued:
    if not types:
        return _DEFAULT_OF_DIGEST if in_digest else _DEFAULT
    read = [
        read_type(one, parameters_limit=limits.parameters, last_wins=last_wins) for one in types[:_SAME_LIMIT]
    ]
    if last_wins:
        return read[-1]
    # Whoever reads a container sees more than who does not.
    return next((one for one in read if _kind(one.main) in _CONTAINERS), read[0])


_SAME_LIMIT: Final = 8
"""Fields of the same name that are read."""


def _encoding(words: list[bytes], last_wins: bool, start: int, seen: Seen) -> Encoding:
    if len(words) > 1:
        seen[StructureDefect.TWO_ENCODINGS] = start
    word, is_alone = read_word(words[-1 if last_wins else 0])
    if not is_alone:
        seen[StructureDefect.ODD_ENCODING] = start
    encoding = BY_WORD.get(word)
    if encoding is None:
        seen[StructureDefect.UNKNOWN_ENCODING] = start
        return Encoding.UNKNOWN
    return encoding


def _disposition(
    said: list[bytes], limits: StructureLimits, last_wins: bool, start: int, seen: Seen
) -> Valued:
    read = [
        read_disposition(one, parameters_limit=limits.parameters, last_wins=last_wins)
        for one in said[:_SAME_LIMIT]
    ]
    if len(read) == 1:
        return read[0]
    seen[StructureDefect.TWO_DISPOSITIONS] = start
    ordered = read[::-1] if last_wins else read
    names = dict.fromkeys(name for one in ordered for name in one.texts.get("filename", ()))
    return ordered[0]._replace(
        texts={**ordered[0].texts, "filename": tuple(names)} if names else ordered[0].texts,
        defects=frozenset().union(*(one.defects for one in read)),
    )


def _kind(media_type: str) -> Kind:
    if media_type.startswith("multipart/"):
        return Kind.MULTIPART
    if media_type in _MESSAGES:
        return Kind.MESSAGE
    if media_type in _FIELDS:
        return Kind.FIELDS
    if media_type.startswith("message/") and media_type not in _OTHER_MESSAGES:
        return Kind.MESSAGE
    return Kind.TEXT if media_type.startswith("text/") else Kind.OTHER


def _look_at_values(
    content_type: Valued, disposition: Valued, kind: Kind, encoding: Encoding, limits: StructureLimits,
    start: int, seen: Seen,
) -> None:  # fmt: skip
    for defect in (*content_type.defects, *disposition.defects):
        seen[defect] = start
    if kind is Kind.MESSAGE and content_type.main not in _MESSAGES:
        seen[StructureDefect.UNKNOWN_MESSAGE] = start
    charset = defect_of_label(content_type.first("charset"))
    if charset is not None:
        seen[charset] = start
    named = _NAMED.get(content_type.main)
    if named is not None:
        seen[named] = start
    if kind in _CONTAINERS and encoding in (Encoding.BASE64, Encoding.QUOTED_PRINTABLE):
        seen[StructureDefect.ENCODED_CONTAINER] = start
    names = [
        name
        for valued in (content_type, disposition)
        for key in ("name", "filename")
        for name in valued.texts.get(key, ())
    ]
    if names:
        for defect in defects_of_names(names, limits.name_chars):
            seen[defect] = start
