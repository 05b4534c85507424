"""gatepost plug-ins: what was switched off, and switching it on again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.control.mailroom import NOW
from tests.policy.fakes import Lines

from gatepost.adapters.counters import MemoryCounters
from gatepost.cli.plug_ins import plug_in_json, plug_in_lines
from gatepost.config.scan_settings import Faults
from gatepost.control.commands import PlugInOff, WorkerStatus
from gatepost.policy.fuses import Fuses

pytestmark = pytest.mark.threat("P03")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def fail(terminal: Terminal, *plug_ins: str, cool_down: str = "0s") -> None:
    fuses = Fuses(
        Faults.model_validate({"limit": 1, "cool-down": cool_down}),
        shared=terminal.shared,
        log=Lines(),
        counters=MemoryCounters(),
        now=lambda: NOW,
        monotonic=lambda: 0.0,
    )
    for plug_in in plug_ins:
        fuses.fault(plug_in, "ValueError\x1b[31m")


def test_what_is_off_is_listed_and_resumed(terminal: Terminal) -> None:
    assert terminal.type("plug-ins", "list").output == "nothing is switched off\n"
    fail(terminal, "agent words", "fact words", "fact mood")
    said = terminal.type("plug-ins", "list").output
    assert "agent words" in said
    assert "it is resumed" in said
    assert "\x1b" not in said
    listed = json.loads(terminal.type("plug-ins", "list", "--json").output)
    assert [(one["plug_in"], one["faults"], one["until"]) for one in listed] == [
        ("agent words", 1, None),
        ("fact mood", 1, None),
        ("fact words", 1, None),
    ]
    assert terminal.type("plug-ins", "resume", "fact mood").output == "fact mood: asked again\n"
    # By its name alone: whatever is called so
    done = terminal.type("plug-ins", "resume", "words")
    assert done.output == "agent words: asked again\nfact words: asked again\n"
    assert json.loads(terminal.type("plug-ins", "list", "--json").output) == []


def test_what_is_not_off_cannot_be_resumed(terminal: Terminal) -> None:
    fail(terminal, "agent words", cool_down="5m")
    done = terminal.type("plug-ins", "resume", "mood")
    assert done.exit_code == 1
    assert "is not switched off (what is: agent words)" in done.output
    (listed,) = json.loads(terminal.type("plug-ins", "list", "--json").output)
    assert listed["until"] == NOW + 300


def test_the_status_names_each_once() -> None:
    off = PlugInOff("agent words", NOW, 10, "ValueError", NOW + 300)
    for_good = PlugInOff("fact mood", NOW, 10, "ValueError")
    workers = [
        WorkerStatus(worker=n, process_id=1, started_at=NOW, revision="", plug_ins_off=(for_good, off))
        for n in range(2)
    ]
    first, second = plug_in_lines(workers)
    assert first.startswith("agent words is switched off after 10 faults (ValueError), until 20")
    assert second.endswith("until `gatepost plug-ins resume` or a reload")
    assert [one["plug_in"] for one in plug_in_json(workers)] == ["agent words", "fact mood"]
