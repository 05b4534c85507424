"""The agent that refuses clients with a bad level, and whom it spares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import session, site, view

from gatepost.agents.sender_reputation import SenderReputation
from gatepost.facts.ip_lists import IpListing
from gatepost.facts.sender_reputation import Reputation
from gatepost.model.verdict import BlockClient, HangUp, Stage

IP = "192.0.2.7"
REASONS = ("+7.5 100% of 20 mails were spam",)


def of_level(level: int, **more: Any) -> Reputation:
    return Reputation(address=IP, level=level, judged_by=IP, reasons=REASONS, **more)


@dataclass(frozen=True)
class Case:
    name: str
    found: Reputation
    expected: str
    given: dict[str, Any] = field(default_factory=dict)
    says: str = ""
    allowed_by: str = ""


CASES = [
    Case("nobody knows it", Reputation(address=IP), "pass"),
    Case("below the threshold", of_level(6), "pass"),
    Case("at the threshold", of_level(7), "550 5.7.1", says="level 7 of 192.0.2.7"),
    Case("a threshold of one's own", of_level(5), "550 5.7.1", {"block-at": 5}),
    Case("never", of_level(9), "pass", {"block-at": 10}),
    Case("only observed", of_level(9), "pass", {"block-for": "0s"}, "level 9"),
    Case("an exempt network", of_level(9), "pass", {"exempt-networks": ["192.0.2.0/24"]}, "exempt-networks"),
    Case("the allow list", of_level(9), "pass", says="allow list", allowed_by="192.0.2.0/24"),
    Case("a large provider", of_level(9, names=("mail-1.google.com",)), "pass", says="exempt-domains"),
    Case("a name that only looks like one", of_level(9, names=("mail.notgoogle.com",)), "550 5.7.1"),
    Case("the DNS does not say whose it is", of_level(9, names_unknown=True), "pass", says="DNS"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a_level_is_judged(case: Case) -> None:
    agent = SenderReputation(settings(SenderReputation, case.given), site())
    verdict = ask(agent, view(Stage.MAIL), case.found, IpListing(address=IP, allowed_by=case.allowed_by))
    assert said(verdict) == case.expected
    assert case.says in verdict.reason


def test_a_refusal_blocks_the_source_with_its_reasons_and_hangs_up() -> None:
    agent = SenderReputation(settings(SenderReputation, {"block-for": "2h"}), site())
    verdict = ask(
        agent, view(Stage.MAIL, who=session(client_ip="2001:db8::7")), of_level(9), IpListing(address=IP)
    )
    block, hang_up = verdict.effects
    assert isinstance(block, BlockClient)
    assert (block.network, block.for_s, block.author) == ("2001:db8::/64", 7200.0, "sender-reputation")
    assert REASONS[0] in block.why
    assert hang_up == HangUp()
    assert verdict.because == (of_level(9),)


def test_a_relay_of_ours_is_not_hung_up_on_for_the_origin_it_brought() -> None:
    agent = SenderReputation(settings(SenderReputation), site())
    behind = session(client_ip="10.0.0.5", origin_ip=IP)
    verdict = ask(agent, view(Stage.END_OF_HEADERS, who=behind), of_level(9), IpListing(address=IP))
    (block,) = verdict.effects
    assert isinstance(block, BlockClient)
    assert block.network == IP
    assert said(verdict) == "550 5.7.1"


def test_what_is_only_observed_is_a_finding_without_points_of_its_own() -> None:
    """Or bad reputation would be spam, and spam worse reputation."""
    agent = SenderReputation(settings(SenderReputation, {"block-for": "0s"}), site())
    (found,) = ask(agent, view(Stage.MAIL), of_level(9), IpListing(address=IP)).findings
    assert (found.name, found.points) == ("poor-sender-reputation", 0.0)
