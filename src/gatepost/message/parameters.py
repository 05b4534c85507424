"""What Content-Type and Content-Disposition say: a value with parameters, read in linear time however it is written.

RFC 2045 §5.1, comments (RFC 5322 §3.2.2), sections and charsets (RFC 2231), encoded words where none belong (RFC 2047).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from gatepost.message.charsets import decoded_word
from gatepost.message.structure_defects import StructureDefect
from gatepost.message.words import decoded_words

PARAMETERS_LIMIT: Final = 100
FIELD_LIMIT_BYTES: Final = 64 << 10
"""Of one field's value; what follows is not read."""
VALUE_LIMIT_BYTES: Final = 8192
"""Of a value with encoded words."""
_CACHED_BYTES: Final = 200
_WORD_LIMIT_BYTES: Final = 80
_ENDS: Final = b"; \t\r\n\v\f"
_OF_FILES: Final = frozenset(("name", "filename"))
_ONE: Final = re.compile(
    rb"""[;\s]*+
    (?: ([^\s=;"]++) \s*+ (?: = \s*+ (?: "((?:[^"\\]|\\.)*+) ("?) [^;]*+ | ([^;]*+) ) )?
      | ("(?:[^"\\]|\\.)*+"?|=) )""",
    re.VERBOSE | re.DOTALL,
)
_TYPE: Final = re.compile(rb"[!#-'*+.0-9A-Z^-z|~-]+/[!#-'*+.0-9A-Z^-z|~-]+")
_MAIN: Final = re.compile(rb"\s*+([^\s;/]*+)(\s*+/\s*+)?([^\s;/=]*+)")
_WORD: Final = re.compile(rb"[^\s;]*+")
_OUTSIDE: Final = re.compile(rb'(?:"(?:[^"\\]|\\.)*+"?|[^"(])*+', re.DOTALL)
_IN_COMMENT: Final = re.compile(rb"(?:\\.|[^()])*+", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_SECTION: Final = re.compile(rb"([^*]+)(?:\*([0-9]{1,9}))?(\*?)")
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


class Parameter(NamedTuple):
    """One as it is written. name: lower case, its * included. value: without quotes and escapes."""

    name: bytes
    value: bytes


class Valued(NamedTuple):
    """A value with its parameters. main: lower case. texts: each name's readings, the preferred one first.

    written: each parameter as it stands, in order. passed: the limit that ended the reading, "" when none did.
    """

    main: str
    texts: dict[str, tuple[str, ...]]
    written: tuple[Parameter, ...]
    defects: frozenset[StructureDefect]
    passed: str

    def first(self, name: str) -> str:
        """The preferred reading; "" when the parameter is not there."""
        readings = self.texts.get(name)
        return readings[0] if readings else ""

    def all_written(self, name: bytes) -> list[bytes]:
        """Every value that stands under exactly this name."""
        return [one.value for one in self.written if one.name == name]


EMPTY: Final = Valued("", {}, (), frozenset(), "")


def read_type(value: bytes, *, parameters_limit: int = PARAMETERS_LIMIT, last_wins: bool = False) -> Valued:
    """A Content-Type: main is type/subtype, "application/octet-stream" for what is none. Raises nothing."""
    return _read(value, parameters_limit, last_wins, True)


def read_disposition(
    value: bytes, *, parameters_limit: int = PARAMETERS_LIMIT, last_wins: bool = False
) -> Valued:
    """A Content-Disposition: main is its first word, mostly inline or attachment. Raises nothing."""
    return _read(value, parameters_limit, last_wins, False)


def read_word(value: bytes) -> tuple[str, bool]:
    """A field that is one word, such as Content-Transfer-Encoding: the word in lower case, and whether it is alone."""
    bare = without_comments(value[:FIELD_LIMIT_BYTES]).strip().strip(b'"; \t')
    word = _WORD.match(bare)[0] if bare else b""  # type: ignore[index]
    return word.decode("latin-1").lower(), word == value.strip(b" \t")


def _read(value: bytes, limit: int, last_wins: bool, is_type: bool) -> Valued:
    if len(value) <= _CACHED_BYTES:
        return _read_again(value, limit, last_wins, is_type)
    return _valued(value, limit, last_wins, is_type)


def _valued(value: bytes, limit: int, last_wins: bool, is_type: bool) -> Valued:
    value, cut = value[:FIELD_LIMIT_BYTES].rstrip(_ENDS), len(value) > FIELD_LIMIT_BYTES
    found = _once(without_comments(value).rstrip(_ENDS), limit, last_wins, is_type)
    if b"(" in value:
        found = _with_names_as_written(found, _once(value, limit, last_wins, is_type))
    return found._replace(passed=found.passed or "field") if cut else found


def _with_names_as_written(found: Valued, raw: Valued) -> Valued:
    """report (1).pdf without quotes: a comment by the rule, and the name of a file for most readers."""
    texts = dict(found.texts)
    for name in _OF_FILES & raw.texts.keys():
        texts[name] = tuple(dict.fromkeys((*texts.get(name, ()), *raw.texts[name])))
    return found._replace(texts=texts)


def _once(value: bytes, limit: int, last_wins: bool, is_type: bool) -> Valued:
    main, at, defects = _main_type(value) if is_type else _main_word(value)
    written: list[Parameter] = []
    passed = ""
    for found in _ONE.finditer(value, at):
        if len(written) >= limit:
            passed = "parameters"
            break
        parameter = _parameter(value, found, defects)
        if parameter is not None:
            written.append(parameter)
    texts = _texts(written, defects, last_wins) if written else {}
    return Valued(main, texts, tuple(written), frozenset(defects), passed)


def _parameter(value: bytes, found: re.Match[bytes], defects: set[StructureDefect]) -> Parameter | None:
    name, quoted, closing, plain = found[1], found[2], found[3], found[4]
    if name is None or (quoted is None and plain is None):
        defects.add(StructureDefect.BAD_PARAMETER)
        return None
    if quoted is not None:
        behind = value[found.end(3) : found.end()]
        if not closing or (behind and not behind.isspace()):
            defects.add(StructureDefect.BAD_PARAMETER)
        return Parameter(name.lower(), _ESCAPE.sub(rb"\1", quoted) if b"\\" in quoted else quoted)
    text = plain.strip()
    if not text or len(text.split(None, 1)) > 1 or b'"' in text:
        defects.add(StructureDefect.BAD_PARAMETER)
    return Parameter(name.lower(), text)


_read_again: Final = lru_cache(maxsize=512)(_valued)
"""Most mails say the same things: short values are read once."""


def _main_type(value: bytes) -> tuple[str, int, set[StructureDefect]]:
    main, slash, sub = _MAIN.match(value).groups()  # type: ignore[union-attr]  # it matches anything
    at = len(_MAIN.match(value)[0])  # type: ignore[index]
    kind = main + b"/" + sub
    rest = value[at:].lstrip()
    if slash == b"/" and (not rest or rest.startswith(b";")) and _TYPE.fullmatch(kind):
        return kind.decode("ascii").lower(), at, set()
    if slash and _TYPE.fullmatch(kind):
        return kind.decode("ascii").lower(), at, {StructureDefect.BAD_TYPE}
    semicolon = value.find(b";")
    return "application/octet-stream", semicolon if semicolon >= 0 else len(value), {StructureDefect.BAD_TYPE}


def _main_word(value: bytes) -> tuple[str, int, set[StructureDefect]]:
    main, semicolon, _ = value.partition(b";")
    word = main.strip()
    if b"=" in word:  # the word is left out, and a parameter is there in its place
        return "", 0, {StructureDefect.BAD_PARAMETER}
    odd = {StructureDefect.BAD_PARAMETER} if not word or len(word.split(None, 1)) > 1 else set()
    return word[:_WORD_LIMIT_BYTES].decode("latin-1").lower(), len(main) + len(semicolon), odd


def without_comments(value: bytes) -> bytes:
    """Comments taken out, outside of quoted strings; one that is not closed goes on to the end."""
    if b"(" not in value:
        return value
    kept: list[bytes] = []
    at = depth = 0
    while at < len(value):
        found = (_IN_COMMENT if depth else _OUTSIDE).match(value, at)
        end = found.end() if found is not None else at
        if not depth:
            kept.append(value[at:end])
        depth += 1 if value[end : end + 1] == b"(" else -1
        at = end + 1
    return b"".join(kept)


def _texts(
    written: Iterable[Parameter], defects: set[StructureDefect], last_wins: bool
) -> dict[str, tuple[str, ...]]:
    plain: dict[bytes, list[str]] = {}
    sections: dict[bytes, dict[int, list[tuple[bytes, bool]]]] = {}
    for name, value in written:
        parts = _SECTION.fullmatch(name)
        if parts is None or (parts[2] is None and not parts[3]):
            plain.setdefault(name, []).append(_plain_text(value, defects))
        else:
            number = int(parts[2] or b"0")
            sections.setdefault(parts[1], {}).setdefault(number, []).append((value, bool(parts[3])))
    found: dict[str, tuple[str, ...]] = {}
    for name in (*plain, *(name for name in sections if name not in plain)):
        own = plain.get(name, [])
        if len(own) > 1:
            defects.add(StructureDefect.TWO_PARAMETERS)
            own = own[::-1] if last_wins else own
        extended = _joined(sections[name], defects, last_wins) if name in sections else []
        if own and extended:
            defects.add(StructureDefect.FORMS_MIXED)
        found[name.decode("latin-1")] = tuple(dict.fromkeys((*extended, *own)))
    return found


def _plain_text(value: bytes, defects: set[StructureDefect]) -> str:
    if b"=?" in value and b"?=" in value:
        defects.add(StructureDefect.WORD_IN_PARAMETER)
        return decoded_words(value[:VALUE_LIMIT_BYTES])
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _joined(
    sections: dict[int, list[tuple[bytes, bool]]], defects: set[StructureDefect], last_wins: bool
) -> list[str]:
    """RFC 2231: sections in the order of their numbers; and up to the first that is missing, where one is."""
    charset = b""
    octets: list[bytes] = []
    whole_until = -1
    for place, number in enumerate(sorted(sections)):
        if len(sections[number]) > 1:
            defects.add(StructureDefect.SECTION_TWICE)
        value, is_encoded = sections[number][-1 if last_wins else 0]
        if place == 0 and is_encoded:
            charset, quote, rest = value.partition(b"'")
            if quote and b"'" in rest:
                value = rest.partition(b"'")[2]
            else:
                charset = b""
                defects.add(StructureDefect.BAD_PARAMETER)
        octets.append(_PERCENT.sub(lambda m: bytes((int(m[1], 16),)), value) if is_encoded else value)
        if number != place and whole_until < 0:
            whole_until = place
            defects.add(StructureDefect.SECTION_MISSING)
    readings = [b"".join(octets)]
    if whole_until > 0:
        readings.append(b"".join(octets[:whole_until]))
    label = charset.decode("latin-1").lower()
    return [decoded_word(one, label) if label else _utf8_or_latin(one) for one in readings]


def _utf8_or_latin(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
