"""Readers of what a mail is made of: its parts, their fields, their encodings and their charsets."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final

from fuzz.oracles import holds
from fuzz.sender_targets import SEPARATOR
from gatepost.message.charsets import CODECS, DANGEROUS, WIDE, decode_text
from gatepost.message.contents import attached, looked_into
from gatepost.message.encodings import Encoding, base64_readings, decode
from gatepost.message.file_names import defects_of_names, safe_name
from gatepost.message.headers import body_at
from gatepost.message.parameters import read_disposition, read_type, read_word
from gatepost.message.structure import LIMITS, Structure, StructureLimits
from gatepost.message.structure_defects import StructureDefect
from gatepost.message.walk import readings, walk

_TIGHT: Final = StructureLimits(
    depth=3,
    parts=7,
    part_header_bytes=64,
    parameters=3,
    boundary_bytes=5,
    delimiter_lines=4,
    leaf_bytes=9,
    expansion=1,
)
_LABELS: Final = (*sorted({*CODECS, *WIDE, *DANGEROUS}), "")
_LOOKED_FACTOR: Final = 4


class _Watched(bytes):
    """A mail that counts the octets that are searched."""

    looked = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        end = len(self) if end is None else min(end, len(self))
        found = super().find(sub, start, end)
        self.looked += max(0, (found if found >= 0 else end) - start)
        return found


def mail_structure(data: bytes) -> None:
    """Every octet is in one region, limits hold, and the work is the mail's octets times the depth, at most."""
    mail = _Watched(data)
    for structure in readings(mail):
        _check(data, structure)
    levels = 1 + max(part.depth for part in structure.parts)
    work = _LOOKED_FACTOR * (levels + 1) * 8 * (len(data) + 64)
    holds(mail.looked <= work, f"{mail.looked} octets looked through in a mail of {len(data)}")
    agreed = body_at(data)
    holds(agreed == len(data) or structure.parts[0].body_at == agreed, "another body than all others see")
    tight = walk(data, _TIGHT)
    _check(data, tight)
    holds(len(tight.parts) <= _TIGHT.parts, "more parts than the limit")
    holds(all(part.depth <= _TIGHT.depth for part in tight.parts), "deeper than the limit")
    for limits in (LIMITS, _TIGHT):
        inner = [*attached(data, walk(data, limits), limits)]
        decoded = sum(len(one.octets) for one in inner)
        holds(
            decoded <= (limits.expansion + 2) * len(data) + 200 * len(inner),
            "attached mails beyond their budget",
        )
        for one in inner:
            _check(one.octets, one.structure)


def _check(mail: bytes, structure: Structure) -> None:
    at = 0
    for span in structure.spans():
        holds(span.start == at and span.end > at, f"the octet at {at} is in no region, or in two")
        at = span.end
    holds(at == len(mail), "octets without a region")
    holds(len({part.path for part in structure.parts}) == len(structure.parts), "two parts of one path")
    for number, part in enumerate(structure.parts):
        around = structure.parts[part.parent] if part.parent >= 0 else None
        holds(part.parent < number, "a part before what it stands in")
        holds(
            around is None or around.body_at <= part.start <= part.body_at <= part.end <= around.end,
            f"{part.path} is not within what it stands in",
        )
        holds(all(0 <= noticed.at <= len(mail) for noticed in part.defects), "a defect at no place")
        within = looked_into(mail, part)
        holds(within.size_bytes <= part.end - part.body_at, f"{part.path} grows when it is decoded")
        for name in part.names:
            holds(safe_name(name).isprintable(), "a name not to be shown")
    holds(all(0 <= passed.at <= len(mail) for passed in structure.passed), "a limit at no place")


def transfer_encodings(data: bytes) -> None:
    """Nothing grows; a limit cuts and does not change; what is decoded is encoded and decoded to itself."""
    for encoding in Encoding:
        whole = decode(encoding, data, 1 << 24)
        holds(len(whole.octets) <= len(data), f"{encoding.value} grows")
        for limit in (0, 1, len(data) // 2):
            cut = decode(encoding, data, limit)
            holds(cut.octets == whole.octets[:limit], f"{encoding.value} with a limit is another")
            holds(
                bool(cut.passed) or len(whole.octets) <= limit or bool(whole.passed),
                "a limit that nobody tells of",
            )
    octets = decode(Encoding.BASE64, data, 1 << 24).octets
    again = decode(Encoding.BASE64, base64.encodebytes(octets), 1 << 24)
    holds(again == (octets, frozenset(), ""), "base64 of our own is not read as itself")
    try:
        strict = binascii.a2b_base64(data, strict_mode=True)
    except binascii.Error:
        strict = None
    if strict is not None:
        holds(strict == octets, "base64 without a fault is read otherwise")
    holds(octets in base64_readings(data, 1 << 24), "the first reading is none of them")


def mime_parameters(data: bytes) -> None:
    """Any value is read; readings are no more than what is written; what was read is read again as itself."""
    for found in (read_type(data), read_type(data, last_wins=True), read_disposition(data)):
        holds(len(found.written) <= 100 and found.main == found.main.lower(), "beyond its limits")
        size = sum(len(reading) for one in found.texts.values() for reading in one)
        holds(size <= 8 * len(data) + 8, "parameters that grow")
        defects_of_names(name for one in found.texts.values() for name in one)
        for readings_of in found.texts.values():
            for name in readings_of:
                shown = safe_name(name)
                holds(shown.isprintable() and safe_name(shown) == shown, "a name not to be shown")
    found = read_type(data)
    plain = {name: one for name, one in found.texts.items() if _is_plain(name, one)}
    again = read_type(_written(found.main, plain))
    holds(again.texts == plain and again.main == found.main and not again.defects, "read otherwise again")
    word, is_alone = read_word(data)
    holds(not is_alone or read_word(word.encode("latin-1"))[0] == word, "a word that is another again")


def _is_plain(name: str, values: tuple[str, ...]) -> bool:
    said = values[0]
    return len(values) == 1 and name.isascii() and name.isalnum() and "=?" not in said and _is_utf8(said)


def _is_utf8(text: str) -> bool:
    try:
        return len(text.encode()) < 500
    except UnicodeEncodeError:
        return False


def _written(main: str, texts: dict[str, tuple[str, ...]]) -> bytes:
    value = main.encode("latin-1")
    for name, (text,) in texts.items():
        value += b'; %s="%s"' % (name.encode(), text.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    return value


def charsets(data: bytes) -> None:
    """Any octets in any charset are text, which is not longer than the octets; UTF-8 and ASCII are themselves."""
    label, _, octets = data.rpartition(SEPARATOR)
    name = _LABELS[label[0] % len(_LABELS)] if len(label) == 1 else label.decode("latin-1")
    found = decode_text(octets, name)
    holds(len(found.text) <= len(octets), "text longer than its octets")
    as_utf8 = octets.decode("utf-8", "ignore")
    if as_utf8.encode() == octets:
        holds(decode_text(octets, "utf-8").text == as_utf8, "UTF-8 is read otherwise")
    holds(
        found.codec in {*CODECS.values(), *WIDE.values(), "utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"},
        "no charset",
    )
    if StructureDefect.DANGEROUS_CHARSET in found.defects:
        holds(not octets.isascii() or found.text == octets.decode(), "a dangerous charset was decoded")


TARGETS: Final[tuple[tuple[str, Callable[[bytes], None], tuple[bytes, ...]], ...]] = (
    (
        "mail-structure",
        mail_structure,
        (
            b"MIME-Version: 1.0\r\n",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n",
            b"Content-Type: multipart/digest; boundary=xx\r\n\r\n",
            b"Content-Type: message/rfc822\r\n\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
            b"Content-Disposition: attachment; filename=a.exe\r\n",
            b'; boundary="x y"; boundary*0=x',
            b"\r\n--x\r\n",
            b"\r\n--x--\r\n",
            b"\r\n--xx\r\n",
            b"\n--x \n",
            b"\r\n\r\n",
            b"Q29udGVudC1UeXBlOiBtZXNzYWdlL3JmYzgyMg0K",
        ),
    ),
    (
        "transfer-encodings",
        transfer_encodings,
        (b"QUJD", b"==", b"=", b"\r\n", b"=41", b"=\r\n", b" \r\n", b"=zz", b"-_", b"\xff", b"=\r"),
    ),
    (
        "mime-parameters",
        mime_parameters,
        (
            b"text/plain",
            b"; a=b",
            b'; n="x"',
            b"; n*0*=utf-8''%41",
            b"; n*1=",
            b"(",
            b")",
            b'"',
            b"\\",
            b"=?utf-8?q?a?=",
            b" ",
            b"=",
            b";",
        ),
    ),
    (
        "charsets",
        charsets,
        (
            b"utf-8" + SEPARATOR,
            b"utf-16" + SEPARATOR,
            b"iso-2022-jp" + SEPARATOR,
            b"\x1b$B",
            b"\x1b(B",
            b"\xc0\xaf",
            b"\xff\xfe",
            b"+ADw-",
            b"\x81\x30",
            b"\xd8\0",
            b"\xe4",
        ),
    ),
)
