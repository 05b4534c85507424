"""Records as log files of Exchange: what a spreadsheet or a script for those reads."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.records.test_records import ABOUT, AT, MAIL, NEXT, SESSION

from gatepost.model.queued import KeepRecords, StoredRecord
from gatepost.model.verdict import Action, Disposition, Stage, Verdict
from gatepost.records import agent_log, tracking


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_tracking_as_csv(terminal: Terminal) -> None:
    # Given two records of a mail, and one that is damaged
    damaged = StoredRecord(kind="track", at=AT + 1, event="SEND", mail_id=MAIL.mail_id, data=b"{")
    kept = (
        tracking.dropped(MAIL, MAIL.recipients, at=AT, agent="agent", reason="=cmd()"),
        tracking.sent(MAIL, MAIL.recipients, at=AT + 2, hostname="mx", peer=NEXT, reply="250 2.0.0 OK"),
        damaged,
    )
    terminal.workers[0].store.commit([KeepRecords(records=kept)])
    # When
    said = terminal.type("track", "--csv")
    # Then the oldest comes first, under Exchange's names, and nothing is a formula
    head, rows = said.output.split("\n")[:5], list(csv.reader(io.StringIO(said.output)))[5:]
    assert head[2] == "#Log-Type: Message Tracking Log"
    names = head[4].removeprefix("#Fields: ").split(",")
    assert [row[names.index("event-id")] for row in rows] == ["DROP", "SEND"]
    assert all(len(row) == len(names) for row in rows)
    assert not any(value.startswith("=") for row in rows for value in row)


def test_the_agent_log_as_csv_has_what_the_filters_left(terminal: Terminal) -> None:
    said = [Verdict(agent=name, action=Action.TAG, reason="smells") for name in ("one", "other")]
    opinions = Disposition(action=Action.TAG, verdicts=tuple(said))
    kept = agent_log.entries(SESSION, Stage.END_OF_DATA, opinions, at=AT, about=ABOUT)
    terminal.workers[0].store.commit([KeepRecords(records=kept)])
    lines = terminal.type("agent-log", "--csv", "--agent", "other").output.splitlines()
    assert lines[2] == "#Log-Type: Agent Log"
    column = lines[4].removeprefix("#Fields: ").split(",").index("Agent")
    assert {row[column] for row in csv.reader(lines[5:])} == {"other"}


def test_nothing_as_csv_is_a_log_without_lines(terminal: Terminal) -> None:
    said = terminal.type("track", "--csv", "--sender", "nobody@example.com")
    assert said.exit_code == 1
    assert [line for line in said.output.splitlines() if not line.startswith("#")] == []
