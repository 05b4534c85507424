"""gatepost list: what is typed, what is on the lists then, and what files they come from and go to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.control.mailroom import NOW

from gatepost.control.list_files import Line, decoded, kind_of, parse_entries
from gatepost.facts.provider_desk import ProviderAnswer
from gatepost.model.list_answer import Judged
from gatepost.ports.lists import NEVER


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_an_entry_comes_is_seen_and_goes(terminal: Terminal) -> None:
    assert terminal.type("list", "show").output == "no entry\n"
    added = terminal.type("list", "add", "block", "192.0.2.0/24", "--for", "2d", "--comment", "spam run")
    assert (added.exit_code, added.output.split(" until")[0]) == (0, "192.0.2.0/24: on the block list")
    assert (
        terminal.type("list", "add", "allow", "2001:db8::/48").output == "2001:db8::/48: on the allow list\n"
    )
    (entry,) = json.loads(terminal.type("list", "show", "block", "--json").output)
    assert (entry["network"], entry["comment"], entry["by_person"]) == ("192.0.2.0/24", "spam run", True)
    assert entry["expires_at"] == NOW + 2 * 86400
    assert "spam run" in terminal.type("list", "test", "192.0.2.9").output
    assert terminal.type("list", "test", "192.0.3.9").exit_code == 1
    assert terminal.type("list", "show", "--machine").output == "no entry\n"
    assert terminal.type("list", "remove", "block", "192.0.2.0/24").exit_code == 0
    assert terminal.type("list", "remove", "block", "192.0.2.0/24").exit_code == 1


def test_a_state_directory_that_lists_make_is_closed_to_others(terminal: Terminal) -> None:
    text = terminal.file.read_text().replace(f'"{terminal.directory}"', f'"{terminal.directory}/state"')
    terminal.file.write_text(text)
    before = os.umask(0o022)
    try:
        assert terminal.type("list", "add", "block", "192.0.2.1").exit_code == 0
    finally:
        os.umask(before)
    state = terminal.directory / "state"
    assert [path.stat().st_mode & 0o777 for path in (state, state / "shared")] == [0o700, 0o700]
    assert (state / "shared" / "state.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "words",
    [
        ("add", "grey", "192.0.2.1"),
        ("add", "block", "192.0.2.1/24"),
        ("add", "block", "0.0.0.0/0"),
        ("add", "block", "192.0.2.1", "--for", "soon"),
        ("add", "block", "192.0.2.1", "--for", "2d", "--until", "2030-01-01"),
        ("add", "block", "192.0.2.1", "--until", "2d"),
        ("remove", "block", "x"),
        ("test", "x"),
    ],
)
def test_what_makes_no_sense_is_refused(terminal: Terminal, words: tuple[str, ...]) -> None:
    assert terminal.type("list", *words).exit_code == 2


EXCHANGE = (
    "#TYPE Microsoft.Exchange.Data.Transport.IPBlockListEntry\n"
    '"Identity","IPRange","ExpirationTime","Comment","IsMachineGenerated","HasExpired"\n'
    '"1","192.0.2.1","12/31/9999 11:59:59 PM","a, b","False","False"\n'
    '"2","192.0.2.0/24","12/31/2099 11:59:59 PM","","True","False"\n'
    '"3","198.51.100.0(255.255.255.0)","31.12.9999 23:59:59","","False","False"\n'
    '"4","203.0.113.1-203.0.113.9","1/1/2001 1:00:00 AM","","False","True"\n'
    '"5","","","","False","False"\n'
)


@dataclass(frozen=True)
class FileCase:
    name: str
    data: bytes
    kind: str
    entries: tuple[tuple[str, str], ...]
    """Network and comment."""
    problems: int = 0


FILES = (
    FileCase("text", b"192.0.2.1\n# x\n\n192.0.2.0/24 # why\n", "text", (("192.0.2.1", ""), ("192.0.2.0/24", "why"))),
    FileCase("CSV of ours", b"network,expires,comment\n192.0.2.1,,x\n", "csv", (("192.0.2.1", "x"),)),
    FileCase("CSV with semicolons", b"IP;Comment\n192.0.2.1;x\n", "csv", (("192.0.2.1", "x"),)),
    FileCase("JSON", b'[{"network": "::1", "comment": "x"}, "::2", 3]', "json", (("::1", "x"), ("::2", "")), 1),
    FileCase(
        "Exchange in UTF-16",
        EXCHANGE.encode("utf-16"),
        "csv",
        (("192.0.2.1", "a, b"), ("192.0.2.0/24", ""), ("198.51.100.0/24", "")),
        2,
    ),
    FileCase("a time nobody writes", b"network,expires\n192.0.2.1,tomorrow\n", "csv", (), 1),
    FileCase("nothing", b"", "text", ()),
)  # fmt: skip


@pytest.mark.parametrize("case", FILES, ids=lambda c: c.name)
def test_files_are_read(case: FileCase) -> None:
    text = decoded(case.data)
    kind = kind_of(text)
    assert kind == case.kind
    lines = list(parse_entries(text, kind))
    assert tuple((x.network, x.comment) for x in lines if isinstance(x, Line)) == case.entries
    assert sum(isinstance(x, tuple) for x in lines) == case.problems


def test_times_of_exchange_are_read() -> None:
    lines = [line for line in parse_entries(EXCHANGE, "csv") if isinstance(line, Line)]
    assert [line.expires_at for line in lines] == [NEVER, 4102444799.0, NEVER]


@pytest.mark.parametrize(
    ("text", "kind"), [("a,b\n1,2\n", "csv"), ("[", "json"), ("3", "json"), ("[" * 5000, "json")]
)
def test_what_is_another_kind_is_said(terminal: Terminal, text: str, kind: str) -> None:
    file = terminal.directory / "list"
    file.write_text(text)
    done = terminal.type("list", "import", "block", str(file), "--format", kind)
    assert done.exit_code == 2, done.output


@pytest.mark.parametrize("kind", ["text", "csv", "json"])
def test_what_is_exported_can_be_imported(terminal: Terminal, kind: str) -> None:
    terminal.type("list", "add", "block", "192.0.2.0/24", "--comment", "=cmd|x")
    terminal.type("list", "add", "block", "2001:db8::1-2001:db8::9", "--until", "2099-01-01")
    exported = terminal.type("list", "export", "block", "--format", kind)
    assert exported.exit_code == 0
    file = terminal.directory / "exported"
    file.write_text(exported.output)
    assert terminal.type("list", "import", "allow", str(file), "--dry-run").exit_code == 0
    assert terminal.type("list", "show", "allow").output == "no entry\n"
    done = terminal.type("list", "import", "allow", str(file))
    assert (done.exit_code, done.output) == (0, "2 entries are on the allow list\n")
    shown = json.loads(terminal.type("list", "show", "allow", "--json").output)
    assert [e["network"] for e in shown] == ["192.0.2.0/24", "2001:db8::1-2001:db8::9"]
    if kind != "text":
        assert shown[1]["expires_at"] == 4070908800.0


def test_lines_that_are_none_are_named_and_the_others_taken(terminal: Terminal) -> None:
    file = terminal.directory / "list"
    file.write_bytes(EXCHANGE.encode("utf-16"))
    done = terminal.type("list", "import", "block", str(file))
    assert done.exit_code == 4
    assert "3 entries are on the block list" in done.output
    assert "line 6: has expired" in done.output


def test_providers_are_tried(terminal: Terminal) -> None:
    assert terminal.type("test", "blocklist", "192.0.2.1").output == "there is no provider\n"
    terminal.configure('[block-list-providers.a]\nzone = "bl.test"\n')
    listed = ProviderAnswer(
        provider="a",
        kind="block",
        zone="bl.test",
        judged=Judged(codes=("127.0.0.2",)),
        text="why",
        elapsed_s=0.012,
    )
    silent = ProviderAnswer(provider="a", kind="block", zone="bl.test", problem="no name server answers")
    clear = ProviderAnswer(provider="a", kind="block", zone="bl.test", judged=Judged(ignored=("127.0.0.9",)))
    for answer, status, words in (
        (listed, 0, "why"),
        (silent, 3, "no name server"),
        (clear, 1, "(127.0.0.9)"),
    ):
        terminal.providers_say = (answer,)
        done = terminal.type("test", "blocklist", "192.0.2.1", "--provider", "a")
        assert (done.exit_code, words in done.output) == (status, True), done.output
    assert json.loads(terminal.type("test", "blocklist", "::1", "--json").output)[0]["ignored"] == [
        "127.0.0.9"
    ]
    for wrong in (("x",), ("192.0.2.1", "--provider", "b"), (), ("192.0.2.1", "--domain", "b.test")):
        assert terminal.type("test", "blocklist", *wrong).exit_code == 2


def test_lists_of_domains_are_tried(terminal: Terminal) -> None:
    terminal.configure('[domain-list-providers.d]\nzone = "dbl.test"\n')
    listed = ProviderAnswer(
        provider="d", kind="domain", zone="dbl.test", judged=Judged(codes=("127.0.1.2",)), subject="bad.test"
    )
    terminal.providers_say = (listed,)
    done = terminal.type("test", "blocklist", "--domain", "Www.Bad.test", "--provider", "d")
    assert done.exit_code == 0
    assert done.output.splitlines()[1].split()[:4] == ["d", "bad.test", "dbl.test", "listed"]
    for wrong in ("localhost", "192.0.2.1", "a b"):
        assert terminal.type("test", "blocklist", "--domain", wrong).exit_code == 2


def test_status_says_how_providers_answer(terminal: Terminal) -> None:
    terminal.configure('[block-list-providers.a]\nzone = "bl.test"\n[list-feeds.f]\nfile = "/nowhere"\n')
    labels = (("provider", "a"),)
    for worker in terminal.workers:
        worker.samples = (
            ("list_questions", (*labels, ("outcome", "listed")), 1.0),
            ("list_questions", (*labels, ("outcome", "clear")), 2.0),
            ("list_questions", (*labels, ("outcome", "failed")), 1.0),
            ("list_questions", (*labels, ("outcome", "not-asked")), 5.0),
            ("list_seconds", labels, 0.1),
            ("list_provider_distrusted", labels, 1.0),
            ("list_feed_failed", (("feed", "f"),), 1.0),
        )
    said = terminal.type("status").output
    line = "list provider a: 8 questions, 33.3 % listed, 25 ms each, 2 without an answer, 10 not asked while it rested"
    assert line in said
    assert "list provider a lists everybody" in said
    assert "list feed f cannot be fetched" in said
