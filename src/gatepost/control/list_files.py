"""Entries of IP lists as files: text, CSV, JSON, and what Exchange exports."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any, Final, Literal

from gatepost.ports.lists import NEVER, Entry

FileKind = Literal["text", "csv", "json"]
KINDS: Final[tuple[FileKind, ...]] = ("text", "csv", "json")
FILE_LIMIT_BYTES: Final = 64 << 20
"""Longer lists are feeds."""
_COLUMNS: Final = ("network", "expires", "author", "by-person", "comment", "added", "hits")
_NAMES: Final = {
    "network": ("network", "iprange", "address", "ip", "ipaddress"),
    "expires": ("expires", "expirationtime", "expires_at", "expiration"),
    "comment": ("comment", "comments", "description"),
    "expired": ("hasexpired",),
    "author": ("author",),
}
_MASKED: Final = re.compile(r"([0-9.]+)\s*\(([0-9.]+)\)")
_TIMES: Final = (
    "%m/%d/%Y %I:%M:%S %p",
    "%d.%m.%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y",
    "%d.%m.%Y",
)
_NEVER_YEAR: Final = 9999


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of a file, not yet checked; its number from 1."""

    number: int
    network: str
    expires_at: float = NEVER
    comment: str = ""
    author: str = ""


def decoded(data: bytes) -> str:
    """PowerShell writes UTF-16, or UTF-8 with a mark. Raises ValueError."""
    if len(data) > FILE_LIMIT_BYTES:
        raise ValueError(
            f"is larger than {FILE_LIMIT_BYTES >> 20} MiB: a list of that size is a feed (list-feeds)"
        )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def kind_of(text: str) -> FileKind:
    """By how it begins."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if first[:1] in ("[", "{"):
        return "json"
    if first.startswith("#TYPE"):
        return "csv"
    heads = {word.strip(' "').lower() for word in re.split(r"[,;\t]", first)}
    return "csv" if heads & set(_NAMES["network"]) else "text"


def parse_entries(text: str, kind: FileKind) -> Iterator[Line | tuple[int, str]]:
    """Entries; and (number, reason) for lines that are none. Raises ValueError for what is not of this kind at all."""
    if kind == "json":
        return _json(text)
    return _csv(text) if kind == "csv" else _text(text)


def written(entries: Sequence[Entry], kind: FileKind) -> str:
    """As parse_entries() reads it."""
    if kind == "text":
        return "".join(f"{e.network}{f' # {e.comment}' if e.comment else ''}\n" for e in entries)
    rows = [_row(entry) for entry in entries]
    if kind == "json":
        return json.dumps(rows, indent=2, ensure_ascii=True) + "\n"
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "network": entry.network,
        "expires": _time_text(entry.expires_at),
        "author": entry.author,
        "by-person": entry.by_person,
        "comment": entry.comment,
        "added": _time_text(entry.added_at),
        "hits": entry.hits,
    }


def _harmless(value: object) -> object:
    """No spreadsheet takes it for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def _time_text(at: float) -> str:
    if math.isinf(at) or at <= 0:
        return ""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(text: str) -> Iterator[Line | tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        what, _, comment = line.partition("#")
        if what.strip():
            yield Line(number, what.strip().rstrip(",;"), comment=comment.strip())


def _csv(text: str) -> Iterator[Line | tuple[int, str]]:
    lines = text.splitlines()
    skipped = 1 if lines and lines[0].startswith("#TYPE") else 0
    first = lines[skipped] if len(lines) > skipped else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(lines[skipped:], delimiter=delimiter)
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    columns = {what: next((names[n] for n in known if n in names), None) for what, known in _NAMES.items()}
    if columns["network"] is None:
        raise ValueError("has no column network (or IPRange, as Exchange calls it)")
    try:
        for row in reader:
            number = reader.line_num + skipped
            yield _line(
                number, {what: (row.get(name) or "") if name else "" for what, name in columns.items()}
            )
    except csv.Error as error:
        raise ValueError(f"is not CSV: {error}") from error


def _json(text: str) -> Iterator[Line | tuple[int, str]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from error
    if isinstance(rows, dict):
        rows = [rows]
    if not isinstance(rows, list):
        raise ValueError("is not a list of entries")
    for number, row in enumerate(rows, start=1):
        if isinstance(row, str):
            yield Line(number, row)
        elif isinstance(row, dict):
            given = {str(name).lower(): value for name, value in row.items()}
            fields = {what: _first(given, known) for what, known in _NAMES.items()}
            yield _line(number, fields)
        else:
            yield number, "is no entry"


def _first(given: Mapping[str, object], names: Iterable[str]) -> str:
    for name in names:
        if (value := given.get(name)) not in (None, ""):
            return str(value)
    return ""


def _line(number: int, fields: Mapping[str, str]) -> Line | tuple[int, str]:
    if not fields["network"].strip():
        return number, "names no address"
    if fields["expired"].strip().lower() == "true":
        return number, "has expired"
    try:
        expires_at = _time_of(fields["expires"].strip())
        network = _network(fields["network"].strip())
    except ValueError as error:
        return number, str(error)
    return Line(number, network, expires_at, fields["comment"].strip(), fields["author"].strip())


def _network(text: str) -> str:
    """Exchange may write a network with its mask: 192.0.2.0(255.255.255.0)."""
    match = _MASKED.fullmatch(text)
    if match is None:
        return text
    inverse = 0xFFFFFFFF ^ int(IPv4Address(match[2]))
    if inverse & (inverse + 1):
        raise ValueError(f"{match[2]} is no mask")
    return f"{match[1]}/{32 - inverse.bit_length()}"


def _time_of(text: str) -> float:
    """Raises ValueError."""
    if not text:
        return NEVER
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        for form in _TIMES:
            try:
                found = datetime.strptime(text, form)  # noqa: DTZ007  # Exchange writes no zone: taken as UTC
                break
            except ValueError:
                continue
        else:
            raise ValueError(f"{text[:40]!r} is no time") from None
    if found.year >= _NEVER_YEAR:
        return NEVER
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
