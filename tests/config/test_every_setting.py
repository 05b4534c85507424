"""Every setting there is, with values that cannot be: each is refused in its line, by its name, with what would do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gatepost.config.errors import ConfigurationError, ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.config.reference import tables_of
from gatepost.config.settings import Settings
from gatepost.policy.order import agent_settings, finding_names

HELPFUL = (
    "must be ",
    "is not a ",
    "is not an ",
    "is not accepted",
    "is no ",
    "such as",
    "stands below a name",
    "unknown setting",
    "names no ",
    "cannot be read",
)
"""Words of which every refusal has some: what would be right, or why it cannot be."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """A value that no setting takes, as the file has it; `but`: kinds of settings that do take it."""

    name: str
    text: str
    but: tuple[str, ...] = ()


WRONG = (
    Wrong("a table", "{ wrong = 1 }"),
    Wrong("a list in a list", "[[1]]"),
    Wrong("a date", "1979-05-27"),
    Wrong("a number that nothing can be", "-1e300"),
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
        path = table.path.strip("[]").replace("NAME", "x").replace("WHO", "y")
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
        path = table.path.strip("[]").replace("NAME", "x").replace("WHO", "y")
        for setting in table.settings:
            yield f"{path}.{setting.name}", setting.kind


@pytest.mark.threat("T02")
@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: w.name)
def test_what_a_setting_cannot_be_is_refused_in_its_line(wrong: Wrong) -> None:
    text, where = document(wrong.text)
    said: dict[str, ConfigurationError] = {}
    for error in refusals(text):
        said.setdefault(error.key.partition("[")[0], error)
        print(error)
    takes = {name for name, kind in kinds() if any(word in kind for word in wrong.but)}
    assert sorted(set(where) - set(said) - takes) == []
