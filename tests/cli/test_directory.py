"""gatepost directory: copies, their age, and what they say of an address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.test_real_store import typed


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "list").write_text("ann@ours.example\nbob@ours.example\nno address\n")
    (tmp_path / "gatepost.toml").write_text(
        f'[server]\nhostname = "mx.ours.example"\nstate-directory = "{tmp_path}/state"\n'
        '[accepted-domains."ours.example"]\n[dns]\nservers = ["127.0.0.1:1"]\ntimeout = "100ms"\n'
        f'[directories.office]\ntype = "file"\nfile = "{tmp_path}/list"\n'
        '[directories.hop]\ntype = "smtp"\n[directories.hop.call-forward]\nhost = "[127.0.0.1]:1"\n'
    )
    (tmp_path / "gatepost.toml").chmod(0o600)
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path


def test_a_directory_is_copied_listed_and_asked(place: Path) -> None:
    before = {row["name"]: row for row in json.loads(typed(place, "directory", "list", "--json").output)}
    assert (before["office"]["synced_at"], before["office"]["problem"]) == (0.0, "never synced")
    copied = typed(place, "directory", "sync", "office")
    assert copied.exit_code == 0
    assert copied.output == (
        "office: 2 recipients, 2 new, 0 gone\n1 values are no mail address and were skipped: no address\n"
    )
    assert "office  file" in typed(place, "directory", "list").output
    known = typed(place, "directory", "test", "Ann+x@ours.example")
    assert known.exit_code == 0
    assert known.output.splitlines()[1].split()[:2] == ["office", "listed"]
    unknown = typed(place, "directory", "test", "carl@ours.example", "--json")
    assert unknown.exit_code == 1
    answers = {row["directory"]: row for row in json.loads(unknown.output)}
    assert answers["office"]["answer"] == "not listed"
    assert answers["hop"]["answer"] == "unknown"
    assert "no connection to 127.0.0.1 port 1" in answers["hop"]["reason"]


def test_what_cannot_be_copied_says_why(place: Path) -> None:
    assert typed(place, "directory", "sync", "nowhere").exit_code == 1
    assert typed(place, "directory", "sync", "hop").exit_code == 1
    typed(place, "directory", "sync", "office")
    (place / "list").write_text("carl@ours.example\n")
    refused = typed(place, "directory", "sync", "office")
    assert refused.exit_code == 3
    assert "lacks 2 of 2 recipients, more than drop-percent = 50" in refused.output
    assert typed(place, "directory", "sync", "office", "--accept-loss").exit_code == 0


def test_what_is_no_address_is_not_asked_for(place: Path) -> None:
    refused = typed(place, "directory", "test", "no address")
    assert refused.exit_code == 2
    assert "'no address' is no mail address: " in refused.output
