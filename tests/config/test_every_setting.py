"""Every setting there is, with values that cannot be: each is refused in its line, by its name, with what would do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gatepost.config.errors import ConfigurationError, ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.config.reference import tables_of
from gatepost.config.settings import Settings
from gatepost.policy.order import agent_settings, finding_names

HELPFUL = re.compile(
    r"must be |is not a |is not accepted|is no |is none of |is \d+ to \d+ |: not a |does not appear"
)
"""Words of which every refusal has some: what would be right, or why it cannot be."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A value that no setting takes, as the file has it; `but`: kinds of settings that do take it."""

    name: str
    text: str
    but: tuple[str, ...] = ()


WRONG = (
    Wrong("a table", "{ wrong = 1 }", but=("table",)),
    Wrong("a list in a list", "[[1]]"),
    Wrong("a date", "1979-05-27"),
    Wrong("a number that nothing can be", "-1e300"),
    Wrong("a number without end", "inf"),
    Wrong("no number at all", "nan"),
    Wrong("a number without unit", "5.0", but=("number", "table")),
    Wrong("nothing", '""', but=("text",)),
    Wrong("a text that means nothing", '"\\u0000 \\u001b[2J"', but=("text",)),
    Wrong("a list of nothing that is known", '["\\u0000"]', but=("list",)),
)
TABLES = [
    *tables_of(Settings),
    *(table for name, kind in agent_settings().items() for table in tables_of(kind, path=f"agents.{name}")),
]


def document(value: str) -> tuple[str, dict[str, int]]:
    """A file with every setting of every table, all with this value; and the line of each by its name."""
    lines, where = [], {}
    for table in TABLES:
        path = table.path.strip("[]").replace("NAME", "x")
        lines.append(f"[{path}]")
        for setting in table.settings:
            lines.append(f"{setting.name} = {value}")
            where[f"{path}.{setting.name}"] = len(lines)
    return "\n".join(lines) + "\n", where


def refusals(text: str) -> tuple[ConfigurationError, ...]:
    with pytest.raises(ConfigurationErrors) as caught:
        load_text(text, file="g.toml", agent_settings=agent_settings, finding_names=finding_names)
    return caught.value.errors


def kinds() -> Iterator[tuple[str, str]]:
    for table in TABLES:
        path = table.path.strip("[]").replace("NAME", "x")
        for setting in table.settings:
            yield f"{path}.{setting.name}", setting.kind


@pytest.mark.threat("T02")
@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: w.name)
def test_what_a_setting_cannot_be_is_refused_in_its_line(wrong: Wrong) -> None:
    text, where = document(wrong.text)
    said: dict[str, ConfigurationError] = {}
    for error in refusals(text):
        said.setdefault(error.key.partition("[")[0], error)
    takes = {name for name, kind in kinds() if any(word in kind for word in wrong.but)}
    # Nothing passes that is not meant to
    assert sorted(set(where) - set(said) - takes) == []
    for name, line in where.items():
        if name not in said:
            continue
        error = said[name]
        # And each refusal is in the setting's line, and says what would be right
        assert (error.file, error.line) == ("g.toml", line), name
        assert HELPFUL.search(error.message), str(error)
        assert error.accepted or "is not accepted" not in error.message, str(error)
        assert str(error).isprintable()


@pytest.mark.threat("T02")
def test_a_name_that_no_table_knows_is_refused_in_its_line() -> None:
    lines, where = [], {}
    for table in TABLES:
        path = table.path.strip("[]").replace("NAME", "x")
        lines += [f"[{path}]", "no-such-name = 1"]
        where[f"{path}.no-such-name"] = len(lines)
    said = {error.key: error for error in refusals("\n".join(lines) + "\n")}
    for name, line in where.items():
        assert (said[name].line, said[name].message.startswith("unknown setting")) == (line, True), name
