"""The simulation keeps its own promises: the same seed is the same run, and a healthy gateway passes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sim.mutants import MUTANTS, Mutant, find
from sim.run import run

ROOT = Path(__file__).resolve().parents[2]
PRINT_DIGESTS = "from sim.run import run\nfor seed in (15, 33): print(run(seed).digest)"


def digests(hash_seed: str) -> list[str]:
    """Of two runs in an interpreter of their own, which orders its sets in its own way."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS],
        env={"PYTHONPATH": f"{ROOT}/src:{ROOT}", "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_the_same_seed_is_the_same_run_byte_for_byte() -> None:
    first, again = run(13), run(13)
    assert first.lines == again.lines
    assert first.digest == again.digest
    assert first.digest != run(2).digest


@pytest.mark.threat("O01")
def test_a_seed_with_deaths_and_reloads_finds_nothing() -> None:
    result = run(6)
    assert result.findings == ()
    assert result.counts["deaths"] > 0
    assert result.counts["recipients delivered"] > 10


@pytest.mark.threat("O01", "O26")
def test_workers_come_and_go_and_their_stores_change_hands() -> None:
    result = run(14)
    assert result.findings == ()
    happened = ("deaths", "supervisors killed", "former workers", "log store-in-use", "reloads")
    assert [name for name in happened if not result.counts.get(name)] == []
    assert result.counts["recipients delivered"] > 10


@pytest.mark.slow
def test_a_run_is_the_same_in_every_interpreter() -> None:
    assert digests("1") == digests("2")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.threat("O01", "O12", "N01")
def test_many_seeds_find_nothing() -> None:
    found = {seed: result.findings for seed in range(1000, 1030) if (result := run(seed)).findings}
    assert found == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_wrong_line_is_found(mutant: Mutant) -> None:
    found = find(mutant)
    assert mutant.says in found, found


def test_every_planted_line_is_still_there() -> None:
    for mutant in MUTANTS:
        text = (ROOT / "src" / "gatepost" / mutant.file).read_text(encoding="utf-8")
        assert text.count(mutant.line + "\n") == 1, mutant.name
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 38
