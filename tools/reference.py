"""Writes the pages of the manual that say what the code says: settings, commands, records, agents, threats.

python tools/reference.py            write them
python tools/reference.py --check    exit 1 and name the pages that are stale
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import msgspec

from gatepost.cli import build
from gatepost.cli.config import all_tables
from gatepost.cli.front import COMMANDS
from gatepost.config.reference import TableText
from gatepost.facts.gathering import Gathering, Sources
from gatepost.lab.trial import SITE
from gatepost.policy.order import FACTS, GATHERERS, rows
from gatepost.records.agent_log import AgentLogEntry, LoggedAction
from gatepost.records.counters import METRICS
from gatepost.records.tracking import Event, Source, Tracking

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MADE = "<!-- Made by tools/reference.py: change the code, then run it again. -->\n"


def pages() -> dict[Path, str]:
    """Every generated page and what must stand in it."""
    made = {
        "settings.md": settings_page(),
        "cli.md": cli_page(),
        "records.md": records_page(),
        "agents.md": agents_page(),
        "facts.md": facts_page(),
        "threats.md": threats_page(),
        "exchange.md": exchange_page(),
        "decisions/README.md": decisions_page(),
    }
    return {DOCS / name: MADE + text for name, text in made.items()}


def table(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    out = [f"| {' | '.join(heads)} |", f"|{'|'.join('---' for _ in heads)}|"]
    out += [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join(out) + "\n"


def code(text: str) -> str:
    """As code, when there is any."""
    return f"`{text}`" if text else ""


# -- settings -----------------------------------------------------------------------------------------


def settings_page() -> str:
    """Every setting by its table."""
    parts = [
        "# Settings\n",
        "The file is TOML; `--config` or `GATEPOST_CONFIG` names it, else it is `/etc/gatepost/gatepost.toml`. "
        "Durations are written `90s`, `5m`, `2h`, `4d`; sizes `512B`, `64KiB`, `36MiB`, `1GiB`; both in quotes. "
        "NAME in a table's name is chosen by you. A setting without a default must be given. "
        "[configuration.md](configuration.md) says how to begin, and what is checked.\n",
    ]
    parts += [_settings_table(one) for one in all_tables()]
    return "\n".join(parts)


def _settings_table(one: TableText) -> str:
    lines = [
        (
            f"`{s.name}`",
            s.kind,
            code(s.default) or "*must be given*",
            s.limits,
            s.text + (f"; for example `{s.example}`" if s.example else ""),
        )
        for s in one.settings
    ]
    heads = ("setting", "type", "default", "limits", "what it does")
    return f"## `{one.path}`\n\n{_sentence(one.text)}\n\n{table(heads, lines)}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- commands -----------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    """("gatepost queue list", the command), groups before what is in them."""
    group = build(None)  # type: ignore[arg-type]  # the world is asked when a command runs, not before
    yield "gatepost", group
    for name in COMMANDS:
        found = group.get_command(click.Context(group), name)
        assert found is not None
        yield from _below(f"gatepost {name}", found)


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _below(f"{path} {name}", command.commands[name])


def cli_page() -> str:
    """Every command with its options."""
    parts = [
        "# Commands\n",
        "Times are UTC. Texts in filters match whole, or with `*` as wildcard; case is ignored. What came from a "
        "peer is shown with control characters escaped. `--json` answers for programs.\n",
        table(
            ("exit status", "means"),
            (
                ("0", "done"),
                ("1", "not found, or the configuration is wrong"),
                ("2", "the command line makes no sense, or a question could not be asked: add `--yes`"),
                ("3", "disk, store or worker out of reach: the same command may work later"),
                ("4", "done for some mails and not for others; each of those is named"),
                ("70", "a bug of Gatepost"),
            ),
        ),
    ]
    parts += [_command(path, command) for path, command in commands()]
    return "\n".join(parts)


def _command(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    text = "\n\n".join(" ".join(block.split()) for block in (command.help or "").split("\n\n"))
    options = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        and "--help" not in parameter.opts
        and (record := parameter.get_help_record(context))
    ]
    listed = (
        table(("option", "what it does"), [(f"`{name}`", help_) for name, help_ in options])
        if options
        else ""
    )
    return f"## `{path}`\n\n`{path} {usage}`\n\n{text}\n\n{listed}"


# -- records ------------------------------------------------------------------------------------------


def records_page() -> str:
    """What the gateway writes down: tracking, agent log, metrics."""
    metrics = [(f"`{m.name}`", m.kind.value, ", ".join(m.labels), m.help) for m in METRICS]
    return "\n".join(
        (
            "# Records\n",
            "[tracking.md](tracking.md) explains them. `gatepost track` and `gatepost agent-log` show them; "
            "how long they are kept is said in `[records]`.\n",
            "## Message tracking\n",
            "Events: " + ", ".join(f"`{event.value}`" for event in Event) + ".\n",
            "Sources: " + ", ".join(f"`{source.value}`" for source in Source) + ".\n",
            _fields(Tracking),
            "## Agent log\n",
            "Actions: " + ", ".join(f"`{action.value}`" for action in LoggedAction) + ".\n",
            _fields(AgentLogEntry),
            "## Metrics\n",
            "At `metrics.listen`, path `/metrics`, each name with `gatepost_` before it.\n",
            table(("metric", "kind", "labels", "means"), metrics),
        )
    )


def _fields(struct: type[msgspec.Struct]) -> str:
    names = ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(struct))
    return f"Fields, in the order of the columns: {names}.\n"


# -- agents -------------------------------------------------------------------------------------------


def agents_page() -> str:
    """The agents in their order, and what they can notice."""
    found = rows()
    lines = [
        (
            f"[{row.name}](agents/{row.name}.md)",
            ", ".join(stage.value for stage in row.stages),
            "yes" if row.is_filter else "no",
            row.when_unknown.name.lower(),
            row.means,
        )
        for row in found
    ]
    findings = [(f"`{f.name}`", f"{f.points:g}", row.name, f.means) for row in found for f in row.findings]
    return "\n".join(
        (
            "# Agents\n",
            "In the order in which they are asked at each stage. A filter is not asked about clients with the right "
            "`bypass-filters`. When a fact that an agent needs cannot be found out, the mail passes it or is deferred. "
            "[policy.md](policy.md) says what becomes of their opinions.\n",
            table(("agent", "stages", "filter", "when unknown", "what it does"), lines),
            "## Findings\n",
            "`[policy.points]` gives a finding other points.\n",
            table(("finding", "points", "agent", "means"), findings),
        )
    )


# -- facts --------------------------------------------------------------------------------------------


def facts_page() -> str:
    """What agents may be told: each fact with its fields."""
    parts = [
        "# Facts\n",
        "What is found out about a mail, once for all agents, and only when an agent that is asked needs it. "
        "`scope`: how long it stays known. `from`: the first stage at which it can be known. `waits`: it asks the "
        "DNS, a directory or a next hop. `origin`: it is about the address that filters judge "
        "([origin.md](origin.md)). What could not be found out is **unknown**, with the reason, and never an "
        "empty answer. `gatepost explain` shows the facts of a mail; [writing-agents.md](writing-agents.md) says "
        "how an agent of yours is told them: `known[Helo]`, and `known.of(mail.recipient.address, RecipientStatus)` "
        "for one about a recipient.\n",
    ]
    ways = gatherings()
    marks = [
        (
            f"[{kind.name}](#{kind.name})",
            way.scope.value,
            way.earliest.value,
            _mark(way.waits),
            _mark(way.of_origin),
        )
        for kind in FACTS
        if (way := ways.get(kind)) is not None
    ]
    parts.append(table(("fact", "scope", "from", "waits", "origin"), marks))
    parts += [_fact(kind) for kind in FACTS]
    return "\n".join(parts)


def gatherings() -> dict[type[Any], Gathering]:
    """How each of our facts is found out. Nothing is asked: the ports are there and never used."""
    nobody: Any = None
    sources = Sources(site=SITE, resolver=nobody, directory=nobody)
    made = [gatherer(sources) for gatherer in GATHERERS]
    return {way.fact: way for way in made}


def _mark(is_so: bool) -> str:
    return "x" if is_so else ""


def _fact(kind: type[Any]) -> str:
    said = attribute_texts(kind)
    lines = [
        (f"`{name}`", f"`{_type_text(text)}`", said.get(name, ""))
        for name, text in inspect.get_annotations(kind).items()
        if "ClassVar" not in str(text)
    ]
    paragraphs = [" ".join(block.split()) for block in inspect.cleandoc(kind.__doc__ or "").split("\n\n")]
    text = "\n\n".join(paragraphs)
    return (
        f"## {kind.name}\n\n`from {kind.__module__} import {kind.__name__}`\n\n{text}\n\n"
        f"{table(('field', 'type', 'means'), lines)}"
    )


def _type_text(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def attribute_texts(kind: type[Any]) -> dict[str, str]:
    """The texts that stand below the fields of a class."""
    (body,) = (
        node.body
        for node in ast.parse(Path(inspect.getfile(kind)).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


# -- Exchange -----------------------------------------------------------------------------------------


def exchange_page() -> str:
    """Exchange's words and ours."""
    sys.path.append(str(ROOT))  # started as a file, its neighbours are not found otherwise
    from tools import exchange

    settings = exchange.setting_names()
    parts = [
        "# For people who know Exchange\n",
        "What Exchange calls a thing, from the SMTP virtual server of 2003 to the Edge Transport of 2019, and "
        "what it is called here. `-` means that there is none, and why. Settings are explained in "
        "[settings.md](settings.md), commands in [cli.md](cli.md).\n",
    ]
    for section in exchange.sections():
        heads = ("Exchange", "Gatepost", "note")
        intro = f"{section.intro}\n" if section.intro else ""
        parts += [f"## {section.title}\n", intro, table(heads, list(exchange.lines_of(section, settings)))]
    lines = [(r.situation, f"`{r.exchange}`", f"`{r.ours}`") for r in exchange.replies()]
    parts += ["## Replies\n", table(("situation", "Exchange's code", "ours"), lines)]
    return "\n".join(part for part in parts if part)


# -- decisions ----------------------------------------------------------------------------------------


def decisions_page() -> str:
    """What was decided, by number and title."""
    titles = [
        (path.name, re.sub(r"^# (\d+):?", r"\1", path.read_text(encoding="utf-8").split("\n", 1)[0]))
        for path in sorted((DOCS / "decisions").glob("[0-9]*.md"))
    ]
    return (
        "# Decisions\n\nWhere there was a choice that could be argued about: context, decision, consequences. "
        "A later one may change an earlier one, and says so.\n\n"
        + "".join(f"- [{title}]({name})\n" for name, title in titles)
    )


# -- threats ------------------------------------------------------------------------------------------


def threats_page() -> str:
    """Row of the threat catalogue -> the tests that show it."""
    shown: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for row, test in marked(path.read_text(encoding="utf-8")):
            shown.setdefault(row, set()).add(f"`{path.relative_to(ROOT)}` {test}".strip())
    for path in sorted((ROOT / "tests" / "dialogs").glob("*.txt")):
        for line in re.findall(r"^# threat: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            for row in line.split():
                shown.setdefault(row, set()).add(f"`{path.relative_to(ROOT)}`")
    lines = [(row, "<br>".join(sorted(shown[row]))) for row in sorted(shown)]
    return "\n".join(
        (
            "# Threats\n",
            f"{len(lines)} rows of the threat catalogue are shown by tests; the marker is `@pytest.mark.threat`.\n",
            table(("row", "tests"), lines),
        )
    )


def marked(source: str) -> Iterator[tuple[str, str]]:
    """(row, name of the test or class; "" for a whole module or a table's row) for each mark in a file of tests."""
    tree = ast.parse(source)
    named: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            for mark in ast.walk(decorator):
                if id(mark) not in named:
                    yield from ((row, node.name) for row in _rows(mark))
                    named.add(id(mark))
    for mark in ast.walk(tree):
        if id(mark) not in named:
            yield from ((row, "") for row in _rows(mark))


def _rows(node: ast.AST) -> Iterator[str]:
    is_mark = (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "threat"
    )
    if isinstance(node, ast.Call) and is_mark:
        yield from (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or say which are stale."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run python tools/reference.py")
        return 1 if stale else 0
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    print(f"{len(stale)} pages written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
