"""Which line of a TOML text each setting stands on. tomllib reads the values but forgets the lines."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Final

KeyPath = tuple[str | int, ...]
"""("receive-connectors", "lab", "listen", 0): names, and the positions in arrays."""

DEPTH_LIMIT: Final = 32
"""Names in one key beyond this are not kept: no setting of ours is that deep."""
_BLANK: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BLANK_ON_LINE: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r"[A-Za-z0-9_-]+|'[^'\n]*'|\"(?:[^\"\\\n]|\\.)*+\"")
_BARE_VALUE: Final = re.compile(r"[^,\]}#\n\"'\[{]+")
_BASIC_LONG: Final = re.compile(r'"""(?:[^"\\]++|\\[\s\S]|"{1,2}(?!"))*+"{3,5}')
_LITERAL_LONG: Final = re.compile(r"'''(?:[^']++|'{1,2}(?!'))*+'{3,5}")
_BASIC: Final = re.compile(r'"(?:[^"\\\n]|\\.)*+"')
_LITERAL: Final = re.compile(r"'[^'\n]*'")


def lines_of(text: str) -> Mapping[KeyPath, int]:
    """Every table, setting and array element of a *valid* TOML text -> its 1-based line.

    A table has the line of its first mention, so an inline table has the line of its key.
    For a text that tomllib refuses, the answer covers what stands before the place where
    the scan lost its way. Linear in the size of the text.
    """
    scan = _Scan(text)
    scan.document()
    return scan.found


class _Scan:
    """A cursor over the text. It trusts tomllib with the syntax and only keeps count of where things are."""

    def __init__(self, text: str) -> None:
        self.found: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        self._counted_to = 0
        self._array_sizes: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip_blanks():
            before = self._at
            if self._text.startswith("[[", self._at):
                table = self._array_header()
            elif self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            if self._at == before:
                return  # not TOML: tomllib says why

    def _header(self) -> KeyPath:
        line = self._here()
        self._at += 1
        names = self._key()
        self._expect("]")
        return self._note(self._inside(names), line)

    def _array_header(self) -> KeyPath:
        line = self._here()
        self._at += 2
        path = self._inside(self._key())
        self._expect("]")
        self._expect("]")
        self._note(path, line)
        position = self._array_sizes.get(path, 0)
        self._array_sizes[path] = position + 1
        return self._note((*path, position), line)

    def _inside(self, names: tuple[str, ...]) -> KeyPath:
        """Names of a header, with the last position put in wherever they pass an array of tables."""
        path: KeyPath = ()
        for name in names[:-1]:
            path = (*path, name)
            if path in self._array_sizes:
                path = (*path, self._array_sizes[path] - 1)
        return (*path, *names[-1:])

    def _pair(self, table: KeyPath) -> None:
        line = self._here()
        names = self._key()
        self._expect("=")
        path = self._note((*table, *names), line, below=len(table))
        self._skip_on_line()
        self._value(path)

    def _note(self, path: KeyPath, line: int, *, below: int = 0) -> KeyPath:
        for length in range(below + 1, len(path) + 1):
            self.found.setdefault(path[:length], line)
        return path

    def _key(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            self._skip_on_line()
            match = _KEY.match(self._text, self._at)
            if not match:
                return tuple(names)
            self._at = match.end()
            if len(names) < DEPTH_LIMIT:
                names.append(_unquoted(match[0]))
            self._skip_on_line()
            if not self._text.startswith(".", self._at):
                return tuple(names)
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        first = self._text[self._at : self._at + 1]
        if first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        elif first in ('"', "'"):
            self._string()
        elif match := _BARE_VALUE.match(self._text, self._at):
            self._at = match.end()

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        position = 0
        while self._skip_blanks() and self._text[self._at] != "]":
            before = self._at
            self._value(self._note((*path, position), self._here(), below=len(path)))
            position += 1
            if self._skip_blanks() and self._text[self._at] == ",":
                self._at += 1
            if self._at == before:
                return
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        while self._skip_blanks() and self._text[self._at] != "}":
            before = self._at
            self._pair(path)
            if self._skip_blanks() and self._text[self._at] == ",":
                self._at += 1
            if self._at == before:
                return
        self._at += 1

    def _string(self) -> None:
        for form in (_BASIC_LONG, _LITERAL_LONG, _BASIC, _LITERAL):
            if match := form.match(self._text, self._at):
                self._at = match.end()
                return

    def _expect(self, character: str) -> None:
        self._skip_on_line()
        if self._text.startswith(character, self._at):
            self._at += 1

    def _skip_on_line(self) -> None:
        match = _BLANK_ON_LINE.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _skip_blanks(self) -> bool:
        """Past blanks, line ends and comments. False at the end of the text."""
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at < len(self._text)

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line


def _unquoted(key: str) -> str:
    if key[0] == "'":
        return key[1:-1]
    if key[0] == '"':
        try:
            return next(iter(tomllib.loads(f"{key} = 0")))
        except tomllib.TOMLDecodeError:
            return key[1:-1]
    return key
