"""The manual says what the code says: nothing without a page, nothing stale, nothing invented."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tools.reference import DOCS, ROOT, commands, marked, pages

from gatepost.cli.config import all_tables
from gatepost.cli.front import COMMANDS
from gatepost.config.errors import ConfigurationError, ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.policy.order import Row, agent_settings, finding_names, rows
from gatepost.records.counters import METRICS

MANUAL = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def test_generated_pages_are_fresh() -> None:
    stale = [
        path.name for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text
    ]
    assert stale == [], "run python tools/reference.py"


def test_every_setting_has_a_text() -> None:
    silent = [f"{table.path} {s.name}" for table in all_tables() for s in table.settings if len(s.text) < 8]
    assert silent == []


def test_every_table_has_a_text() -> None:
    assert [table.path for table in all_tables() if not table.text] == []


@pytest.mark.parametrize("row", rows(), ids=lambda r: r.name)
def test_every_agent_has_a_page_that_names_its_findings(row: Row) -> None:
    page = (DOCS / "agents" / f"{row.name}.md").read_text(encoding="utf-8")
    assert [f.name for f in row.findings if f"`{f.name}`" not in page] == []


def test_every_command_and_option_has_a_text() -> None:
    silent = [path for path, command in commands() if not command.help]
    silent += [
        f"{path} {option.opts[0]}"
        for path, command in commands()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []


def test_every_metric_has_a_text() -> None:
    assert [metric.name for metric in METRICS if not metric.help] == []


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """(file and line, text) of each block of this language in the manual."""
    for path in MANUAL:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}", match[1]


NOT_HERE = (
    "cannot be read",
    "is not a directory",
    "there is no account",
    "needs Python packages that are not installed",
)


EXAMPLES = [(place, text) for place, text in blocks("toml") if "[project" not in text]


@pytest.mark.parametrize(("place", "text"), EXAMPLES, ids=[place for place, _ in EXAMPLES])
def test_an_example_of_the_configuration_is_one(place: str, text: str, tmp_path: Path) -> None:
    """Files that an example names need not be there; a part of a file gets the [server] it needs."""
    shutil.copy(ROOT / "examples" / "subject_words.py", tmp_path)
    text = text.replace("/etc/gatepost/agents", str(tmp_path))
    whole = text if "[server]" in text else f'[server]\nhostname = "mx.example.com"\n{text}'
    assert [str(e) for e in mistakes(whole, place) if not any(known in e.message for known in NOT_HERE)] == []


def mistakes(text: str, place: str) -> tuple[ConfigurationError, ...]:
    try:
        load_text(text, file=place, agent_settings=agent_settings, finding_names=finding_names)
    except ConfigurationErrors as found:
        return found.errors
    return ()


def typed() -> Iterator[tuple[str, str]]:
    """(where, a command line) for each `$ ...` in the manual."""
    for place, text in blocks("console"):
        for line in text.splitlines():
            if line.startswith("$ "):
                for part in line[2:].split("#")[0].split("&&"):
                    yield place, part.strip()


@pytest.mark.parametrize(("place", "line"), list(typed()), ids=[f"{place} {line}" for place, line in typed()])
def test_a_documented_command_exists(place: str, line: str) -> None:
    words = shlex.split(line) if line.startswith("make ") else line.split()
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert {w for w in shlex.split(line)[1:] if "=" not in w} <= set(targets)
    elif words[0] == "gatepost":
        known = dict(commands())
        path = "gatepost"
        for word in words[1:]:
            path = f"{path} {word}" if f"{path} {word}" in known else path
        options = {o for c in ("gatepost", path) for p in known[c].params for o in p.opts}
        said = {w.split("=")[0] for w in words[1:] if w.startswith("--")}
        assert path != "gatepost" or said & {"--help"}, f"{line}: no such command"
        assert said <= options | {"--help"} or path == "gatepost lab"
        assert len(words) == 1 or any(name in words for name in COMMANDS) or "--help" in words


def links() -> Iterator[tuple[Path, str, str]]:
    """(page, where a link leads, the heading there) for each link within the repository."""
    for page in (*MANUAL, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for place, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
            yield page, place, heading


def headings(page: Path) -> set[str]:
    """As GitHub makes anchors of them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {place}#{heading}"
        for page, place, heading in links()
        if not (there := (page.parent / place) if place else page).exists()
        or (heading and there.suffix == ".md" and heading not in headings(there))
    ]
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {(page.parent / place).resolve() for page, place, _ in links() if page.name == "README.md"}
    assert [page.name for page in sorted((ROOT / "docs").glob("*.md")) if page not in linked] == []


def test_marks_are_found_wherever_they_stand() -> None:
    source = (
        "import pytest\npytestmark = pytest.mark.threat('Z01')\n"
        "@pytest.mark.threat('A01', 'A02')\ndef test_one(): ...\n"
        "class TestThem:\n    @pytest.mark.threat('B01')\n    async def test_two(self): ...\n"
        "ROWS = [pytest.param(1, marks=pytest.mark.threat('C01'))]\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.threat('D01'))])\ndef test_x(x): ...\n"
    )
    assert sorted(marked(source)) == [
        ("A01", "test_one"),
        ("A02", "test_one"),
        ("B01", "test_two"),
        ("C01", ""),
        ("D01", "test_x"),
        ("Z01", ""),
    ]
