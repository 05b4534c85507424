"""The crash run itself, short: the gateway keeps its promises, and the same run finds a gateway that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import uvloop
from crash.judge import Finding
from crash.report import text_of
from crash.run import Outcome, Plan, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def crashed(directory: Path, *, kills: int, liar: str = "") -> Outcome:
    plan = Plan(
        seed=11,
        kills=kills,
        directory=directory,
        background=False,
        empty_within_s=10.0 if liar else 90.0,
        arguments=("-m", "crash.mutants", liar) if liar else ("-m", "gatepost"),
    )
    return uvloop.run(run(plan))


@pytest.mark.threat("O01", "O12")
def test_every_promise_survives_kills(tmp_path: Path) -> None:
    outcome = crashed(tmp_path, kills=12)
    assert outcome.is_good, text_of(outcome)
    assert outcome.judgement.counts[Finding.OK] > 50
    assert outcome.evidence.settled


@pytest.mark.threat("O03")
def test_a_gateway_that_answers_before_its_commit_is_found_out(tmp_path: Path) -> None:
    outcome = crashed(tmp_path, kills=12, liar="early-acknowledgement")
    assert outcome.judgement.counts[Finding.LOST] > 0
