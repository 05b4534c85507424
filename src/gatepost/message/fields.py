"""Writing header fields of our own: one place that folds, and that refuses what could become a second field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_LINE_AIM_CHARS: Final = 78  # RFC 5322 §2.1.1
LINE_LIMIT_BYTES: Final = 998
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def field(name: str, value: str) -> bytes:
    """ "Name: value" CR LF, folded at blanks.

    Raises ValueError for CR, LF or NUL, and when no blank allows a line within 998 octets:
    who calls cleans and bounds the value first.
    """
    text = f"{name}: {value}"
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError(f"{name}: a field is one line")
    if len(text) > _LINE_AIM_CHARS:
        text = _folded(text)
    octets = text.encode("utf-8", "replace")
    if len(octets) > LINE_LIMIT_BYTES and any(len(line) > LINE_LIMIT_BYTES for line in octets.split(b"\r\n")):
        raise ValueError(f"{name}: a line is at most {LINE_LIMIT_BYTES} octets")
    return octets + b"\r\n"


def _folded(text: str) -> str:
    """Break before a blank, so that unfolding gives the text back."""
    lines: list[str] = []
    line = ""
    for number, word in enumerate(text.split(" ")):
        if number == 0:
            line = word
        # The first word is "Name:": nothing is broken off right behind it. No line of blanks ever comes out.
        elif number > 1 and word and line.strip() and len(line) + 1 + len(word) > _LINE_AIM_CHARS:
            lines.append(line)
            line = f" {word}"
        else:
            line = f"{line} {word}"
    return "\r\n".join((*lines, line))


def date_text(at: float) -> str:
    """Seconds since the epoch -> "Sun, 22 Nov 2026 13:05:00 +0000" (RFC 5322 §3.3)."""
    d = datetime.fromtimestamp(int(at), UTC)
    return (
        f"{_DAYS[d.weekday()]}, {d.day:02} {_MONTHS[d.month - 1]} {d.year:04} "
        f"{d.hour:02}:{d.minute:02}:{d.second:02} +0000"
    )
