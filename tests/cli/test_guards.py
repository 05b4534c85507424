"""gatepost reputation and gatepost greylist: what workers counted, shown and forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.control.mailroom import NOW

from gatepost.config.guard_settings import SenderReputation
from gatepost.facts.sender_reputation import ReputationBook
from gatepost.model.conduct import Evidence

IP = "198.51.100.7"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def spoil(terminal: Terminal) -> None:
    book = ReputationBook(terminal.shared, SenderReputation())
    book.add(IP, Evidence(sessions=4, spam=30, good=2, recipients=32, own_helo=4), "h.test", NOW)


def test_every_number_behind_a_level_is_shown(terminal: Terminal) -> None:
    spoil(terminal)
    said = terminal.type("reputation", "show", IP).output
    assert f"{IP} has level 9, that of {IP}: blocked (from 7)" in said
    assert "94% of 32 mails were spam" in said
    assert "+3.0 100% of 4 sessions used a name of ours" in said
    assert "198.51.100.0/24: level 9" in said
    assert "own-helo: 4.0" in said
    shown = json.loads(terminal.type("reputation", "show", IP, "--json").output)
    assert (shown["level"], shown["judged_by"], shown["counted"][0]["evidence"]["spam"]) == (9, IP, 30)


def test_a_stranger_has_no_level(terminal: Terminal) -> None:
    assert "has no level: 20 mails" in terminal.type("reputation", "show", "2001:db8::1").output


def test_reset_forgets_the_address(terminal: Terminal) -> None:
    spoil(terminal)
    assert terminal.type("reputation", "reset", IP).output == f"{IP} begins anew\n"
    again = terminal.type("reputation", "reset", IP)
    assert (again.exit_code, "nothing is known" in again.output) == (1, True)


def test_what_is_no_address_is_refused(terminal: Terminal) -> None:
    refused = terminal.type("reputation", "show", "example.com")
    assert (refused.exit_code, "is not an IP address" in refused.output) == (2, True)
