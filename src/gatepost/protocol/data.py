"""Where content begins and ends: the end-of-data rule of DATA, dots, and what is counted on the way.

Only CR LF . CR LF ends the data (RFC 5321 §4.1.1.4). Everything else that some server in the
world takes for an end is either text or a reason to hang up, because two servers that
disagree here let a client smuggle a second mail (threats A01-A09).
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from gatepost.model.content import BodyForm
from gatepost.model.reply import Reply
from gatepost.protocol import refusals

END: Final = b"\r\n.\r\n"
_END_BEGUN: Final = (END[:1], END[:2], END[:3])
"""How bytes end that may be the beginning of the end of data; END[:4] ends as END[:1] does."""
# One octet is looked for as a number: as bytes it costs ten times as much.
_NUL: Final = 0
_LF: Final = 10
_CR: Final = 13
_DOT_LINE: Final = b"\r\n."
FAR_TOO_LARGE_FACTOR: Final = 2
"""Content this many times the size limit is not read to its end."""

# A line of one dot and NULs: a server that skips NUL would see the end of data (threats A09).
_NUL_DOT_LINE: Final = re.compile(rb"\n(?:\0++\.\0*+|\.\0++)\r?\n")
_NUL_DOT_START: Final = re.compile(rb"\n\0*+\.?\0*+\Z")
_NULS: Final = re.compile(rb"\0+")


class ContentMeter:
    """Counts what passes and stops it behind a limit, without keeping any of it.

    size_limit_bytes: 0 is none. line_limit_bytes: None is none (BINARYMIME has no lines).
    """

    __slots__ = (
        "_bare",
        "_cr",
        "_has_8bit",
        "_has_nul",
        "_line",
        "_line_limit",
        "_longest",
        "_size_limit",
        "refusal",
        "size_bytes",
    )

    def __init__(self, *, size_limit_bytes: int, line_limit_bytes: int | None) -> None:
        self._size_limit = size_limit_bytes
        self._line_limit = line_limit_bytes
        self.size_bytes = 0
        self.refusal: Reply | None = None
        """Why the content cannot be accepted; None as long as it can."""
        self._has_nul = self._has_8bit = self._bare = False
        self._line = self._longest = 0
        self._cr = b""

    def take(self, data: bytes) -> bytes:
        """Count a piece, cut anywhere; returns what of it may be passed on: all, or nothing behind a limit.

        Raises BrokenFraming (552) when far more than the limit came: then we stop reading.
        """
        text = self._cr + data
        self._cr = b"\r" if text.endswith(b"\r") else b""
        text = text.removesuffix(b"\r")
        lines, bare = lines_of(text)
        if bare:
            lines = text.replace(b"\r\n", b"\n").split(b"\n")
        return self.take_lines(data, lines, bare=bare)

    def take_lines(self, data: bytes, lines: list[bytes], *, bare: bool) -> bytes:
        """As take, for a piece that does not end between CR and LF and was split into its lines already."""
        self.size_bytes += len(data)
        if self._size_limit and self.size_bytes > FAR_TOO_LARGE_FACTOR * self._size_limit:
            raise refusals.BrokenFraming(refusals.FAR_TOO_LARGE, "content of more than twice the size limit")
        self._bare = self._bare or bare
        self._has_8bit = self._has_8bit or not data.isascii()
        self._has_nul = self._has_nul or _NUL in data
        first = self._line + len(lines[0])
        self._line = len(lines[-1]) if len(lines) > 1 else first
        longest = max(map(len, lines))
        self._longest = max(self._longest, first, longest)
        if self._size_limit and self.size_bytes > self._size_limit:
            self.refusal = refusals.TOO_LARGE
        elif self._line_limit is not None and self._longest > self._line_limit:
            self.refusal = refusals.TEXT_LINE_TOO_LONG
        return b"" if self.refusal else data

    @property
    def form(self) -> BodyForm:
        """What was learned of everything that passed."""
        return BodyForm(
            size_bytes=self.size_bytes,
            has_nul=self._has_nul,
            has_8bit=self._has_8bit,
            bare_newlines=self._bare or bool(self._cr),
            longest_line_bytes=self._longest,
        )


class Framed(Struct, frozen=True, gc=False):
    """What one feeding gave: content with dots removed; and what follows the end of data, None before it."""

    content: bytes
    rest: bytes | None


class DataFramer:
    """The text of one DATA command, from the 354 to its end."""

    __slots__ = ("_held", "_meter", "_normalize", "_nul_line", "_virtual")

    def __init__(self, meter: ContentMeter, *, normalize: bool = False) -> None:
        """normalize: let a bare LF pass unchanged (threats A17); the end of data stays what it is."""
        self._meter = meter
        self._normalize = normalize
        # The data begins at the start of a line: as if CR LF had come before it.
        self._held = b"\r\n"
        self._virtual = True
        self._nul_line = b""

    def feed(self, data: bytes) -> Framed:
        """The next bytes. At most four octets are kept: what may be the beginning of the end.

        Raises BrokenFraming (521) for a bare CR or LF, also when the end of data follows it
        in the same bytes: what is behind is not to be trusted then; 552 as ContentMeter.
        """
        window = self._held + data
        dot = window.find(_DOT_LINE)
        end = window.find(END, dot) if dot >= 0 else -1
        if end >= 0:
            text, rest = window[: end + 2], window[end + len(END) :]
            return Framed(self._clear(text, text, dotted=dot < end), rest)
        cut = len(window) - _held_octets(window)
        self._held = window[cut:]
        return Framed(self._clear(window[:cut], window, dotted=0 <= dot < cut), None)

    def _clear(self, text: bytes, seen: bytes, *, dotted: bool) -> bytes:
        """Content as it goes on. text: what is certain; seen: text and what is held back behind it.

        dotted: a line of text begins with a dot. It is known already, and looking again is not cheap.
        """
        if not text:
            return b""
        lines, bare = lines_of(text)
        if bare and not (self._normalize and text.count(b"\r") == text.count(b"\r\n")):
            raise refusals.BrokenFraming(refusals.BARE_NEWLINE, "bare CR or LF in the content")
        # Without normalizing, every line start is seen together with what follows it: CR LF is held back.
        if self._normalize or self._nul_line or _NUL in text:
            self._refuse_nul_dot(text, seen)
        if dotted:
            text = text.replace(_DOT_LINE, b"\r\n")
            lines, _ = lines_of(text)
        if self._virtual:
            self._virtual = False
            text, lines = text[2:], lines[1:]
        return self._meter.take_lines(text, lines, bare=bare)

    def _refuse_nul_dot(self, text: bytes, seen: bytes) -> None:
        if _NUL_DOT_LINE.search(self._nul_line + seen):
            raise refusals.BrokenFraming(refusals.LONELY_DOT_WITH_NUL, "a line of a dot and NUL")
        begun = _NUL_DOT_START.search(self._nul_line + text)
        # Runs of NUL are kept as one: the memory is bounded and the meaning the same.
        self._nul_line = _NULS.sub(b"\0", begun[0]) if begun else b""


def lines_of(text: bytes) -> tuple[list[bytes], bool]:
    """Its lines, and whether a CR or LF stands alone: CR LF is the only line end (RFC 5321 §2.3.8).

    Then each of the two ended a line, too; and the ends of so many lines are not two octets each.
    """
    lines = text.splitlines()  # takes half the time of split(b"\r\n")
    if not text or text[-1] in (_CR, _LF):
        lines.append(b"")
    return lines, len(text) - len(b"".join(lines)) != 2 * (len(lines) - 1)


def _held_octets(window: bytes) -> int:
    """How many octets at the end may be the beginning of the end of data."""
    if not window.endswith(_END_BEGUN):
        return 0
    return next(n for n in (4, 3, 2, 1) if window.endswith(END[:n]))
