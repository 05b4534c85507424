"""Mail that goes round in circles."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.agents.asking import ask, said
from tests.policy.fakes import site, view

from gatepost.agents.loop_detection import LoopDetection
from gatepost.config.agent_table import AgentTable
from gatepost.facts.received_trace import ReceivedTrace
from gatepost.model.verdict import Stage


@dataclass(frozen=True)
class Case:
    name: str
    received: int
    then: str
    own: int = 0
    delivered_to: tuple[str, ...] = ()
    local_hop_count: int = 3


CASES = [
    Case("fresh", 0, "pass"),
    Case("L01 at the limit", 100, "pass"),
    Case("L01 one past it", 101, "554 5.4.6"),
    Case("L03 passed us three times", 6, "pass", own=3),
    Case("L03 and once more", 8, "554 5.4.6", own=4),
    Case("L03 not checked", 8, "pass", own=4, local_hop_count=0),
    Case("L03 delivered three times", 8, "pass", delivered_to=("bob@gate.test",) * 3),
    Case("L03 delivered four times", 8, "554 5.4.6", delivered_to=("bob@gate.test",) * 4),
    Case("delivered to somebody else", 8, "pass", delivered_to=("ann@gate.test",) * 9),
    Case("delivered, not checked", 8, "pass", delivered_to=("bob@gate.test",) * 9, local_hop_count=0),
]


@pytest.mark.threat("L01", "L03")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_loop_detection(case: Case) -> None:
    agent = LoopDetection(AgentTable(), site(local_hop_count=case.local_hop_count))
    trace = ReceivedTrace(received=case.received, own=case.own, delivered_to=case.delivered_to)
    mail = view(Stage.END_OF_HEADERS, recipients=("Bob@gate.test", "eve@gate.test"))
    verdict = ask(agent, mail, trace)
    assert said(verdict) == case.then
    if verdict.reply and case.delivered_to:
        assert verdict.recipients is not None
        assert [str(a) for a in verdict.recipients] == ["Bob@gate.test"]
