"""The agent dkim: what it notices about signatures, and that it refuses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import site, view

from gatepost.agents.dkim import Dkim
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dkim_replays import DkimReplays, SignatureUse
from gatepost.model.verdict import Stage, Tally


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


USED = DkimReplays(
    uses=(SignatureUse(key="sender.test s1 abc", recipients=98.0), SignatureUse(key="b.test s2 x"))
)


@pytest.mark.threat("J20")
@pytest.mark.parametrize(
    ("limit", "recipients", "marked", "counted"),
    [(0, 5, False, 0), (100, 2, False, 2), (100, 3, True, 2), (98, 1, True, 2)],
    ids=["nobody counts", "up to the limit", "one more", "a limit that was reached"],
)
def test_a_signature_that_reaches_too_many(limit: int, recipients: int, marked: bool, counted: int) -> None:
    agent = Dkim(settings(Dkim, {"replay-recipients": limit}), site())
    mail = view(Stage.END_OF_DATA, recipients=[f"r{n}@gate.test" for n in range(recipients)])
    verdict = ask(agent, mail, DkimResults(signatures=(signature(),)), USED)
    assert ("dkim-replayed" in [finding.name for finding in verdict.findings]) is marked
    tallies = [effect for effect in verdict.effects if isinstance(effect, Tally)]
    assert [tally.amounts for tally in tallies] == [(float(recipients),)] * counted
    assert bool(agent.wants) is bool(limit)


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
