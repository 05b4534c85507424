"""The words of Exchange's edge and ours, for docs/exchange.md: reads tools/exchange.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from gatepost.cli.config import all_tables
from gatepost.config.settings import Right

TABLE: Final = Path(__file__).with_name("exchange.toml")
LATER: Final = "comes with a later part"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page. ours: settings, rights ("right:relay"), commands ("$ queue list"), "later:" settings."""

    exchange: str
    ours: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Section:
    """One chapter of the page."""

    title: str
    intro: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class SaidReply:
    """What is answered in a situation: Exchange's code, our whole line."""

    situation: str
    exchange: str
    ours: str


def sections() -> Iterator[Section]:
    """The chapters, as the table has them."""
    for section in tomllib.loads(TABLE.read_text("utf-8"))["section"]:
        rows = (Row(e, tuple(o for o in ours.split(", ") if o), note) for e, ours, note in section["rows"])
        yield Section(section["title"], section["intro"], tuple(rows))


def replies() -> list[SaidReply]:
    """The replies, as the table has them."""
    return [SaidReply(*row) for row in tomllib.loads(TABLE.read_text("utf-8"))["replies"]]


def setting_names() -> frozenset[str]:
    """Every setting as the table writes it: receive-connectors.NAME.limits.hop-count."""
    return frozenset(f"{one.path.strip('[]')}.{s.name}" for one in all_tables() for s in one.settings)


def unknown(row: Row, settings: frozenset[str], commands: frozenset[str]) -> list[str]:
    """Names of the row that are neither a setting, a right nor a command. commands: "queue list"."""
    rights = frozenset(get_args(Right))
    return [
        name
        for name in row.ours
        if not name.startswith("later:")
        and name not in settings
        and not (name.startswith("$ ") and name[2:] in commands)
        and not (name.startswith("right:") and name[6:] in rights)
    ]


def lines_of(section: Section, settings: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """The cells of a chapter's table."""
    for row in section.rows:
        names = [name.removeprefix("later:") for name in row.ours]
        there = [_shown(name) for name in names if name in settings or not _is_setting(name)]
        note = LATER if row.note == "later" else row.note
        if row.ours and len(there) < len(names):
            note = "; ".join(filter(None, (note, LATER if not there else "more comes with a later part")))
        yield (
            ", ".join(f"`{w}`" for w in row.exchange.split(", ")) if _is_code(row.exchange) else row.exchange,
            (", ".join(there) or "-"),
            note,
        )


def _is_setting(name: str) -> bool:
    return not name.startswith(("$ ", "right:"))


def _is_code(text: str) -> bool:
    """Parameters and cmdlets are code, other words are not."""
    return all(
        re.fullmatch(r"[A-Z][A-Za-z0-9]+(-[A-Z][A-Za-z]+)*", word) for word in text.split(", ")
    ) and any(re.search(r"[a-z][A-Z]|-[A-Z]", word) for word in text.split(", "))


def _shown(name: str) -> str:
    if name.startswith("$ "):
        return f"`gatepost {name[2:]}`"
    return f"`{name.removeprefix('right:')}`"
