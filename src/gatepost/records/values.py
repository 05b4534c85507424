"""How a peer's text stands in a record: one line, visible, at most a kilobyte (threats S01-S03)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

VALUE_LIMIT_CHARS: Final = 1000


def shown(text: str) -> str:
    """Text with everything that is not printable written as an escape, cut with its length noted.

    A backslash stays one: the escapes are for reading, the record's form (JSON, CSV) keeps values apart.
    """
    if len(text) <= VALUE_LIMIT_CHARS and text.isprintable():
        return text
    if len(text) > VALUE_LIMIT_CHARS:
        text = f"{text[:VALUE_LIMIT_CHARS]}... ({len(text)} characters)"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def all_shown(texts: Sequence[str]) -> Sequence[str]:
    """Each as `shown` shows it. Nearly always all are plain, and one look at them together tells."""
    together = "".join(texts)
    if len(together) <= VALUE_LIMIT_CHARS and together.isprintable():
        return texts
    return [shown(text) for text in texts]
