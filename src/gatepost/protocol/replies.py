"""What a next hop says to us: bytes to replies, strictly and within limits (RFC 5321 §4.2)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gatepost.model.fault import WorldFault

LINES_LIMIT: Final = 100
LINE_LIMIT_BYTES: Final = 2048
REPLY_LIMIT_BYTES: Final = 64 * 1024
SAFE_TEXT_LIMIT_BYTES: Final = 500
_SHOWN_BYTES: Final = 60
"""Of a line that is no reply: enough to know a web server or SSH."""

# A yes is one of RFC 5321 §4.2.1. Of a no the first digit counts, whatever follows it: 571 and 591 are in use, and
# to take them for nonsense would keep refused mail for days.
_REPLY_LINE: Final = re.compile(rb"([23][0-5][0-9]|[45][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?= |$)")
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


class PeerReply(msgspec.Struct, frozen=True, gc=False):
    """One complete reply of the other side. Its text is a stranger's: use `text`, never `lines`, outside.

    lines: what stood behind code and mark, as it came.  bare: the code stood alone, without a text.
    """

    code: int
    lines: tuple[bytes, ...]
    bare: bool = False

    @property
    def is_positive(self) -> bool:
        """2xx: done."""
        return 200 <= self.code < 300

    @property
    def is_temporary(self) -> bool:
        """4xx."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx."""
        return self.code >= 500

    @property
    def text(self) -> str:
        """Code and words as one harmless line, for records, the queue and notices."""
        lines = self.lines
        if len(lines) > 1 and not _enhanced_in(lines[0], self.code) and (enhanced := self.enhanced):
            lines = (f"{enhanced} ".encode() + lines[0], *lines[1:])
        return safe_reply_text(self.code, lines)

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), when it agrees with the code; else "".

        It belongs into every line (RFC 2034 §4); Cyrus IMAP has it in the last one only.
        """
        return next((found for line in self.lines if (found := _enhanced_in(line, self.code))), "")


def _enhanced_in(line: bytes, code: int) -> str:
    match = _ENHANCED.match(line.decode("ascii", "replace"))
    return match[0] if match and match[0][0] == str(code)[0] else ""


def safe_reply_text(code: int, lines: tuple[bytes, ...]) -> str:
    """A stranger's reply as one line of printable ASCII, at most 500 octets (threats N02, L10).

    Whatever is not printable ASCII becomes "?": such a text is written into logs, database,
    notices and terminals.
    """
    raw = b" ".join(lines)[:SAFE_TEXT_LIMIT_BYTES]
    return safe_text(f"{code} {raw.decode('ascii', 'replace')}")


def safe_text(text: str) -> str:
    """Any text as one line of printable ASCII, at most 500 octets, without blanks around it."""
    if not (text.isascii() and text.isprintable()):
        text = _UNPRINTABLE.sub("?", text)
    return text[:SAFE_TEXT_LIMIT_BYTES].strip()


class ReplyReader:
    """Cuts the bytes of a next hop into replies.

    Only CR LF ends a line. A malformed code, codes that differ within one reply, too many or
    too long lines raise WorldFault: what such a peer means is unknown, and unknown is "not yet".
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._code = b""
        self._size_bytes = 0

    @property
    def is_empty(self) -> bool:
        """Nothing was received that is not part of a reply already taken."""
        return not self._buffer and not self._lines

    @property
    def has_half_a_line(self) -> bool:
        """Something came whose end did not: CR LF, which a bare LF is not."""
        return bool(self._buffer) and b"\r\n" not in self._buffer

    def receive(self, data: bytes) -> None:
        """More bytes; at most 64 KiB beyond one reply are held. Raises WorldFault."""
        self._buffer += data
        if len(self._buffer) > 2 * REPLY_LIMIT_BYTES:
            raise broken("it sends more than anybody asked for")

    def next_reply(self) -> PeerReply | None:
        """The next complete reply; None: more bytes are needed. Raises WorldFault."""
        while self._buffer and (line := self._next_line()) is not None:
            match = _REPLY_LINE.fullmatch(line)
            if match is None:
                raise broken(f"malformed reply: {safe_text(line[:_SHOWN_BYTES].decode('ascii', 'replace'))}")
            code, mark, text = match.groups()
            if self._lines and code != self._code:
                raise broken("codes differ within one reply")
            if mark == b"-":
                self._keep(code, text)
                continue
            lines = (*self._lines, text or b"")
            self._lines, self._code, self._size_bytes = [], b"", 0
            return PeerReply(int(code), lines, bare=mark is None)
        return None

    def _keep(self, code: bytes, text: bytes) -> None:
        self._code = code
        self._lines.append(text)
        self._size_bytes += len(text)
        if len(self._lines) >= LINES_LIMIT or self._size_bytes > REPLY_LIMIT_BYTES:
            raise broken("reply of too many lines")

    def _next_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, LINE_LIMIT_BYTES)
        if end < 0:
            if len(self._buffer) >= LINE_LIMIT_BYTES:
                raise broken("reply line too long")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def broken(what: str) -> WorldFault:
    """The fault of a next hop that does not speak SMTP as it must; what: the rule, and its bytes only as safe text."""
    return WorldFault(f"the next hop broke the protocol: {what}")
