"""The crash run itself, short: the gateway keeps its promises, and the same run finds a gateway that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import uvloop
from crash.judge import Finding
from crash.report import text_of
from crash.run import Outcome, Plan, run
from powercut.library import NoCompiler, build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def crashed(directory: Path, *, kills: int, liar: str = "") -> Outcome:
    plan = Plan(
        seed=11,
        kills=kills,
        directory=directory,
        background=False,
        empty_within_s=10.0 if liar else 90.0,
        arguments=("-m", "crash.mutants", liar) if liar else ("-m", "crash.moments"),
        library=library(directory),
    )
    return uvloop.run(run(plan))


def library(directory: Path) -> Path | None:
    try:
        return build(directory)
    except NoCompiler:
        return None


@pytest.mark.threat("O01", "O12", "O14", "L15")
def test_every_promise_survives_kills(tmp_path: Path) -> None:
    """One kill of each kind at least, six of them aimed at moments inside."""
    outcome = crashed(tmp_path, kills=14)
    assert outcome.is_good, text_of(outcome)
    if outcome.plan.library is not None:
        assert {moment: hits.total for moment, hits in outcome.hits.items()} == {
            "checkpoint": 1,
            "migration": 1,
            "recovery": 1,
            "failure notice": 1,
            "delay notice": 1,
            "success notice": 1,
        }
    assert outcome.judgement.counts[Finding.OK] > 50
    assert outcome.evidence.settled


@pytest.mark.threat("O03")
def test_a_gateway_that_answers_before_its_commit_is_found_out(tmp_path: Path) -> None:
    outcome = crashed(tmp_path, kills=12, liar="early-acknowledgement")
    assert outcome.judgement.counts[Finding.LOST] > 0
