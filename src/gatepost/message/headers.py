"""The header section read once, in linear time: an ordered index of its fields and what is wrong with it.

Only CR LF ends a line here (threats A20, A21); whatever else some reader may take for a
line end is named as a defect, so that a check can tell that readers may disagree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

FIELDS_LIMIT: Final = 1000

# Possessive quantifiers: the pattern never goes back, so it is linear on any input.
_FIELD: Final = re.compile(rb"[^\r]*+(?:\r(?!\n)[^\r]*+|\r\n[ \t][^\r]*+)*+(?:\r\n|\Z)")
_NAME: Final = re.compile(rb"[!-9;-~]+")
_BLANK_LINE: Final = re.compile(rb"\r\n[ \t]+(?=\r\n)")
_OTHER_LINE_END: Final = re.compile(rb"[\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]|(?<![\x80-\xff])\x85")
_BARE_CR: Final = re.compile(rb"\r(?!\n)")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_BLANKS: Final = b" \t\r\n"
_JOINED_NAME_OCTETS: Final = bytes(octet for octet in range(0x21, 0x7F) if octet != 0x3A) + b"\n"
_ODD_OCTETS: Final = b"\0\x0b\x0c\x1c\x1d\x1e\r\n"


class Defect(Enum):
    """What can be wrong with a header section: each makes two readers disagree about it."""

    NO_COLON = "no-colon"
    """A line among the fields that is no field."""
    EMPTY_NAME = "empty-name"
    """A field whose name is empty."""
    BLANK_BEFORE_COLON = "blank-before-colon"
    """A field name with blanks (or a fold) between it and the colon; it is read without them."""
    ODD_NAME = "odd-name"
    """A field name with 8-bit or control characters or blanks inside."""
    LEADING_BLANK = "leading-blank"
    """The section begins with a folded line that continues nothing."""
    BLANK_LINE = "blank-line"
    """A line of nothing but blanks: some readers end the section there."""
    BARE_CR = "bare-cr"
    """CR without LF."""
    BARE_LF = "bare-lf"
    """LF without CR."""
    NUL = "nul"
    """NUL in the section."""
    OTHER_LINE_END = "other-line-end"
    """VT, FF, FS, GS, RS, NEL, U+2028 or U+2029: line ends for some tools, never for us."""
    NO_END = "no-end"
    """No empty line ends the section: the message has no body."""
    TOO_MANY_FIELDS = "too-many-fields"
    """More fields than the limit; the rest is not indexed."""


class HeaderField(NamedTuple):
    """One field. name: lower case, without blanks around it. value: unfolded, without blanks around it."""

    name: bytes
    value: bytes


def split(content: bytes) -> tuple[bytes, bytes]:
    """Header section (with the empty line that ends it) and body, at body_at()."""
    at = body_at(content)
    return content[:at], content[at:]


def body_at(content: bytes) -> int:
    """Where the body begins: the one agreed split (RFC 5322 §2.1).

    Behind the first CR LF CR LF; a message that begins with CR LF has no fields. Without an
    empty line everything is header section.
    """
    if content.startswith(b"\r\n"):
        return 2
    at = content.find(b"\r\n\r\n")
    return len(content) if at < 0 else at + 4


def raw_fields(head: bytes) -> list[bytes]:
    """Each field as it stands, its last CR LF included; without the empty line at the end.

    b"".join(raw_fields(head)) is the head without that empty line.
    """
    return _FIELD.findall(_without_end(head))[:-1]


def name_of(raw: bytes) -> bytes:
    """The name of a raw field: lower case, without blanks around it; b"" when there is no colon."""
    name, colon, _ = raw.partition(b":")
    return name.strip(_BLANKS).lower() if colon else b""


def unfolded(value: bytes) -> bytes:
    """A field's value on one line: the CR LF of folds taken out (RFC 5322 §2.2.3), blanks around it too."""
    return (value.replace(b"\r\n", b"") if b"\r\n" in value else value).strip(_BLANKS)


class HeaderIndex:
    """The fields of one header section, in order. Built by parse(); never changes."""

    __slots__ = ("_fields", "_found", "_names", "_values", "defects")

    def __init__(self, names: list[bytes], values: Sequence[bytes], defects: frozenset[Defect]) -> None:
        self._names = names
        self._values = values
        self._fields: tuple[HeaderField, ...] | None = None
        self.defects = defects
        """What is wrong with the section; empty for nearly all mail."""

    @staticmethod
    @lru_cache(maxsize=8)  # facts, records and notices of one mail read the same head, one after the other
    def parse(head: bytes, fields_limit: int = FIELDS_LIMIT) -> HeaderIndex:
        """Read a header section, with or without the empty line at its end. Takes any bytes, raises nothing.

        At most fields_limit fields are indexed.
        """
        return HeaderIndex.parse_once(head, fields_limit=fields_limit)

    @classmethod
    def parse_once(cls, head: bytes, *, fields_limit: int = FIELDS_LIMIT) -> HeaderIndex:
        """The same for one of many that nobody reads again, such as a part's: nothing else is forgotten for it."""
        return _parse_tidy(head, fields_limit) or _parse_untidy(head, fields_limit)

    @property
    def fields(self) -> tuple[HeaderField, ...]:
        """All fields in order, values unfolded."""
        if self._fields is None:
            pairs = zip(self._names, self._values, strict=True)
            self._fields = tuple(HeaderField(name, value.strip(_BLANKS)) for name, value in pairs)
        return self._fields

    def first(self, name: bytes) -> bytes | None:
        """The unfolded value of the topmost field of this name (lower case); None when there is none."""
        try:
            return self._values[self._names.index(name)].strip(_BLANKS)
        except ValueError:
            return None

    def all(self, name: bytes) -> list[bytes]:
        """The unfolded values of every field of this name (lower case), topmost first."""
        if name not in self._names:
            return []
        pairs = zip(self._names, self._values, strict=True)
        return [value.strip(_BLANKS) for found, value in pairs if found == name]

    @property
    def has_repeated_names(self) -> bool:
        """Some name stands more than once."""
        return len(set(self._names)) < len(self._names)

    def has_none_of(self, names: frozenset[bytes]) -> bool:
        """No field has one of these names (lower case)."""
        return names.isdisjoint(self._names)

    def count(self, name: bytes) -> int:
        """How many fields have this name (lower case)."""
        return self._names.count(name)


_NO_DEFECTS: Final[frozenset[Defect]] = frozenset()
_WHOLE_DEFECTS: Final = (
    (_BARE_CR, Defect.BARE_CR),
    (_BARE_LF, Defect.BARE_LF),
    (_BLANK_LINE, Defect.BLANK_LINE),
    (_OTHER_LINE_END, Defect.OTHER_LINE_END),
    (re.compile(rb"\0"), Defect.NUL),
)


def _parse_tidy(head: bytes, fields_limit: int) -> HeaderIndex | None:
    """The usual header section, read with whole-buffer operations only; None when anything about it is unusual."""
    lines = head.split(b"\r\n")
    line_ends = len(lines) - 1
    if line_ends > fields_limit or not head.endswith(b"\r\n\r\n") or head[:1] in (b" ", b"\t", b"\r"):
        return None
    # Two octets for each CR LF, and no other CR, LF or odd octet.
    if len(head) - len(head.translate(None, _ODD_OCTETS)) != 2 * line_ends:
        return None
    if not head.isascii() and _OTHER_LINE_END.search(head):
        return None
    if b"\r\n " in head or b"\r\n\t" in head:
        if _BLANK_LINE.search(head):
            return None
        lines = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t").split(b"\r\n")
    names, colons, values = zip(*[line.partition(b":") for line in lines[:-2]], strict=True)
    joined = b"\n".join(names).lower()
    if b"" in names or b"" in colons or joined.translate(None, _JOINED_NAME_OCTETS):
        return None
    return HeaderIndex(joined.split(b"\n"), values, _NO_DEFECTS)


def _parse_untidy(head: bytes, fields_limit: int) -> HeaderIndex:
    section = _without_end(head)
    defects = {defect for pattern, defect in _WHOLE_DEFECTS if pattern.search(section)}
    if section == head:
        defects.add(Defect.NO_END)
    if section[:1] in (b" ", b"\t"):
        defects.add(Defect.LEADING_BLANK)
    names: list[bytes] = []
    values: list[bytes] = []
    for match in islice(_FIELD.finditer(section), fields_limit + 1):
        raw = match[0]
        if not raw:
            break
        if len(names) == fields_limit:
            defects.add(Defect.TOO_MANY_FIELDS)
            break
        name, colon, value = raw.partition(b":")
        defects |= _defects_of(name, is_field=bool(colon))
        # A line without a colon stays in its place, without a name, so that order and count are true.
        names.append(name.strip(_BLANKS).lower() if colon else b"")
        values.append(unfolded(value if colon else raw))
    return HeaderIndex(names, values, frozenset(defects))


def _defects_of(name: bytes, *, is_field: bool) -> frozenset[Defect]:
    if not is_field:
        return frozenset({Defect.NO_COLON})
    if _NAME.fullmatch(name):
        return _NO_DEFECTS
    core = name.strip(_BLANKS)
    if not core:
        return frozenset({Defect.EMPTY_NAME})
    found = {Defect.BLANK_BEFORE_COLON} if name[-1:] in (b" ", b"\t", b"\n", b"\r") else set()
    return frozenset(found if _NAME.fullmatch(core) else found | {Defect.ODD_NAME})


def _without_end(head: bytes) -> bytes:
    """Without the empty line at the end, where there is one."""
    if head == b"\r\n":
        return b""
    return head[:-2] if head.endswith(b"\r\n\r\n") else head
