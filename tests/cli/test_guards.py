"""gatepost reputation and gatepost greylist: what workers counted, shown and forgotten."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.control.mailroom import NOW

from gatepost.config.guard_settings import SenderReputation
from gatepost.facts.sender_reputation import ReputationBook
from gatepost.model.conduct import Evidence
from gatepost.model.greylist import ATTEMPTS_SPACE, NETWORKS_SPACE, STATISTICS_KEY, STATISTICS_SPACE, Attempt

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


def remember(terminal: Terminal, space: str, key: str, attempt: Attempt) -> None:
    terminal.shared.put(space, key, attempt.encode(), expires_at=NOW + 100)


def test_what_greylisting_remembers_is_listed_and_forgotten(terminal: Terminal) -> None:
    remember(terminal, ATTEMPTS_SPACE, "192.0.2.0/24 a.test bob@gate.test", Attempt(NOW - 50))
    remember(terminal, ATTEMPTS_SPACE, "198.51.100.0/24 b.test bob@gate.test", Attempt(NOW - 9, NOW - 5, 2))
    remember(terminal, NETWORKS_SPACE, "198.51.100.0/24", Attempt(passed_at=NOW - 5, passes=2))
    listed = json.loads(terminal.type("greylist", "show", "--json").output)
    assert [(one["key"].split()[1], one["passes"]) for one in listed] == [("b.test", 2), ("a.test", 0)]
    assert "a.test" in terminal.type("greylist", "show", "192.0.2").output
    assert "1 more" in terminal.type("greylist", "show", "--limit", "1").output
    assert "198.51.100.0/24" in terminal.type("greylist", "show", "--networks").output
    assert terminal.type("greylist", "remove", "198.51.100.0/24").output == "2 entries are forgotten\n"
    assert terminal.type("greylist", "remove", "198.51.100.0/24").exit_code == 1
    assert "nothing is remembered" in terminal.type("greylist", "show", "--networks").output


def test_what_greylisting_bought(terminal: Terminal) -> None:
    assert "0 attempts were put off" in terminal.type("greylist", "statistics").output
    terminal.shared.add(
        STATISTICS_SPACE,
        STATISTICS_KEY,
        (10.0, 1.0, 3.0, 40.0, 5.0, 6.0),
        fading=math.inf,
        now=NOW,
        expires_at=NOW + 1e6,
    )
    said = terminal.type("greylist", "statistics").output
    assert "10 attempts were put off; 3 of them came again" in said
    assert "7 (70%) have not come again" in said
    assert json.loads(terminal.type("greylist", "statistics", "--json").output)["kept_away"] == 7
