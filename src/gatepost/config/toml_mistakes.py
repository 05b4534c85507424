"""What somebody probably meant where a line is not TOML: a remedy for the parser's words."""

from __future__ import annotations

import re
from typing import Final

_PAIR: Final = re.compile(r'\s*([A-Za-z0-9_."\'-]+)\s*=\s*(.*?)\s*(?:#.*)?$')
_HEAD: Final = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]*\s*(?:#.*)?$")
_OTHER_PAIR: Final = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*(:|\s)\s*(\S.*)$")
_TRUTH: Final = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
_CURLY: Final = "“”„‘’«»"
_SHOWN: Final = 60
_LINES_LIMIT: Final = 20_000
"""A file of more lines gets no search for the first of two."""


def remedy(text: str, line: int, said: str) -> str:
    """What to do about line `line` (from 1), where the parser said `said`; "" when nobody can tell.

    text: the whole file.
    """
    lines = text.split("\n")
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    if line == 1 and here.startswith("\ufeff"):
        return "the file begins with a byte order mark: save it as UTF-8 without one"
    if "overwrite" in said or "twice" in said or "mutate" in said:
        return _twice(lines, line)
    if "Unescaped" in said:
        return "in \"...\" a backslash is written twice; in '...' it stands for itself"
    if "Unclosed array" in said or "Expected ']'" in said:
        return _bracket(here)
    return _statement(here)


def _statement(here: str) -> str:
    stripped = here.strip()
    if stripped.startswith((";", "//", "--", "!")):
        return "a comment begins with #"
    if pair := _PAIR.match(here):
        return _value(pair[1], pair[2])
    if other := _OTHER_PAIR.match(here):
        return f"a setting is written {other[1]} = ..."
    return ""


def _value(name: str, value: str) -> str:
    if any(mark in value for mark in _CURLY):
        return 'straight quotes are needed: "..."'
    if value.lower() in _TRUTH:
        return f"write {name} = {_TRUTH[value.lower()]}"
    for quote in ('"', "'"):
        if value.startswith(quote) and value.count(quote) == 1:
            return f"the text has no {quote} at its end"
    if not value:
        return f"{name} has no value"
    if not value.startswith(('"', "'", "[", "{", "=")) and '"' not in value and len(value) <= _SHOWN:
        return f'text, durations and sizes stand in quotes: {name} = "{value}"'
    return ""


def _bracket(here: str) -> str:
    if here.lstrip().startswith("["):
        return "a table's name stands in brackets: [name]"
    return "a list that begins in or above this line has no ] at its end, or no comma between two values"


def _twice(lines: list[str], line: int) -> str:
    """Where the other one is: searched backwards, a setting in its own table only."""
    if len(lines) > _LINES_LIMIT or not 0 < line <= len(lines):
        return ""
    here = lines[line - 1]
    if head := _HEAD.match(here):
        found = (n for n in range(line - 1, 0, -1) if _same(_HEAD.match(lines[n - 1]), head[1]))
        first = next(found, 0)
        return f"[{head[1]}] is there already, in line {first}: put both together" if first else ""
    pair = _PAIR.match(here)
    for number in range(line - 1, 0, -1):
        if pair is None or lines[number - 1].lstrip().startswith("["):
            break
        if _same(_PAIR.match(lines[number - 1]), pair[1]):
            return f"{pair[1]} is there already, in line {number}"
    return ""


def _same(found: re.Match[str] | None, name: str) -> bool:
    return found is not None and found[1] == name
