"""SPF's macro strings (RFC 7208 §7): read once into pieces, filled in for each mail."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

NAME_LIMIT_CHARS: Final = 253  # RFC 7208 §7.3
EXPANSION_LIMIT_CHARS: Final = 16 << 10
"""Of one macro string, before a name is cut to its limit; more is no name and no explanation (J05)."""
IN_EXPLANATIONS_ONLY: Final = frozenset("crt")
OF_LOCAL_PART: Final = frozenset("sl")
_PIECE: Final = re.compile(
    r"([!-$&-~]++)|%\{([slodiphvcrtSLODIPHVCRT])([0-9]*+)([rR]?)([.\-+,/_=]*+)\}|%([%_-])"
)
_WITH_BLANKS: Final = re.compile(
    r"([ -$&-~]++)|%\{([slodiphvcrtSLODIPHVCRT])([0-9]*+)([rR]?)([.\-+,/_=]*+)\}|%([%_-])"
)
_LETTER_OR_DIGIT: Final = "A-Za-z0-9"
_TOP_LABEL: Final = re.compile(
    rf"(?=[{_LETTER_OR_DIGIT}]*[A-Za-z-])[{_LETTER_OR_DIGIT}](?:[{_LETTER_OR_DIGIT}-]*[{_LETTER_OR_DIGIT}])?"
)
_ESCAPES: Final = {"%": "%", "_": " ", "-": "%20"}
_KEPT_PARTS_LIMIT: Final = 128
"""No name and no local part has more parts: %{l9999} keeps all there are."""


class RecordError(ValueError):
    """A record that breaks the grammar; the text says where. It is for the administrator."""


@dataclass(frozen=True, slots=True)
class Macro:
    """One %{...}."""

    letter: str
    """Lower case."""
    keep: int
    """How many parts from the right; 0: all."""
    is_reversed: bool
    delimiters: str
    is_escaped: bool
    """Written with an upper-case letter: %-escaped as in a URL."""


@dataclass(frozen=True, slots=True)
class MacroString:
    """Text with macros. `text`: as it was written."""

    text: str
    pieces: tuple[str | Macro, ...]

    @property
    def letters(self) -> frozenset[str]:
        """The macros in it."""
        return frozenset(piece.letter for piece in self.pieces if isinstance(piece, Macro))

    @property
    def is_plain(self) -> bool:
        """No macro in it."""
        return all(isinstance(piece, str) for piece in self.pieces)


def parse_macro_string(text: str, *, blanks: bool = False, explanation: bool = False) -> MacroString:
    """blanks: blanks are text, too (explanations).  explanation: %{c}, %{r} and %{t} may stand in it.

    Raises RecordError.
    """
    pattern, at, pieces = _WITH_BLANKS if blanks else _PIECE, 0, []
    while at < len(text):
        match = pattern.match(text, at)
        if match is None:
            raise RecordError(f"{text[at : at + 20]!r} is neither text nor a macro")
        pieces.append(_piece(match, explanation=explanation))
        at = match.end()
    return MacroString(text, tuple(pieces))


def parse_domain_spec(text: str) -> MacroString:
    """A macro string that ends in a top label or a macro. Raises RecordError."""
    found = parse_macro_string(text)
    last = found.pieces[-1] if found.pieces else ""
    if isinstance(last, Macro) or text.endswith(("%%", "%_", "%-")):
        return found
    before, dot, label = text.removesuffix(".").rpartition(".")
    if not dot or not before + dot or not _TOP_LABEL.fullmatch(label):
        raise RecordError(f"{text[:100]!r} is no domain name")
    return found


def _piece(match: re.Match[str], *, explanation: bool) -> str | Macro:
    literal, letter, digits, backwards, delimiters, escape = match.groups()
    if literal is not None:
        return literal
    if escape is not None:
        return _ESCAPES[escape]
    lower = letter.lower()
    if lower in IN_EXPLANATIONS_ONLY and not explanation:
        raise RecordError(f"the macro %{{{letter}}} stands in explanations only")
    keep = min(int(digits[:9]), _KEPT_PARTS_LIMIT) if digits else 0
    if digits and not keep:
        raise RecordError(f"{match[0][:40]!r} keeps no part")
    return Macro(lower, keep, bool(backwards), delimiters or ".", letter.isupper())


def expand(string: MacroString, value_of: Callable[[str], str]) -> str:
    """value_of: what a macro's letter stands for in this mail. Cut at EXPANSION_LIMIT_CHARS."""
    if len(string.pieces) == 1 and isinstance(string.pieces[0], str):
        return string.pieces[0]
    parts, room = [], EXPANSION_LIMIT_CHARS
    for piece in string.pieces:
        part = piece if isinstance(piece, str) else _filled(piece, value_of(piece.letter))
        parts.append(part[:room])
        room -= len(parts[-1])
        if not room:
            break
    return "".join(parts)


def target_name(expanded: str) -> str:
    """A name of at most 253 characters, lower case: whole labels are cut off from the left (§7.3)."""
    name = expanded.lower().removesuffix(".")
    if len(name) > NAME_LIMIT_CHARS:
        name = name[-NAME_LIMIT_CHARS - 1 :].partition(".")[2]
    return name


def _filled(macro: Macro, value: str) -> str:
    if macro.keep or macro.is_reversed or macro.delimiters != ".":
        parts = re.split(f"[{re.escape(macro.delimiters)}]", value)
        if macro.is_reversed:
            parts.reverse()
        value = ".".join(parts[-macro.keep :])
    return quote(value, safe="-._~") if macro.is_escaped else value
