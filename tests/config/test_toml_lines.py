"""The lines of a TOML text: every setting that tomllib finds is found, on the line it stands on."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.toml_lines import KeyPath, lines_of

EXAMPLE = '''# a comment with [brackets] and "quotes"
top = 1
"quoted key" = 2  # = not a key
'literal.key' = 3

[server]
hostname = "mx.example.com # no comment"
long = """
[not.a.table]
no = "setting"
""" # behind
literal = \'\'\'
a = 1
\'\'\'
after."dotted name".last = true

[ a . "b.c" ]
list = [ # comment ]
  "one", 'two',
  { x = 1, y = [
    2,
  ] },
]
date = 1979-05-27T07:32:00Z
quotes = """a "" b \\""" c"""
end = 5

[[fruit]]
name = "apple"
[[fruit.kind]]
name = "red"
[[fruit]]
name = "banana"
[fruit.size]
big = true
'''

LINES = {
    ("top",): 2,
    ("quoted key",): 3,
    ("literal.key",): 4,
    ("server",): 6,
    ("server", "hostname"): 7,
    ("server", "long"): 8,
    ("server", "literal"): 12,
    ("server", "after"): 15,
    ("server", "after", "dotted name", "last"): 15,
    ("a",): 17,
    ("a", "b.c"): 17,
    ("a", "b.c", "list"): 18,
    ("a", "b.c", "list", 0): 19,
    ("a", "b.c", "list", 1): 19,
    ("a", "b.c", "list", 2): 20,
    ("a", "b.c", "list", 2, "x"): 20,
    ("a", "b.c", "list", 2, "y"): 20,
    ("a", "b.c", "list", 2, "y", 0): 21,
    ("a", "b.c", "date"): 24,
    ("a", "b.c", "quotes"): 25,
    ("a", "b.c", "end"): 26,
    ("fruit",): 28,
    ("fruit", 0): 28,
    ("fruit", 0, "name"): 29,
    ("fruit", 0, "kind", 0, "name"): 31,
    ("fruit", 1): 32,
    ("fruit", 1, "name"): 33,
    ("fruit", 1, "size"): 34,
    ("fruit", 1, "size", "big"): 35,
}


def paths_of(value: object, above: KeyPath = ()) -> set[KeyPath]:
    """Every path in what tomllib read."""
    below: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        below = list(value.items())
    elif isinstance(value, list):
        below = list(enumerate(value))
    found = {(*above, name) for name, _ in below}
    return found.union(*(paths_of(item, (*above, name)) for name, item in below))


@pytest.mark.parametrize("path", LINES, ids=str)
def test_the_line_of(path: KeyPath) -> None:
    assert lines_of(EXAMPLE)[path] == LINES[path]


def test_the_example_is_complete() -> None:
    assert set(lines_of(EXAMPLE)) == paths_of(tomllib.loads(EXAMPLE))


def test_line_ends_of_windows_count_once() -> None:
    text = EXAMPLE.replace("\n", "\r\n")
    assert lines_of(text) == lines_of(EXAMPLE)


_names = st.text("ab-_1", min_size=1, max_size=4) | st.text(max_size=4).map(lambda t: t.replace("\x7f", ""))
_leaves = (
    st.booleans()
    | st.integers(-99, 99)
    | st.sampled_from(["", "x", "#", "[a]", 'q"q', "a\nb = 1", "'", "\\", '"""', "]", "}", ","])
    | st.floats(allow_nan=False, allow_infinity=False)
)
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)


def quoted(text: str) -> str:
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or c in '"\\' or ord(c) == 127 else c for c in text)
    return f'"{escaped}"'


def long_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r")
    return f'"""\n{escaped}"""'


class Writer:
    """Writes TOML in changing styles and remembers on which line it put everything."""

    def __init__(self, style: Any) -> None:
        self.text = ""
        self.lines: dict[KeyPath, int] = {}
        self._style = style

    def note(self, path: KeyPath) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def document(self, data: dict[str, Any]) -> None:
        for name, value in data.items():
            self.note((name,))
            if isinstance(value, dict):
                continue
            self.text += f"{quoted(name)} ="
            self.value(value, (name,))
            self.text += "  # a = 1\n"
        for name, value in data.items():
            if isinstance(value, dict):
                self.note((name,))
                self.text += f" [ {quoted(name)} ]\n\n"
                for key, inner in value.items():
                    self.note((name, key))
                    self.text += f"  {quoted(key)}= "
                    self.value(inner, (name, key))
                    self.text += "\n"

    def value(self, value: object, path: KeyPath, *, inline: bool = False) -> None:
        breaks = "\n# ]\n" if not inline and self._style(st.booleans()) else " "
        if isinstance(value, bool):
            self.text += str(value).lower()
        elif isinstance(value, str):
            is_long = not inline and value.isprintable() and self._style(st.booleans())
            self.text += long_quoted(value) if is_long else quoted(value)
        elif isinstance(value, list):
            self.text += "[" + breaks
            for number, item in enumerate(value):
                self.note((*path, number))
                self.value(item, (*path, number), inline=inline)
                self.text += "," + breaks
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{ "
            for number, (name, item) in enumerate(value.items()):
                self.text += ", " if number else ""
                self.note((*path, name))
                self.text += f"{quoted(name)} = "
                self.value(item, (*path, name), inline=True)
            self.text += " }"
        else:
            self.text += repr(value)


def without_surrogates(value: object) -> bool:
    try:
        repr(value).encode()
    except UnicodeEncodeError:
        return False
    return "\\ud" not in ascii(value)


@given(st.dictionaries(_names, _values, max_size=4).filter(without_surrogates), st.data())
def test_any_document_is_found_line_by_line(data: dict[str, Any], draw: st.DataObject) -> None:
    # Given a document in some style, and where everything was written
    writer = Writer(draw.draw)
    writer.document(data)
    assert tomllib.loads(writer.text) == data
    # Then every setting is found on its line, and nothing else is
    assert lines_of(writer.text) == writer.lines


@given(st.text("[]{}=,.\"'\\#\n ab1", max_size=60))
def test_any_text_ends(text: str) -> None:
    lines_of(text)


def test_a_long_text_takes_linear_time() -> None:
    for text in ('a = """' + '""' * 50_000, "a = " + '"\\' * 50_000, "[" * 50_000, "a." * 50_000 + "b = 1"):
        lines_of(text)
