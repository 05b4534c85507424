"""xtext, the encoding of DSN and AUTH parameters (RFC 3461 §4): what a client sent, as plain text."""

from __future__ import annotations

import re
from typing import Final

_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+")
_XTEXT_UTF8: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2}|[^\x00-\xa0\u2028\u2029])*+")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
_UNPRINTABLE: Final = re.compile(r"[^ -~]")


def decode_xtext(text: str, *, utf8: bool = False) -> str:
    """The text that was encoded; with utf8, characters beyond ASCII stand for themselves (RFC 6533 §3).

    Raises ValueError for anything that is not xtext, and for control or 8-bit octets
    that hide in +HH: they could break a line of a notice (threats B21).
    """
    form = _XTEXT_UTF8 if utf8 else _XTEXT
    if not form.fullmatch(text):
        raise ValueError("not xtext")
    octets = [chr(int(code, 16)) for code in _HEXCHAR.findall(text)]
    if any(_UNPRINTABLE.match(octet) for octet in octets):
        raise ValueError("xtext hides an octet that is not printable")
    return _HEXCHAR.sub(lambda m: chr(int(m[1], 16)), text)
