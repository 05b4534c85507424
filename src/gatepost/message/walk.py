"""The walk: a mail's parts found in its octets as they came, nothing copied, whatever a stranger made of it."""

from __future__ import annotations

from typing import Final

from gatepost.message.delimiters import RFC_LIMIT_BYTES, Pieces, Seen, before_newline, cut, is_in_order
from gatepost.message.encodings import Encoding
from gatepost.message.parameters import Valued
from gatepost.message.part_fields import Head, read_head
from gatepost.message.structure import LIMITS, Kind, Noticed, Part, Passed, Structure, StructureLimits
from gatepost.message.structure_defects import StructureDefect

_TWO_READINGS: Final = frozenset(
    (StructureDefect.TWO_CONTENT_TYPES, StructureDefect.TWO_ENCODINGS, StructureDefect.TWO_DISPOSITIONS,
     StructureDefect.TWO_PARAMETERS, StructureDefect.SECTION_TWICE)
)  # fmt: skip


def walk(mail: bytes, limits: StructureLimits = LIMITS, *, last_wins: bool = False) -> Structure:
    """The structure of a mail. Takes any bytes, raises nothing.

    last_wins: the reading of those who take the last of two fields or parameters where we take the first.
    Time: the mail's octets once for each container around them, which limits.depth bounds.
    """
    return _Walk(mail, limits, last_wins).structure()


def readings(mail: bytes, limits: StructureLimits = LIMITS) -> tuple[Structure, ...]:
    """What readers may take a mail for, ours first: the other only where something stands twice (threats H10, H11)."""
    ours = walk(mail, limits)
    if _TWO_READINGS.isdisjoint(ours.defects):
        return (ours,)
    return ours, walk(mail, limits, last_wins=True)


class _Place:
    """A part that is still to be read. boundaries: of the multiparts around it."""

    __slots__ = ("boundaries", "depth", "end", "in_digest", "is_mail", "line_at", "parent", "path", "start")

    def __init__(
        self, start: int, line_at: int, parent: int, depth: int, path: str, boundaries: tuple[bytes, ...],
        *, is_mail: bool, in_digest: bool = False,
    ) -> None:  # fmt: skip
        self.start = start
        self.line_at = line_at
        self.parent = parent
        self.depth = depth
        self.path = path
        self.boundaries = boundaries
        self.is_mail = is_mail
        self.in_digest = in_digest


class _Walk:
    def __init__(self, mail: bytes, limits: StructureLimits, last_wins: bool) -> None:
        self._mail = mail
        self._limits = limits
        self._last_wins = last_wins
        self._parts: list[Part] = []
        self._passed: list[Passed] = []
        self._lines_left = limits.delimiter_lines
        self._todo = [_Place(0, len(mail), -1, 0, "", (), is_mail=True)]

    def structure(self) -> Structure:
        while self._todo:
            place = self._todo.pop()
            if len(self._parts) >= self._limits.parts:
                self._passed.append(Passed("parts", place.start))
                break
            self._parts.append(self._part(place))
        return Structure(parts=tuple(self._parts), passed=tuple(self._passed), size_bytes=len(self._mail))

    def _part(self, place: _Place) -> Part:
        head = read_head(
            self._mail, place.start, place.line_at, self._limits,
            is_mail=place.is_mail, in_digest=place.in_digest, last_wins=self._last_wins,
        )  # fmt: skip
        self._passed += [Passed(name, place.start) for name in head.passed]
        end = place.line_at
        if not place.is_mail and end < self._parts[place.parent].end:  # a delimiter stands behind it
            end = before_newline(self._mail, head.body_at, end)
        pieces = None
        is_opened = False
        if head.kind is Kind.MULTIPART:
            pieces = self._opened_multipart(place, head, end)
            is_opened = pieces is not None
        elif head.kind is Kind.MESSAGE:
            is_opened = self._opened_message(place, head, end)
        return Part(
            path=_path(place, head.kind),
            parent=place.parent,
            depth=place.depth,
            start=place.start,
            body_at=head.body_at,
            end=end,
            kind=head.kind,
            media_type=head.content_type.main,
            content_type=head.content_type,
            encoding=head.encoding,
            disposition=head.disposition,
            defects=tuple([Noticed(defect, at) for defect, at in head.seen.items()]) if head.seen else (),
            is_opened=is_opened,
            preamble_end=pieces.preamble_end if pieces is not None else -1,
            epilogue_at=pieces.epilogue_at if pieces is not None else -1,
            pieces=pieces.pieces if pieces is not None else (),
        )

    def _opened_multipart(self, place: _Place, head: Head, end: int) -> Pieces | None:
        """Its parts are put on the list; None when it is not opened, and is a leaf."""
        start = head.body_at
        if place.depth >= self._limits.depth:
            self._passed.append(Passed("depth", start))
            return None
        boundaries = self._boundaries(head.content_type, place.start, head.seen)
        if not boundaries:
            return None
        pieces, boundary, seen = self._cut_at_first(boundaries, start, end)
        for defect, at in seen.items():
            head.seen.setdefault(defect, at)
        if pieces.stopped_at >= 0:
            self._passed.append(Passed("delimiter_lines", pieces.stopped_at))
        _compare(boundary, place.boundaries, place.start, head.seen)
        if not pieces.pieces:
            return None
        number, around = len(self._parts), (*place.boundaries, boundary)
        in_digest = head.content_type.main == "multipart/digest"
        prefix = f"{place.path}." if place.path else ""
        self._todo += [
            _Place(
                begin, line_at, number, place.depth + 1, f"{prefix}{count}", around,
                is_mail=False, in_digest=in_digest,
            )
            for count, (begin, line_at) in reversed([*enumerate(pieces.pieces, 1)])
        ]  # fmt: skip
        return pieces

    def _cut_at_first(self, boundaries: list[bytes], start: int, end: int) -> tuple[Pieces, bytes, Seen]:
        """By the first boundary that stands there; by the first one when none does."""
        found: tuple[Pieces, bytes, Seen] | None = None
        for boundary in boundaries:
            seen: Seen = {}
            pieces = cut(
                self._mail, start, end, boundary, seen,
                parts_limit=self._limits.parts - len(self._parts), lines_left=self._lines_left,
            )  # fmt: skip
            self._lines_left = max(0, pieces.lines_left)
            if StructureDefect.NO_DELIMITER not in seen:
                return pieces, boundary, seen
            found = found or (pieces, boundary, seen)
        if found is None:
            raise ValueError("a multipart without boundaries is not cut")
        return found

    def _boundaries(self, content_type: Valued, at: int, seen: Seen) -> list[bytes]:
        """What may be the boundary, the most likely first; none when there is none within the limits."""
        said = content_type.all_written(b"boundary")
        if self._last_wins:
            said.reverse()
        by_sections = (
            []
            if said
            else [text.encode("utf-8", "replace") for text in content_type.texts.get("boundary", ())]
        )
        if by_sections:
            seen[StructureDefect.ODD_BOUNDARY] = at
        may_be: dict[bytes, None] = {}
        for one in (*said, *by_sections):
            may_be.setdefault(one.rstrip(_BLANKS))
            if StructureDefect.BAD_PARAMETER in content_type.defects:
                # Without quotes it ends at a blank, with one quote that is missing at a semicolon: for some.
                may_be.setdefault(one.partition(b";")[0].rstrip(_BLANKS))
                may_be.setdefault((one.split(None, 1) or [b""])[0].rstrip(b";"))
            if one and not is_in_order(one):
                seen[StructureDefect.ODD_BOUNDARY] = at
        found = [one for one in may_be if one and len(one) <= self._limits.boundary_bytes][:_BOUNDARIES_LIMIT]
        if any(len(one) > self._limits.boundary_bytes for one in may_be):
            self._passed.append(Passed("boundary_bytes", at))
        if any(len(one) > RFC_LIMIT_BYTES for one in may_be):
            seen[StructureDefect.LONG_BOUNDARY] = at
        if not any(may_be):
            seen[StructureDefect.NO_BOUNDARY] = at
        return found

    def _opened_message(self, place: _Place, head: Head, end: int) -> bool:
        if head.encoding in (Encoding.BASE64, Encoding.QUOTED_PRINTABLE):
            return False  # it has to be decoded first
        if place.depth >= self._limits.depth:
            self._passed.append(Passed("depth", head.body_at))
            return False
        path = _path(place, head.kind)
        inner = _Place(
            head.body_at, end, len(self._parts), place.depth + 1, path, place.boundaries, is_mail=True
        )
        self._todo.append(inner)
        return True


_BLANKS: Final = b" \t\r\n"
_BOUNDARIES_LIMIT: Final = 6
"""Readings of one boundary that are tried."""


def _path(place: _Place, kind: Kind) -> str:
    if not place.is_mail:
        return place.path
    own = "TEXT" if kind is Kind.MULTIPART else "1"
    return f"{place.path}.{own}" if place.path else own


def _compare(boundary: bytes, around: tuple[bytes, ...], at: int, seen: Seen) -> None:
    """With the boundaries of the multiparts around it, of which readers may take one for the other."""
    for outer in around:
        if outer == boundary:
            seen[StructureDefect.SAME_BOUNDARY] = at
        elif outer.startswith(boundary) or boundary.startswith(outer):
            seen[StructureDefect.BOUNDARY_PREFIX] = at
