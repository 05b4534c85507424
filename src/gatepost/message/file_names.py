"""File names that strangers gave: what is safe to show, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gatepost.message.structure_defects import StructureDefect
from gatepost.message.words import REPLACEMENT

NAME_LIMIT_CHARS: Final = 255
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Marks, embeddings, overrides, isolates; what has no width; the tags; what fills.
_UNSEEN: Final = re.compile(
    r"[\u200b-\u200f\u202a-\u202e\u2060-\u206f\u061c\u00ad\u180e\ufeff\u3164\U000e0000-\U000e007f]"
)
_PATH: Final = re.compile(r"[/\\\u2044\u2215\u29f5\u29f8\ufe68\uff0f\uff3c]|\A[A-Za-z]:")
_DRIVE: Final = re.compile(r"\A(?:\s*[A-Za-z]:)+\s*")
_TRAILING: Final = ". \t\r\n\u00a0\u3000"
_TRAILS: Final = re.compile(r"[.\s\u3000]\Z")
_ENDING_CHARS: Final = 40
_CUT: Final = "\u2026"


def safe_name(name: str, limit_chars: int = NAME_LIMIT_CHARS) -> str:
    """For people, and for a file to be written: no path, nothing unseen, no end that Windows drops, at most so long.

    Of a longer one the begin and the end stay: what it is stands at the end.
    """
    last = _PATH.split(name[-4 * limit_chars :] if len(name) > 4 * limit_chars else name)[-1]
    shown = _UNSEEN.sub("", _CONTROL.sub("", last))
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else REPLACEMENT for c in shown)
    shown = _DRIVE.sub("", shown.strip()).rstrip(_TRAILING)
    if len(shown) > limit_chars:
        ending = min(_ENDING_CHARS, limit_chars // 2)
        shown = shown[: limit_chars - ending - 1] + _CUT + shown[-ending:]
    return shown


def defects_of_names(names: Iterable[str], limit_chars: int = NAME_LIMIT_CHARS) -> frozenset[StructureDefect]:
    """What is wrong with any of them, or between them."""
    found = set()
    shown = set()
    for name in names:
        if len(name) > limit_chars:
            found.add(StructureDefect.NAME_LONG)
        if name.isprintable() and name.isascii() and name.replace(".", "").replace("-", "").isalnum():
            shown.add(name)
            if name.endswith("."):
                found.add(StructureDefect.NAME_TRAILS)
            continue
        for pattern, defect in _PATTERNS:
            if pattern.search(name):
                found.add(defect)
        shown.add(name)
    if len(shown) > 1:
        found.add(StructureDefect.NAMES_DIFFER)
    return frozenset(found)


_PATTERNS: Final = (
    (_CONTROL, StructureDefect.NAME_CONTROL),
    (_UNSEEN, StructureDefect.NAME_TURNS),
    (_PATH, StructureDefect.NAME_PATH),
    (_TRAILS, StructureDefect.NAME_TRAILS),
)
