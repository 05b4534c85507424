"""The agent dkim: what it notices about signatures, and that it refuses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import site, view

from gatepost.agents.dkim import Dkim
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.model.verdict import Stage


def signature(result: str = "pass", **wishes: Any) -> DkimSignature:
    given = {
        "domain": "sender.test",
        "algorithm": "rsa-sha256",
        "key_bits": 2048,
        "covers_whole_body": result == "pass",
    }
    return DkimSignature(result=result, **{**given, **wishes})


@dataclass(frozen=True)
class Case:
    name: str
    given: tuple[DkimSignature, ...] = ()
    then: tuple[str, ...] = ()
    left_out: int = 0


CASES = [
    Case("no signature"),
    Case("a good one", (signature(),)),
    Case("a good one beside a bad one", (signature("fail"), signature())),
    Case("a bad one", (signature("fail", reason="the body was changed"),), ("dkim-invalid",)),
    Case("one that nobody can read", (signature("permerror"),), ("dkim-invalid",)),
    Case("a bad one of a domain in testing", (signature("fail", testing=True),), ("dkim-testing",)),
    Case("a key that could not be looked up", (signature("temperror"),), ("dkim-unsettled",)),
    Case("a part", (signature(covers_whole_body=False),), ("dkim-partial",)),
    Case("a short key", (signature(key_bits=1024),), ("dkim-weak-key",)),
    Case("Ed25519 is short and strong", (signature(algorithm="ed25519-sha256", key_bits=256),)),
    Case("too many", (signature(),), ("dkim-many-signatures",), left_out=1),
]


@pytest.mark.threat("J14", "J15", "J22")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_what_is_noticed(case: Case) -> None:
    agent = Dkim(settings(Dkim), site())
    verdict = ask(agent, view(Stage.END_OF_DATA), DkimResults(signatures=case.given, left_out=case.left_out))
    assert said(verdict) == "pass"
    assert tuple(finding.name for finding in verdict.findings) == case.then
    assert bool(verdict.because) == bool(case.then)
