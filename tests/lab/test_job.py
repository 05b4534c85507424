"""`gatepost lab`: takes only directories of its own, and its table ends with every row as it must be."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepost.config.load import load
from gatepost.lab.configuration import MAILBOXES, Ports, configuration, recipients
from gatepost.lab.errands import ERRANDS
from gatepost.lab.job import place_for, prepared, run
from gatepost.policy.order import agent_settings


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose sockets have short names."""
    made = Path(tempfile.mkdtemp(prefix="gp-"))
    yield made
    shutil.rmtree(made)


@pytest.mark.slow  # `make run ARGS=--once` is the same, and CI runs it
def test_every_errand_ends_as_it_must(short_path: Path) -> None:
    # When the lab runs once, as `make run ARGS=--once` does
    done = subprocess.run(
        [sys.executable, "-m", "gatepost", "lab", "--once", "--directory", str(short_path)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    # Then
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ERRANDS)} of {len(ERRANDS)} as they must be" in done.stdout
    assert "WRONG" not in done.stdout


def test_its_configuration_is_one_without_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    (tmp_path / "recipients.txt").write_text(recipients(), "utf-8")
    file.write_text(
        configuration(tmp_path, Ports(smtp=2525, metrics=9925, dns=5353, mailboxes=2526, internet=2527))
    )
    loaded = load(str(file), agent_settings=agent_settings)
    assert [warning.key for warning in loaded.warnings] in ([], ["server.user"])
    assert len(recipients().splitlines()) == len(MAILBOXES) + 1


def test_a_directory_of_somebody_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "precious").touch()
    assert run(["--once", "--directory", str(tmp_path)]) == 2
    assert "was not made by gatepost lab" in capsys.readouterr().out.replace("\n", " ")
    assert (tmp_path / "state" / "precious").exists()


def test_what_a_lab_left_behind_is_removed(tmp_path: Path) -> None:
    directory = prepared(tmp_path / "lab")
    (directory / "state" / "worker-0").mkdir(parents=True)
    (directory / "gatepost.log").touch()
    (directory / "notes.txt").touch()
    prepared(directory)
    assert sorted(path.name for path in directory.iterdir()) == [".gatepost-lab", "notes.txt"]


def test_a_deep_folder_gets_a_lab_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.chdir(deep)
    place = place_for("")
    assert not place.is_relative_to(deep)
    place.rmdir()
    monkeypatch.chdir("/")
    assert place_for("") == Path("/.lab")
    assert place_for("here") == Path("/here")
