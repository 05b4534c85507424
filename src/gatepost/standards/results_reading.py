"""Reads what an Authentication-Results field says: quoted strings and comments are no results (RFC 8601 §2.2)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gatepost.standards.comments import comment_end

VALUE_LIMIT_CHARS: Final = 8000
RESULTS_LIMIT: Final = 50
PROPERTIES_LIMIT: Final = 20

# Possessive quantifiers: the patterns never go back.
_TOKEN: Final = re.compile(
    r'(?P<quoted>"(?:[^"\\]++|\\.)*+")|(?P<blank>[ \t\r\n]++)|(?P<text>[^ \t\r\n"();\x00]++)|(?P<mark>.)',
    re.DOTALL,
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_PAIR: Final = re.compile(
    r"(?:(?<=[ ])|\A)([A-Za-z][A-Za-z0-9_-]*+)(?: ?([./]) ?([A-Za-z0-9_-]++))? ?= ?([^ ]*+)", re.ASCII
)
_HELD: Final = re.compile("\0([0-9]{1,4})\0")


class ReadResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One method's result; names and result in lower case, values as they mean, without quotes."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()

    def value(self, name: str) -> str:
        """Of the first property of this name, such as header.from; "" when there is none."""
        return next((value for found, value in self.properties if found == name), "")


class ReadResults(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who says so, and what. Without results where nothing could be found out, or nothing can be read."""

    authserv_id: str = ""
    results: tuple[ReadResult, ...] = ()

    def of(self, method: str) -> tuple[ReadResult, ...]:
        """Every result of one method."""
        return tuple(one for one in self.results if one.method == method)


_NOTHING: Final = ReadResults()


def read_results(value: str) -> ReadResults:
    """Read an unfolded value. Takes any text, raises nothing.

    A comment or a quoted string without end leaves nothing: where the next result begins is anybody's guess.
    A clause that is no result is skipped.
    """
    if len(value) > VALUE_LIMIT_CHARS:
        return _NOTHING
    held: list[str] = []
    clauses = _clauses(value, held)
    if not clauses:
        return _NOTHING
    author = clauses[0].split(" ")[0]
    found = [_result(clause, held) for clause in clauses[1 : RESULTS_LIMIT + 1]]
    return ReadResults(
        authserv_id=_shown(author, held).lower(), results=tuple([one for one in found if one is not None])
    )


def _clauses(value: str, held: list[str]) -> list[str]:
    """What stands between semicolons, on single blanks, comments left out; quoted strings go to `held`."""
    clauses, parts, at = [], [""], 0
    while at < len(value):
        match = _TOKEN.match(value, at)
        assert match is not None, "every character is a token"
        at = match.end()
        if match.lastgroup == "quoted":
            parts.append(f"\0{len(held)}\0")
            held.append(_QUOTED_PAIR.sub(r"\1", match[0][1:-1]))
        elif match.lastgroup == "text":
            parts.append(match[0])
        elif match[0] == ";":
            clauses.append("".join(parts).strip(" "))
            parts = [""]
        elif match.lastgroup == "blank" or match[0] == "(":
            if match[0] == "(" and not (at := comment_end(value, match.start())):
                return []
            if parts[-1] != " ":
                parts.append(" ")
        else:  # a quote or a parenthesis that belongs to none, or NUL
            return []
    clauses.append("".join(parts).strip(" "))
    return clauses


def _result(clause: str, held: list[str]) -> ReadResult | None:
    first = _PAIR.match(clause)
    if first is None or first[2] == "." or not first[4] or "\0" in first[4]:
        return None
    properties: list[tuple[str, str]] = []
    for match in _PAIR.finditer(clause, first.end()):
        if match[2] == "." and len(properties) < PROPERTIES_LIMIT:
            properties.append((f"{match[1]}.{match[3]}".lower(), _shown(match[4], held)))
    return ReadResult(method=first[1].lower(), result=first[4].lower(), properties=tuple(properties))


def _shown(text: str, held: list[str]) -> str:
    return _HELD.sub(lambda match: held[int(match[1])], text) if "\0" in text else text
