"""When the file is broken, a worker stands still or a terminal is small: what can be known is still said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal, load_real
from tests.control.mailroom import NOW

from gatepost.cli.output import packed
from gatepost.control.commands import AnyCommand, AnyReply
from gatepost.control.gateway import Life, RefusedReload, Workers
from gatepost.model.fault import WorldFault
from gatepost.model.queued import KeepRecords, StoredRecord

HOSTILE = "\x1b]0;pwned\x07\x9b31m\u202eliame\x7f\r\n2026-01-01 SEND forged"
"""A title for the terminal, colours, writing turned round, a line of one's own."""


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    tmp_path.chmod(0o700)
    return Terminal(tmp_path)


def break_file(terminal: Terminal, *, runs: bool) -> None:
    """The file gets a mistake; a gateway that runs goes on with what it was."""
    if runs:
        terminal.in_force = load_real(str(terminal.file))
    terminal.configure("[nonsense]\n")


@pytest.mark.threat("T02")
def test_with_a_broken_file_status_shows_the_gateway_that_goes_on(terminal: Terminal) -> None:
    break_file(terminal, runs=True)
    done = terminal.type("status")
    assert "nonsense: unknown setting" in done.stderr
    assert "the file has 1 mistake; the running gateway goes on with revision" in done.stderr
    assert ("TAKES MAIL" in done.stdout, done.exit_code) == (True, 0)
    said = json.loads(terminal.type("status", "--json").stdout)
    assert (said["running"], len(said["mistakes"]), said["changed"]) == (True, 1, False)


@pytest.mark.parametrize(
    "words", [("queue", "list"), ("track",), ("agent-log",), ("dead", "list"), ("quarantine", "list")]
)
def test_with_a_broken_file_mail_can_still_be_looked_for(terminal: Terminal, words: tuple[str, ...]) -> None:
    break_file(terminal, runs=True)
    done = terminal.type(*words)
    assert "so does this command" in done.stderr
    assert done.stdout.startswith(("the queue", "no ", "there is no", "nothing is in"))


def test_with_a_broken_file_and_no_gateway_both_are_said(terminal: Terminal) -> None:
    break_file(terminal, runs=False)
    done = terminal.type("status")
    assert f"no gateway answers that was started with {terminal.file}" in done.stdout
    assert ("nonsense: unknown setting" in done.stderr, done.exit_code) == (True, 1)
    assert json.loads(terminal.type("status", "--json").stdout)["running"] is False


def test_a_check_for_programs_says_its_mistakes_as_json(terminal: Terminal) -> None:
    terminal.configure('[log]\nlevel = "loud"\n')
    done = terminal.type("config", "check", "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["ok"]) == (1, False)
    assert [(e["line"], e["key"], e["accepted"][0]) for e in said["errors"]] == [(7, "log.level", "debug")]


def test_a_worker_that_stands_still_does_not_hide_the_others(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(command: AnyCommand) -> AnyReply:
        raise WorldFault("no answer within 10 seconds")

    monkeypatch.setattr(terminal.workers[1], "ask", silent)
    for lives in ((), (Life(0, ready=True), Life(1, ready=True))):
        terminal.gateway_says = Workers(lives=lives)
        done = terminal.type("status")
        assert (done.exit_code, "worker 1 does not answer" in done.stdout) == (1, True)
        assert [line.split()[0] for line in done.stdout.splitlines()[1:2]] == ["0"]


def test_a_refused_reload_is_told_until_one_succeeds(terminal: Terminal) -> None:
    terminal.gateway_says = Workers(
        lives=(), refused=RefusedReload(NOW - 60, "g.toml:7: log.level: no (and 2 more)")
    )
    done = terminal.type("status")
    assert (
        "the reload at 2027-01-15T07:59:00Z was refused, and the older configuration goes on:" in done.stdout
    )
    assert "g.toml:7: log.level: no (and 2 more)" in done.stdout
    assert json.loads(terminal.type("status", "--json").stdout)["reload_refused"]["reason"].startswith(
        "g.toml:7"
    )


# -- text of strangers ------------------------------------------------------------------------------------


def record(event: str, fields: Mapping[str, object], kind: str = "track") -> StoredRecord:
    return StoredRecord(
        kind=kind,
        at=NOW - 60,
        event=event,
        mail_id=0,
        sender=HOSTILE,
        recipients=HOSTILE,
        message_id=HOSTILE,
        data=json.dumps(dict(fields)).encode(),
    )


@pytest.mark.threat("S02")
def test_no_text_of_a_stranger_moves_the_terminal(terminal: Terminal) -> None:
    everything = dict.fromkeys(
        ("custom-data", "source-context", "server-hostname", "client-ip", "reference", "connector-id"),
        HOSTILE,
    )
    events = ("RECEIVE", "SEND", "DEFER", "FAIL", "QUARANTINE", "DSN", "TRANSFER", "BADMAIL", "REMOVE", "X")
    records = [record(event, {**everything, "recipient-status": [HOSTILE]}) for event in events]
    objection = dict.fromkeys(
        ("RemoteEndpoint", "Agent", "Event", "Action", "P1FromAddress", "SmtpResponse", "Reason"), HOSTILE
    )
    records.append(record("RejectMessage", {**objection, "Recipient": [HOSTILE]}, "agent"))
    terminal.workers[0].store.commit([KeepRecords(records=tuple(records))])
    for words in (("track",), ("agent-log",), ("track", "--json"), ("agent-log", "--json")):
        done = terminal.type(*words)
        assert done.exit_code == 0
        assert all(c.isprintable() or c == "\n" for c in done.stdout), words
        assert "\u202e" not in done.stdout
        if "--json" not in words:
            assert not any(line.startswith("2026-01-01 SEND") for line in done.stdout.splitlines())


def test_what_a_record_says_stands_beside_it(terminal: Terminal) -> None:
    said = {
        "server-hostname": "mx.there.example",
        "recipient-status": ["550 5.1.1 Nobody"],
        "custom-data": "",
    }
    terminal.workers[0].store.commit([KeepRecords(records=(record("FAIL", said),))])
    assert "mx.there.example: 550 5.1.1 Nobody" in terminal.type("track").stdout


def test_who_looks_for_refused_mail_is_sent_to_the_agent_log(terminal: Terminal) -> None:
    entry = {"RemoteEndpoint": "[2001:db8::1]:4711", "NetworkMessageId": "1k3v8q0zt4w00"}
    terminal.workers[0].store.commit([KeepRecords(records=(record("RejectMessage", entry, "agent"),))])
    done = terminal.type("track", "--since", "1h")
    assert (done.exit_code, done.stdout) == (1, "no record fits\n")
    assert "`gatepost agent-log` with the same options" in done.stderr
    assert "1k3v8q0zt4w00" in terminal.type("agent-log", "--client-ip", "2001:db8::*").stdout
    assert terminal.type("agent-log", "--client-ip", "192.0.2.1").exit_code == 1


# -- the real command -------------------------------------------------------------------------------------


def run(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # our own command
        [sys.executable, "-m", "gatepost", *words],
        env={**os.environ, "GATEPOST_CONFIG": str(directory / "gatepost.toml"), **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_whoever_reads_only_the_first_lines_gets_no_complaint(tmp_path: Path) -> None:
    command = f"{sys.executable} -m gatepost config reference | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(  # our own command
        ["/bin/bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stderr, done.stdout.splitlines()[-1]) == ("", "0")


def test_a_terminal_of_another_alphabet_shows_what_it_can(terminal: Terminal) -> None:
    terminal.configure('[log]\nlevel = "größer żółty"\n')
    done = run(terminal.directory, "config", "check", PYTHONIOENCODING="iso-8859-1")
    assert (done.returncode, b"gr\xf6\xdfer \\u017c\xf3" in done.stderr) == (1, True), done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_no_empty_queue(terminal: Terminal) -> None:
    state = terminal.directory / "state"
    state.mkdir(mode=0o000)
    text = terminal.file.read_text().replace(f'"{terminal.directory}"', f'"{state}"')
    terminal.file.write_text(text)
    for words in (("queue", "list"), ("track",), ("status",)):
        done = run(terminal.directory, *words)
        assert (done.returncode, b"cannot be read: Permission denied" in done.stderr) == (3, True), words


@pytest.mark.parametrize("where", ["/dev/full", "&-"], ids=["a full disk", "nowhere"])
def test_an_answer_that_nobody_can_take_is_no_bug(where: str) -> None:
    command = f"{sys.executable} -m gatepost config reference >{where}; echo $? >&2"
    done = subprocess.run(  # our own command
        ["/bin/bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    said, status = done.stderr.splitlines()[:-1], done.stderr.splitlines()[-1]
    assert (status, "bug" in done.stderr, "Traceback" in done.stderr) == (
        "3" if where == "/dev/full" else "0",
        False,
        False,
    )
    assert bool(said) is (where == "/dev/full")


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_on_a_narrow_terminal_an_id_can_still_be_copied(columns: int) -> None:
    heads, cells = ("ID", "WHO", "REPLY", "MORE"), ("1k3v8q0zt4w00", "bob@example.org", "450 " + "x" * 60, "")
    lines = packed(heads, cells, columns)
    assert lines[0].startswith("1k3v8q0zt4w00")
    assert "MORE" not in "".join(lines)
    assert all(cell in "\n".join(lines) for cell in cells)
    assert all(len(line) <= max(columns, 72) for line in lines)
