"""What can be wrong with a configuration, said the way a compiler says it: file, line, setting, remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

_ACCEPTED_SHOWN: Final = 12
_TEXT_LIMIT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationError:
    """One mistake, or (in Configuration.warnings) one thing that looks like one.

    line: 1-based; 0 when the mistake has no line (file missing).
    key:  the dotted name of the setting, as in the file; "" when it is about the whole file.
    accepted: what would have been taken, in words or as values.
    """

    file: str
    line: int
    key: str
    message: str
    accepted: tuple[str, ...] = ()
    did_you_mean: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = [f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"]
        if self.did_you_mean:
            parts.append(f", did you mean {self.did_you_mean}?")
        if self.accepted:
            shown = ", ".join(self.accepted[:_ACCEPTED_SHOWN])
            more = ", ..." if len(self.accepted) > _ACCEPTED_SHOWN else ""
            parts.append(f" (accepted: {shown}{more})")
        return "".join(parts)


class ConfigurationErrors(Exception):
    """All mistakes of one configuration, in the order of their lines. None of it is used."""

    def __init__(self, errors: Iterable[ConfigurationError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda e: (e.line, e.key)))
        super().__init__("\n".join(str(error) for error in self.errors))

    def __reduce__(self) -> tuple[type[ConfigurationErrors], tuple[tuple[ConfigurationError, ...]]]:
        """It may cross from one process to another."""
        return type(self), (self.errors,)


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant; "" when none is near."""
    found = get_close_matches(name[:_TEXT_LIMIT], list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def quoted(value: object) -> str:
    """A value of the file for a message: printable, one line, at most 200 characters."""
    text = _as_written(value) if not isinstance(value, str) else f'"{value}"'
    clean = "".join(c if c.isprintable() else "?" for c in text[: _TEXT_LIMIT + 1])
    return clean if len(text) <= _TEXT_LIMIT else f"{clean[:_TEXT_LIMIT]}..."


def _as_written(value: object) -> str:
    """Lists and truth as the file has them, not as Python does."""
    try:
        return json.dumps(value, default=str)
    except (ValueError, TypeError, RecursionError):
        return ascii(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What a check found: where, as names and positions from the top of the file, and what is wrong."""

    at: tuple[str | int, ...]
    message: str
    accepted: tuple[str, ...] = ()
    did_you_mean: str = ""
    is_warning: bool = False


def dotted(path: tuple[str | int, ...]) -> str:
    """accepted-domains."example.com".type: a path as the file writes it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = part.replace("-", "").replace("_", "")
            name = part if bare.isalnum() and bare.isascii() else quoted(part)
            text += f".{name}" if text else name
    return text
