"""The night: every part is run, whatever the others come to, and one that fails makes the whole fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ["crash", "powercut", "powercut", "iofaults", "sim", "fuzz", "mutate"]


@pytest.mark.parametrize("failing", ["", "crash", "iofaults", "mutate"])
def test_every_part_is_run_and_each_counts(tmp_path: Path, failing: str) -> None:
    make, notes = tmp_path / "make", tmp_path / "notes"
    make.write_text(f'#!/bin/sh\necho "$@" >>"{notes}"\n[ "$1" != "{failing}" ]\n')
    make.chmod(0o755)
    done = subprocess.run(
        [ROOT / "tools" / "nightly.sh"],
        env={**os.environ, "MAKE": str(make), "NIGHT_KILLS": "7", "NIGHT_MUTANTS": "9"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = notes.read_text().splitlines()
    assert [line.split()[0] for line in said] == PARTS
    assert said[0].split()[1] == "KILLS=7"
    assert said[-1] == "mutate ARGS=--sample 9"
    assert (done.returncode == 1, "FAILED" in done.stdout) == (bool(failing), bool(failing)), done.stdout
    assert ("everything held" in done.stdout) == (not failing)
