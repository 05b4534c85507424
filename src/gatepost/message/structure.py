"""The structure of a mail as values: its parts as places in the octets as they came, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from gatepost.message.charsets import LABEL_LIMIT_BYTES
from gatepost.message.encodings import IDENTITY, Encoding
from gatepost.message.file_names import NAME_LIMIT_CHARS
from gatepost.message.parameters import EMPTY, PARAMETERS_LIMIT, Valued
from gatepost.message.structure_defects import StructureDefect


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureLimits:
    """How far a mail is read: past a limit the walk stops there, and says so."""

    depth: int = 50
    """Containers within each other; a deeper one is not opened."""
    parts: int = 1000
    """All of them together, multiparts included; what follows is not read."""
    part_header_bytes: int = 64 << 10
    """Of one part's fields; what follows is not read as fields. The mail's own have their limit at the door."""
    parameters: int = PARAMETERS_LIMIT
    """Of one field."""
    boundary_bytes: int = 256
    """A multipart with a longer one is not opened; RFC 2046 allows 70."""
    delimiter_lines: int = 10_000
    """Lines of the mail that begin like a delimiter and are none; behind them nothing is looked for."""
    name_chars: int = NAME_LIMIT_CHARS
    """Of a file name as it is shown."""
    leaf_bytes: int = 64 << 20
    """Decoded, of one part."""
    expansion: int = 2
    """Of what is decoded of mails that are attached encoded, and of those within them: so many times the mail."""


LIMITS: Final = StructureLimits()


class Kind(Enum):
    """What a part is to the walk."""

    MULTIPART = "multipart"
    MESSAGE = "message"
    """A whole mail, which is walked into."""
    FIELDS = "fields"
    """Header fields only: delivery reports, feedback reports, headers of a mail."""
    TEXT = "text"
    OTHER = "other"


class Noticed(NamedTuple):
    """A defect, and where: an offset in the mail."""

    defect: StructureDefect
    at: int


class Passed(NamedTuple):
    """A limit that was passed: its name as in StructureLimits, and the offset from which the rest was not read."""

    limit: str
    at: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part. Its fields are mail[start:body_at], its body is mail[body_at:end]."""

    path: str
    """As IMAP counts: "1.2.3"; the multipart that is the body of a mail is "TEXT", in an attached mail "2.TEXT"."""
    parent: int
    """Number of the part around it; -1 for the mail itself."""
    depth: int
    start: int
    body_at: int
    end: int
    kind: Kind
    media_type: str
    """In lower case: "text/plain" where nothing is said."""
    content_type: Valued = EMPTY
    encoding: Encoding = Encoding.SEVEN_BIT
    disposition: Valued = EMPTY
    defects: tuple[Noticed, ...] = ()
    is_opened: bool = False
    """Its parts follow it."""
    preamble_end: int = -1
    """Of a multipart that is opened: where the text before its first delimiter ends."""
    epilogue_at: int = -1
    """Where the text after its last delimiter begins; the end when there is none."""
    pieces: tuple[tuple[int, int], ...] = ()
    """Of a multipart that is opened: where its parts begin, and where the lines of the delimiters behind them do."""

    @property
    def charset(self) -> str:
        """As it is said, in lower case; "" when it is not."""
        return self.content_type.first("charset")[:LABEL_LIMIT_BYTES].strip().lower()

    @property
    def names(self) -> tuple[str, ...]:
        """Every reading of a file name, that of Content-Disposition first: any may be what some reader shows."""
        if not self.disposition.texts and not self.content_type.texts:
            return ()
        return tuple(
            dict.fromkeys(
                (*self.disposition.texts.get("filename", ()), *self.content_type.texts.get("name", ()),
                 *self.disposition.texts.get("name", ()), *self.content_type.texts.get("filename", ()))
            )
        )  # fmt: skip

    @property
    def is_encoded(self) -> bool:
        """Something has to be taken off before it can be read."""
        return self.encoding not in IDENTITY

    def has(self, defect: StructureDefect) -> bool:
        """Whether this is wrong with it."""
        return any(noticed.defect is defect for noticed in self.defects)


class Region(Enum):
    """What an octet of a mail belongs to."""

    HEADER = "header"
    BODY = "body"
    PREAMBLE = "preamble"
    DELIMITER = "delimiter"
    EPILOGUE = "epilogue"
    UNREAD = "unread"
    """Beyond a limit."""


class Span(NamedTuple):
    """mail[start:end] belongs to this region of part number `part`."""

    region: Region
    start: int
    end: int
    part: int


class Structure(msgspec.Struct, frozen=True, kw_only=True):
    """All parts of a mail in their order, each container before what it holds."""

    parts: tuple[Part, ...]
    passed: tuple[Passed, ...] = ()
    size_bytes: int = 0

    @property
    def leaves(self) -> Iterator[tuple[int, Part]]:
        """Parts that hold contents, with their numbers."""
        return ((n, part) for n, part in enumerate(self.parts) if not part.is_opened)

    @property
    def defects(self) -> frozenset[StructureDefect]:
        """Of all parts together: not empty means that two readers may see two mails (invariant I7)."""
        return frozenset(noticed.defect for part in self.parts for noticed in part.defects)

    def children(self, number: int) -> Iterator[tuple[int, Part]]:
        """What stands in a container, with the numbers."""
        return ((n, part) for n, part in enumerate(self.parts) if part.parent == number)

    def spans(self) -> Iterator[Span]:
        """Every octet of the mail once, in order: what it belongs to."""
        by_start = {(part.parent, part.start): n for n, part in enumerate(self.parts)}
        # What is still to come, the nearest last: a part, or a span of which nothing is in doubt.
        todo: list[int | Span] = [0]
        while todo:
            one = todo.pop()
            if isinstance(one, Span):
                if one.end > one.start:
                    yield one
                continue
            todo += reversed([*self._own(one, by_start)])

    def _own(self, number: int, by_start: dict[tuple[int, int], int]) -> Iterator[int | Span]:
        part = self.parts[number]
        yield Span(Region.HEADER, part.start, part.body_at, number)
        if not part.is_opened:
            yield Span(Region.BODY, part.body_at, part.end, number)
        elif part.kind is Kind.MESSAGE:
            is_read = number + 1 < len(self.parts) and self.parts[number + 1].parent == number
            yield number + 1 if is_read else Span(Region.UNREAD, part.body_at, part.end, number)
        else:
            yield Span(Region.PREAMBLE, part.body_at, part.preamble_end, number)
            at = part.preamble_end
            for start, end in part.pieces:
                yield Span(Region.DELIMITER, at, start, number)
                inner = by_start.get((number, start))
                yield inner if inner is not None else Span(Region.UNREAD, start, end, number)
                at = end if inner is None else self.parts[inner].end
            yield Span(Region.DELIMITER, at, part.epilogue_at, number)
            yield Span(Region.EPILOGUE, part.epilogue_at, part.end, number)
