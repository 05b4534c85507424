"""What a client calls itself: each kind of wrong name is worth a few points, and none is refused unasked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.asking import settings
from tests.policy.fakes import Names, session, site, view

from gatepost.agents.helo_check import HeloCheck
from gatepost.facts.helo import HeloAddresses, HeloForm, find_helo, find_helo_addresses, helo_form
from gatepost.facts.reverse_dns import ReverseDns, iprev_result
from gatepost.model.fault import WorldFault
from gatepost.model.known import Known, Unknown
from gatepost.model.verdict import Stage

CLIENT = "192.0.2.7"
LOOK_UP: dict[str, Any] = {"look-up": True}
DNS = Names(
    hosts={"client.test": [CLIENT, "192.0.2.8"], "other.test": ["192.0.2.9"]}, silent=frozenset({"late.test"})
)


@dataclass(frozen=True)
class Case:
    name: str
    helo: str
    then: str
    """A finding, a reply, or ""."""
    given: dict[str, Any] = field(default_factory=dict)
    client: str = CLIENT


CASES = [
    Case("a host name", "client.test", ""),
    Case("a host name with a final dot", "client.test.", ""),
    Case("a name that leads back", "client.test", "", LOOK_UP),
    Case("a name that leads elsewhere", "other.test", "helo-not-leading-back", LOOK_UP),
    Case("a name without address", "gone.test", "helo-unresolvable", LOOK_UP),
    Case("a name without address that nobody asks about", "gone.test", ""),
    Case("a name nobody knows about now", "late.test", "", LOOK_UP),
    Case("a name of ours", "MX.Gate.Test", "helo-own-name"),
    Case("a name of ours, refused", "mx.gate.test", "550", {"refuse-own-name": True}),
    Case("a name of ours that leads elsewhere", "mx.gate.test", "helo-own-name", LOOK_UP),
    Case("one label", "localhost", "helo-not-qualified"),
    Case("its own address as literal", "[192.0.2.7]", "helo-literal"),
    Case("another address as literal", "[192.0.2.8]", "helo-wrong-literal"),
    Case("an IPv6 literal", "[IPv6:2001:DB8::7]", "helo-literal", client="2001:db8::7"),
    Case("an IPv6 literal written otherwise", "[ipv6:2001:db8:0:0::7]", "helo-literal", client="2001:db8::7"),
    Case("an IPv6 literal without its tag", "[2001:db8::7]", "helo-no-name", client="2001:db8::7"),
    Case("IPv4 with the tag of IPv6", "[IPv6:192.0.2.7]", "helo-no-name"),
    Case("a bare address", "192.0.2.7", "helo-no-name"),
    Case("a bare IPv6 address", "2001:db8::7", "helo-no-name", client="2001:db8::7"),
    Case("no name at all", "hello world", "helo-no-name"),
    Case("control characters", "a\x1b[31m.test", "helo-no-name"),
    Case("a relay of ours that did not say", "", ""),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_what_is_thought_of_a_name(case: Case) -> None:
    mail = view(Stage.MAIL, who=session(helo=case.helo, client_ip=case.client))
    agent = HeloCheck(settings(HeloCheck, case.given), site())
    facts: dict[type[Any], Any] = {type(fact): fact for fact in [find_helo(mail, site().own_names)]}
    if agent.wants[Stage.MAIL]:
        facts[HeloAddresses] = asyncio.run(looked_up(mail))
    verdict = agent.examine(mail, Known(facts))
    said = str(verdict.reply.code) if verdict.reply else "".join(found.name for found in verdict.findings)
    assert said == case.then
    assert verdict.reason.isprintable()
    assert bool(verdict.because) is bool(case.then)


async def looked_up(mail: Any) -> HeloAddresses | Unknown:
    try:
        return await find_helo_addresses(mail, DNS, timeout_s=1)
    except WorldFault as fault:
        return Unknown("helo-addresses", fault.reason)


def test_every_finding_is_tried_above() -> None:
    assert {found.name for found in HeloCheck.findings} <= {case.then for case in CASES}


@given(st.text(max_size=300))
def test_any_word_is_of_some_form(helo: str) -> None:
    assert helo_form(helo, CLIENT) in HeloForm


@pytest.mark.parametrize(
    ("fact", "then"),
    [
        (ReverseDns(address=CLIENT, names=("a.test",), confirmed=("a.test",)), "pass"),
        (ReverseDns(address=CLIENT, names=("a.test",)), "fail"),
        (ReverseDns(address=CLIENT), "permerror"),
        (ReverseDns(address=CLIENT, names=("a.test",), unanswered=("a.test",)), "temperror"),
        (None, "temperror"),
    ],
)
def test_what_authentication_results_say_of_the_address(fact: ReverseDns | None, then: str) -> None:
    assert iprev_result(fact) == then
