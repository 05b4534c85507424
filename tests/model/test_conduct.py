"""Sender reputation: what evidence comes to, and that every number is explained."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.conduct import Evidence, names_in, weigh


@dataclass(frozen=True)
class Case:
    name: str
    evidence: Evidence
    level: int | None
    helo_names: float = 1.0
    says: str = ""


CASES = [
    Case("nobody knows it", Evidence(), None),
    Case("19 mails are too few, all spam", Evidence(sessions=19, spam=19, recipients=19), None),
    Case("20 mails, all spam", Evidence(sessions=20, spam=20, recipients=20), 7, says="100% of 20 mails"),
    Case(
        "all spam, without a name",
        Evidence(sessions=50, spam=50, recipients=50, resolved=50, no_name=50),
        9,
        says="no name in reverse DNS",
    ),
    Case("good mail", Evidence(sessions=500, good=480, spam=20, recipients=600), 0),
    Case("a forwarder with a third of spam", Evidence(sessions=100, good=65, spam=35, recipients=100), 1),
    Case("a list with a few old addresses", Evidence(sessions=5, good=200, recipients=900, unknown=60), 0),
    Case(
        "a harvest without a mail",
        Evidence(sessions=1, unknown=400, resolved=1, no_name=1),
        6,
        says="recipients do not exist",
    ),
    Case("traps", Evidence(sessions=30, good=30, recipients=40, traps=5), 4, says="trap recipients"),
    Case(
        "our own name", Evidence(sessions=30, good=30, recipients=30, own_helo=30), 3, says="a name of ours"
    ),
    Case(
        "many names", Evidence(sessions=30, good=30, recipients=30), 2, helo_names=9, says="different names"
    ),
    Case(
        "somebody else's address",
        Evidence(sessions=30, good=30, recipients=30, false_literal=30),
        2,
        says="somebody else's address",
    ),
    Case("a bare name", Evidence(sessions=30, good=30, recipients=30, bare_helo=30), 1, says="without a dot"),
    Case(
        "relay attempts",
        Evidence(sessions=30, good=30, recipients=3, refused=100),
        2,
        says="for other reasons",
    ),
    Case(
        "authentication that fails",
        Evidence(sessions=30, good=30, recipients=30, auth_failed=30),
        2,
        says="failed SPF",
    ),
    Case(
        "authentication that passes weighs against spam",
        Evidence(sessions=30, spam=30, recipients=30, auth_passed=30),
        6,
        says="passed SPF",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_evidence_comes_to_a_level(case: Case) -> None:
    weighed = weigh(case.evidence, case.helo_names, minimum=20)
    assert weighed.level == case.level
    assert case.says in " ".join(map(str, weighed.reasons))


amounts = st.floats(0, 1e9)


@given(st.lists(amounts, min_size=15, max_size=15), st.floats(0, 16))
def test_any_evidence_has_a_level_and_its_reasons_add_up(values: list[float], names: float) -> None:
    weighed = weigh(Evidence(*values), names, minimum=0)
    assert weighed.level is not None
    assert 0 <= weighed.level <= 9
    total = sum(reason.points for reason in weighed.reasons)
    assert weighed.level == int(max(0.0, min(9.0, total)))


def test_names_fade() -> None:
    assert names_in((0.0, 1.0, 0.2, 5.0)) == 2
