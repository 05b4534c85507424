"""A header value as text for people: unfolded, encoded words decoded once, nothing in it that moves a cursor."""

from __future__ import annotations

import binascii
import re
from typing import Final

from gatepost.message.charsets import decoded_word
from gatepost.message.headers import unfolded

_OCTETS_A_CHARACTER: Final = 8  # a character of an encoded word takes a few octets; more is not looked at
_ENCODED_WORD: Final = re.compile(
    rb"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z0-9-]{0,20})?\?([bBqQ])\?([^?\s]{0,2000})\?="
)
_BETWEEN_WORDS: Final = re.compile(rb"(\?=)[ \t]+(?==\?)")
_HEX: Final = re.compile(rb"=([0-9A-Fa-f]{2})")
REPLACEMENT: Final = "\ufffd"

# U+202D and U+202E as octets, in quoted-printable, in base64 wherever they begin in a group of three; and the only
# other charset we read that has them.
_MAY_TURN: Final = re.compile(rb"\xe2\x80[\xad\xae]|=[eE]2=80=[aA][dDeE]|4oC[tu]|KAr|igK|=\?[gG][bB]18030")
_TURNING: Final = frozenset("\u202d\u202e")
VALUE_LIMIT_BYTES: Final = 8192


def turns_writing(value: bytes) -> bool:
    """Whether a field's value turns the direction of writing by force (LRO, RLO), so that "gnp.exe" reads "exe.png"."""
    if _MAY_TURN.search(value) is None:
        return False
    line = unfolded(value[:VALUE_LIMIT_BYTES])
    text = decoded_words(line) if b"=?" in line else _raw_text(line)
    return not _TURNING.isdisjoint(text)


def text_of(value: bytes, limit_chars: int) -> str:
    """A field's value (folded or not) as one line of printable text of at most limit_chars characters.

    RFC 2047 words are decoded once; raw 8-bit is UTF-8, else Latin-1; control,
    bidirectional and line-separating characters become U+FFFD or a blank. Raises nothing.
    """
    line = unfolded(value[: limit_chars * _OCTETS_A_CHARACTER])
    text = decoded_words(line) if b"=?" in line else _raw_text(line)
    return printable(text, limit_chars)


def printable(text: str, limit_chars: int) -> str:
    """Text without characters that a terminal, a log or a page could take for more than text; cut."""
    cut = text[:limit_chars]
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else " " if c in "\t\r\n" else REPLACEMENT for c in cut)


def decoded_words(line: bytes) -> str:
    """One line with its RFC 2047 words decoded once: any characters may come out, see printable()."""
    joined = _BETWEEN_WORDS.sub(rb"\1", line)
    out: list[str] = []
    end = 0
    for match in _ENCODED_WORD.finditer(joined):
        out.append(_raw_text(joined[end : match.start()]))
        out.append(_decoded_word(match[1], match[2], match[3]))
        end = match.end()
    out.append(_raw_text(joined[end:]))
    return "".join(out)


def _decoded_word(charset: bytes, encoding: bytes, encoded: bytes) -> str:
    if encoding in b"bB":
        try:
            octets = binascii.a2b_base64(encoded + b"=" * (-len(encoded) % 4))
        except binascii.Error:
            return REPLACEMENT
    else:
        octets = _HEX.sub(lambda m: bytes((int(m[1], 16),)), encoded.replace(b"_", b" "))
    return decoded_word(octets, charset.decode("ascii").lower())


def _raw_text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
