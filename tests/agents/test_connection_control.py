"""Which clients may talk to us at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError
from tests.agents.asking import said, settings
from tests.policy.fakes import session, site, view

from gatepost.agents.connection_control import ConnectionControl
from gatepost.agents.sender_reputation import SenderReputation
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.model.known import Known, Unknown
from gatepost.model.verdict import Stage

CLIENT = "192.0.2.7"
NAMED = ReverseDns(address=CLIENT, names=("a.pool.test",), confirmed=("a.pool.test",))
ABROAD = ReverseDns(address=CLIENT, names=("a.xn--bcher-kva.test",), confirmed=("a.xn--bcher-kva.test",))
UNCONFIRMED = ReverseDns(address=CLIENT, names=("a.pool.test",))
UNANSWERED = ReverseDns(address=CLIENT, names=("a.pool.test",), unanswered=("a.pool.test",))
NAMELESS = ReverseDns(address=CLIENT)
SILENT = Unknown("reverse-dns", "no name server answers")
ONLY: dict[str, Any] = {"mode": "allow-only"}
POOL: dict[str, Any] = {"domains": ["pool.test"]}


@dataclass(frozen=True)
class Case:
    name: str
    given: dict[str, Any]
    then: str
    fact: ReverseDns | Unknown = NAMELESS
    client: str = field(default=CLIENT)


CASES = [
    Case("nothing configured", {}, "pass"),
    Case("all except an address", {"addresses": [CLIENT]}, "554 5.7.1"),
    Case("all except another address", {"addresses": ["192.0.2.8"]}, "pass"),
    Case("a network", {"addresses": ["192.0.2.0/24"]}, "554 5.7.1"),
    Case("the last of a range", {"addresses": ["192.0.2.5-192.0.2.7"]}, "554 5.7.1"),
    Case("behind a range", {"addresses": ["192.0.2.5-192.0.2.6"]}, "pass"),
    Case("IPv6", {"addresses": ["2001:db8::/32"]}, "554 5.7.1", client="2001:db8::1"),
    Case("allow only, listed", ONLY | {"addresses": [CLIENT]}, "pass"),
    Case("allow only, not listed", ONLY | {"addresses": ["192.0.2.8"]}, "554 5.7.1"),
    Case("allow only nobody", ONLY, "554 5.7.1"),
    Case("a domain, confirmed", POOL, "554 5.7.1", NAMED),
    Case("a domain, not confirmed", POOL, "pass", UNCONFIRMED),
    Case("no name", POOL, "pass", NAMELESS),
    Case("a name that only ends alike", {"domains": ["ool.test"]}, "pass", NAMED),
    Case("the host itself", {"domains": ["A.Pool.test."]}, "554 5.7.1", NAMED),
    Case("a domain beyond ASCII", {"domains": ["BÜCHER.test"]}, "554 5.7.1", ABROAD),
    Case("allow only a domain", ONLY | POOL, "pass", NAMED),
    Case("allow only a domain, forged name", ONLY | POOL, "554 5.7.1", UNCONFIRMED),
    Case("the DNS is silent", POOL, "421 4.7.1", SILENT),
    Case("the forward zone is silent", POOL, "421 4.7.1", UNANSWERED),
    Case("silent, but the address decides", POOL | ONLY | {"addresses": [CLIENT]}, "pass", SILENT),
    Case("silent and skipped", POOL | {"when-name-unknown": "skip"}, "pass", SILENT),
    Case("silent, skipped, allow only", POOL | ONLY | {"when-name-unknown": "skip"}, "554 5.7.1", SILENT),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.threat("M08")
def test_connection_control(case: Case) -> None:
    agent = ConnectionControl(settings(ConnectionControl, case.given), site())
    mail = view(Stage.CONNECT, who=session(client_ip=case.client))
    verdict = agent.examine(mail, Known({ReverseDns: case.fact}))
    assert said(verdict) == case.then


def test_names_are_asked_for_only_when_domains_are_listed() -> None:
    without = ConnectionControl(settings(ConnectionControl, {"addresses": [CLIENT]}), site())
    with_domains = ConnectionControl(settings(ConnectionControl, POOL), site())
    assert without.wants[Stage.CONNECT] == ()
    assert with_domains.wants[Stage.CONNECT] == (ReverseDns,)


@pytest.mark.threat("F37")
def test_host_bits_in_a_network_are_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ValidationError):
        settings(ConnectionControl, {"addresses": ["192.0.2.7/24"]})


@pytest.mark.threat("K07")
@pytest.mark.parametrize("domain", ["*.pool.test", "pool test", "", "."])
def test_a_domain_that_could_never_fit_is_a_mistake_of_the_configuration(domain: str) -> None:
    for agent, name in ((ConnectionControl, "domains"), (SenderReputation, "exempt-domains")):
        with pytest.raises(ValidationError, match="is no domain"):
            settings(agent, {name: [domain]})
