"""Whatever stands in the file, the answer is a configuration or ConfigurationErrors."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.config.test_toml_lines import Writer

from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.config.reference import tables_of
from gatepost.config.settings import Settings

_TABLES = [table.path.strip("[]").split(".") for table in tables_of(Settings)]
_SETTINGS = [
    (table.path.strip("[]").split("."), s.name) for table in tables_of(Settings) for s in table.settings
]
_values = st.sampled_from(
    [
        True,
        0,
        -1,
        10**30,
        1.5,
        "",
        "x",
        "5m",
        "1KiB",
        "0.0.0.0:25",
        "10.0.0.1/8",
        "*;0",
        "[::1]:25",
        "a\x00b",
        [],
    ]
) | st.lists(st.sampled_from(["", "0.0.0.0:25", "[127.0.0.1]:25", "::/0", "*", 3]), max_size=2)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Real settings with values that may or may not fit."""
    data: dict[str, Any] = {"server": {"hostname": "mx.example.com"}}
    for path, name in draw(st.lists(st.sampled_from(_SETTINGS), max_size=6)):
        here = data
        for part in path:
            here = here.setdefault("x" if part == "NAME" else part, {})
        here[name] = draw(_values)
    return data


@pytest.mark.threat("T02")
@given(documents(), st.data())
def test_real_settings_with_any_value(data: dict[str, Any], draw: st.DataObject) -> None:
    writer = Writer(draw.draw)
    writer.document(data)
    with contextlib.suppress(ConfigurationErrors):
        load_text(writer.text, file="g.toml", agent_settings={}, finding_names=frozenset())


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    with contextlib.suppress(ConfigurationErrors):
        load_text(text, file="g.toml", agent_settings={})


@given(st.recursive(_values, lambda v: st.dictionaries(st.text(max_size=6), v, max_size=3), max_leaves=6))
def test_any_value_anywhere(value: object) -> None:
    text = Writer(lambda _: False)
    text.document(
        {"server": value, "agents": value, "policy": {"points": value}, "receive-connectors": {"a": value}}
    )
    with contextlib.suppress(ConfigurationErrors, UnicodeEncodeError):
        load_text(text.text, file="g.toml", agent_settings={})


@pytest.mark.parametrize(
    "text", ["a = 1" + "0" * 5000, "a = 0000-99-99", "a = 9999-99-99T99:99:99Z", "\x00", "="]
)
def test_values_that_toml_cannot_hold(text: str) -> None:
    with pytest.raises(ConfigurationErrors):
        load_text(text, file="g.toml", agent_settings={})


@pytest.mark.parametrize("text", ["a." * 5_000 + "b = 1", "[" + "a." * 5_000 + "b]"], ids=["key", "table"])
def test_depth_is_bounded(text: str) -> None:
    with pytest.raises(ConfigurationErrors, match="nested too deeply"):
        load_text(text, file="g.toml", agent_settings={})
