"""Where the delimiters of one multipart stand (RFC 2046 §5.1.1): whole lines, and what other readers take for them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gatepost.message.structure_defects import StructureDefect

_LINE_LIMIT_BYTES: Final = 1000
"""Of a delimiter's line, its blanks included."""
_CR: Final = 0x0D
_LF: Final = 0x0A
_BLANKS: Final = b" \t\r"
_LIKE_PART: Final = re.compile(
    rb"\n[ \t]*+content-(?:type|disposition|transfer-encoding)[ \t]*+:", re.IGNORECASE
)
_ANYTHING: Final = re.compile(rb"\S")
_IN_ORDER: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]+(?: +[0-9A-Za-z'()+_,./:=?-]+)*")
RFC_LIMIT_BYTES: Final = 70

Seen = dict[StructureDefect, int]
"""What was seen, and where first."""


class Pieces(NamedTuple):
    """What the delimiters make of a multipart's body.

    pieces: where each part begins, and where the line of the next delimiter does.
    lines_left: of lines that look like delimiters and are none; below 0: there were too many.
    """

    preamble_end: int
    pieces: tuple[tuple[int, int], ...]
    epilogue_at: int
    lines_left: int
    stopped_at: int = -1
    """Behind too many lines like delimiters nothing is looked for; -1: there were not too many."""


def is_in_order(boundary: bytes) -> bool:
    """Whether it keeps to the characters of RFC 2046."""
    return _IN_ORDER.fullmatch(boundary) is not None


def before_newline(mail: bytes, at_least: int, at: int) -> int:
    """Without the line end before `at`, which belongs to the delimiter there."""
    if at - 2 >= at_least and mail.startswith(b"\r\n", at - 2, at):
        return at - 2
    return at - 1 if at - 1 >= at_least and mail.startswith(b"\n", at - 1, at) else at


def cut(
    mail: bytes, start: int, end: int, boundary: bytes, seen: Seen, *, parts_limit: int, lines_left: int
) -> Pieces:
    """Cut a multipart's body at its delimiters. Time: one search of the body, and parts_limit + lines_left steps.

    seen: gets what is wrong. Behind parts_limit parts the rest is one piece more, which nobody reads.
    """
    delimiter = b"--" + boundary
    pieces: list[tuple[int, int]] = []
    preamble_end, began, at, stopped_at = -1, -1, start, -1
    while (at := mail.find(delimiter, at, end)) >= 0:
        line_end, closes = _is_delimiter(mail, at, at + len(delimiter), start, end, seen)
        if line_end < 0:
            lines_left -= 1
            if lines_left < 0:
                stopped_at = at
                break
            at += len(delimiter)
            continue
        if began < 0:
            preamble_end = before_newline(mail, start, at)
        else:
            pieces.append((began, at))
        if closes:
            if not pieces:
                seen.setdefault(StructureDefect.EMPTY_MULTIPART, at)
            _look_around(mail, start, preamble_end, line_end, end, delimiter, seen)
            return Pieces(preamble_end, tuple(pieces), line_end, lines_left)
        began = at = line_end
        if len(pieces) >= parts_limit:
            return Pieces(preamble_end, (*pieces, (began, end)), end, lines_left)
    if began < 0:
        seen.setdefault(StructureDefect.NO_DELIMITER, start)
        preamble_end = end
    else:
        seen.setdefault(StructureDefect.NOT_CLOSED, end)
        pieces.append((began, end))
    _look_around(mail, start, preamble_end, end, end, delimiter, seen)
    return Pieces(preamble_end, tuple(pieces), end, lines_left, stopped_at)


def _is_delimiter(mail: bytes, at: int, behind: int, start: int, end: int, seen: Seen) -> tuple[int, bool]:
    """Where its line ends, -1 when it is none; and whether it closes."""
    if at != start and mail[at - 1] != _LF:
        if mail[at - 1] == _CR:  # a line end for some
            seen.setdefault(StructureDefect.LIKE_DELIMITER, at)
        return -1, False
    newline = mail.find(b"\n", behind, min(end, behind + _LINE_LIMIT_BYTES))
    line_end = newline + 1 if newline >= 0 else min(end, behind + _LINE_LIMIT_BYTES)
    rest = mail[behind:line_end].rstrip(b"\n").strip(_BLANKS)
    if rest not in (b"", b"--") or (newline < 0 and line_end < end):
        seen.setdefault(StructureDefect.LIKE_DELIMITER, at)
        return -1, False
    ends_bare = newline >= 0 and mail[newline - 1] != _CR
    if ends_bare or (at > start and mail[at - 2 : at - 1] != b"\r"):
        seen.setdefault(StructureDefect.BARE_DELIMITER, at)
    return line_end, rest == b"--"


def _look_around(
    mail: bytes, start: int, preamble_end: int, epilogue_at: int, end: int, delimiter: bytes, seen: Seen
) -> None:
    """Before the first delimiter, and behind the last."""
    if preamble_end > start and _LIKE_PART.search(mail, max(0, start - 1), preamble_end):
        seen.setdefault(StructureDefect.PART_IN_PREAMBLE, start)
    if epilogue_at < end and _ANYTHING.search(mail, epilogue_at, end):
        seen.setdefault(StructureDefect.TEXT_AFTER_END, epilogue_at)
        again = (
            mail.startswith(delimiter, epilogue_at, end)
            or mail.find(b"\n" + delimiter, epilogue_at, end) >= 0
        )
        if again or _LIKE_PART.search(mail, epilogue_at - 1, end):
            seen.setdefault(StructureDefect.PART_AFTER_END, epilogue_at)
