"""What signatures are made over, and what SPF's macros stand for, said once more as plainly as can be."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote


def canonical_field(raw: bytes) -> bytes:
    """RFC 6376 §3.4.2, relaxed."""
    name, _, value = raw.partition(b":")
    unfolded = value.replace(b"\r\n", b"")
    words = re.sub(rb"[ \t]+", b" ", unfolded).strip(b" ")
    return name.strip(b" \t\r\n").lower() + b":" + words + b"\r\n"


def canonical_body(body: bytes, *, relaxed: bool) -> bytes:
    """RFC 6376 §3.4.3 and §3.4.4."""
    lines = body.split(b"\r\n")
    if relaxed:
        lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines and relaxed:
        return b""
    return b"\r\n".join(lines) + b"\r\n"


def expanded(text: str, value_of: Callable[[str], str]) -> str:
    """RFC 7208 §7.3, for a macro string that is well-formed."""
    out, at = [], 0
    while at < len(text):
        if text[at] != "%":
            out.append(text[at])
            at += 1
        elif text[at + 1] != "{":
            out.append({"%": "%", "_": " ", "-": "%20"}[text[at + 1]])
            at += 2
        else:
            end = text.index("}", at)
            out.append(_macro(text[at + 2 : end], value_of))
            at = end + 1
    return "".join(out)


def _macro(said: str, value_of: Callable[[str], str]) -> str:
    letter, rest = said[0], said[1:]
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    rest = rest[len(digits) :]
    backwards, marks = rest[:1] in ("r", "R"), rest.lstrip("rR") or "."
    parts = [""]
    for character in value_of(letter.lower()):
        if character in marks:
            parts.append("")
        else:
            parts[-1] += character
    if backwards:
        parts = parts[::-1]
    if digits:
        parts = parts[-int(digits) :]
    value = ".".join(parts)
    return quote(value, safe="-._~") if letter.isupper() else value
