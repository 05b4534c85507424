"""Writing header fields of our own: one place that folds, and that refuses what could become a second field."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
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
    plain = text.isprintable() and "  " not in text and text[-1] != " "
    return _folded_plain(text) if plain else _folded_word_by_word(text)


def _folded_plain(text: str) -> str:
    """Text whose words have one blank between them: from line to line instead of from word to word."""
    lines: list[str] = []
    begin, least = 0, text.find(" ") + 1  # the first blank is behind "Name:"
    while len(text) - begin > _LINE_AIM_CHARS:
        at = text.rfind(" ", least, begin + _LINE_AIM_CHARS + 1)
        if at < 0:
            at = text.find(" ", max(least, begin + _LINE_AIM_CHARS + 1))
            if at < 0:
                break
        lines.append(text[begin:at])
        begin, least = at, at + 1
    return "\r\n".join((*lines, text[begin:]))


def _folded_word_by_word(text: str) -> str:
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
    return _date_of_second(int(at))


@lru_cache(maxsize=64)  # hundreds of mails come in one second
def _date_of_second(at: int) -> str:
    d = datetime.fromtimestamp(at, UTC)
    return (
        f"{_DAYS[d.weekday()]}, {d.day:02} {_MONTHS[d.month - 1]} {d.year:04} "
        f"{d.hour:02}:{d.minute:02}:{d.second:02} +0000"
    )
