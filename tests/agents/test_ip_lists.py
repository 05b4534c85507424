"""The agent ip-lists, and what clients on the allow list are spared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.fakes import FakeClock
from tests.policy.fakes import session, site, view

from gatepost.adapters.address_lists import SharedAddressLists
from gatepost.agents.ip_lists import IpLists
from gatepost.facts.ip_lists import IpListing, find_ip_listing
from gatepost.model.verdict import SkipFilters, Stage, Verdict
from gatepost.ports.memory_shared import MemoryShared

IP = "192.0.2.7"
BLOCKED: dict[str, Any] = {"blocked_by": "192.0.2.0/24", "blocked_source": "ann", "blocked_comment": "spam"}
ALLOWED: dict[str, Any] = {"allowed_by": IP, "allowed_source": "ann"}


@dataclass(frozen=True)
class Case:
    name: str
    listing: dict[str, Any]
    stage: Stage
    said: str
    settings: dict[str, Any]
    text: str = ""


def case(name: str, listing: dict[str, Any], stage: Stage, said: str, text: str = "", **given: Any) -> Case:
    return Case(name, listing, stage, said, {k.replace("_", "-"): v for k, v in given.items()}, text)


CASES = (
    case("on no list", {}, Stage.RCPT, "pass"),
    case("blocked, at the greeting", BLOCKED, Stage.CONNECT, "pass"),
    case("blocked, at RCPT", BLOCKED, Stage.RCPT, "550 5.7.1", f"Your address {IP} is on a block list"),
    case(
        "blocked with words of one's own", BLOCKED, Stage.RCPT, "550 5.7.1", f"No {IP} no", reply="No {ip} no"
    ),
    case(
        "blocked by the machine", {**BLOCKED, "blocked_by_machine": True}, Stage.RCPT, "550 5.7.1", "too much"
    ),
    case("refused at the greeting", BLOCKED, Stage.CONNECT, "554 5.7.1", refuse_at="connect"),
    case("refused at the greeting, asked later", BLOCKED, Stage.RCPT, "pass", refuse_at="connect"),
    case("blocked and allowed", {**BLOCKED, **ALLOWED}, Stage.RCPT, "pass"),
    case("an exempt recipient", BLOCKED, Stage.RCPT, "pass", exempt_recipients=["bob@GATE.test"]),
    case("an exempt domain", BLOCKED, Stage.RCPT, "pass", exempt_recipients=["@gate.test"]),
    case(
        "another recipient is exempt", BLOCKED, Stage.RCPT, "550 5.7.1", exempt_recipients=["eve@gate.test"]
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_verdicts(case: Case) -> None:
    agent = IpLists(settings(IpLists, case.settings), site())
    recipient = "bob@gate.test" if case.stage is Stage.RCPT else None
    verdict = ask(agent, view(case.stage, recipient=recipient), IpListing(address=IP, **case.listing))
    assert said(verdict) == case.said
    assert case.text in str(verdict.reply)


def test_an_allowed_client_is_spared_what_the_settings_say() -> None:
    for skips, spared in (([], ()), (["exchange"], (SkipFilters(),))):
        agent = IpLists(settings(IpLists, {"allow-skips": skips}), site())
        verdict = ask(agent, view(Stage.CONNECT), IpListing(address=IP, **ALLOWED))
        assert verdict.effects == spared
        assert "allow list" in verdict.reason


@pytest.mark.parametrize(
    "given", [{"reply": "ä"}, {"reply": ""}, {"reply": "x" * 241}, {"exempt-recipients": ["@"]}]
)
def test_settings_that_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        settings(IpLists, given)


def test_the_fact_judges_the_origin_and_counts_the_hit() -> None:
    clock = FakeClock()
    lists = SharedAddressLists(MemoryShared(clock.now), clock.now)
    lists.add("block", "198.51.100.0/24", expires_at=math.inf, author="reputation", comment="bad")
    lists.add("allow", "198.51.100.9", expires_at=math.inf, author="ann", comment="", by_person=True)
    mail = view(Stage.CONNECT, who=session(origin_ip="198.51.100.1"))
    found = find_ip_listing(mail, lists)
    assert (found.blocked_by, found.blocked_source, found.blocked_by_machine) == (
        "198.51.100.0/24",
        "reputation",
        True,
    )
    find_ip_listing(view(Stage.CONNECT, who=session(origin_ip="198.51.100.9")), lists)
    assert [entry.hits for name in ("block", "allow") for entry in lists.entries(name)] == [1, 1]
    assert find_ip_listing(mail, None) == IpListing(address="198.51.100.1")


@pytest.mark.parametrize("refuse_at", ["rcpt", "connect"])
def test_behind_a_relay_the_origin_is_refused_at_the_end_of_the_headers(refuse_at: str) -> None:
    agent = IpLists(
        settings(IpLists, {"refuse-at": refuse_at, "exempt-recipients": ["eve@gate.test"]}), site()
    )

    def asked(*recipients: str, **listing: Any) -> Verdict:
        mail = view(Stage.END_OF_HEADERS, recipients=recipients)
        return ask(agent, mail, IpListing(address=IP, **listing))

    assert said(asked("bob@gate.test", **BLOCKED)) == "550 5.7.1"
    assert asked("bob@gate.test", **BLOCKED).recipients is None
    both = asked("bob@gate.test", "eve@gate.test", **BLOCKED)
    if refuse_at == "connect":  # where nobody is exempt
        assert both.recipients is None
    else:
        assert [str(address) for address in both.recipients or ()] == ["bob@gate.test"]
        assert asked("eve@gate.test", **BLOCKED).reply is None
    assert asked("bob@gate.test", **ALLOWED).effects == (SkipFilters(),)
