"""Sender ID: what is stamped, what is refused, and who is left alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import ValidationError
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import session, site, view
from tests.standards.zones import texts

from gatepost.agents.sender_id import SenderId
from gatepost.config.spf_settings import Spf
from gatepost.facts.sender_id import SenderIdResult, find_sender_id
from gatepost.facts.spf import UNCHECKED, SpfChecks
from gatepost.model.verdict import Action, AddHeader, RemoveHeader, Stage, Verdict

FACT = SenderIdResult(
    result="fail",
    reason="not-permitted",
    pra="ann@client.test",
    domain="client.test",
    field="from",
    ip="192.0.2.7",
    term="-all",
    record_domain="client.test",
)
TWO = ("bob@gate.test", "eve@gate.test")


def judge(fact: SenderIdResult, **wishes: Any) -> Verdict:
    return ask(SenderId(settings(SenderId, wishes), site()), view(Stage.END_OF_HEADERS, recipients=TWO), fact)


@dataclass(frozen=True)
class Case:
    name: str
    fact: dict[str, Any]
    said: str
    stamp: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


REJECT, DELETE = {"on-fail": "reject"}, {"on-fail": "delete"}
CASES = [
    Case("a fail is stamped", {}, "pass", "Fail (not-permitted); domain=client.test"),
    Case("a fail is refused", {}, "550 5.7.1", "Fail (not-permitted); domain=client.test", REJECT),
    Case("a fail is dropped", {}, "discard", "Fail (not-permitted); domain=client.test", DELETE),
    Case("no PRA is a fail", {"reason": "no-pra", "domain": "", "pra": ""}, "550 5.7.1", "Fail (no-pra)", REJECT),
    Case("a softfail is only stamped", {"result": "softfail", "reason": ""}, "pass",
         "SoftFail; domain=client.test", REJECT),
    Case("a permerror is only stamped", {"result": "permerror", "reason": ""}, "pass",
         "PermError; domain=client.test", DELETE),
    Case("a temperror is only stamped", {"result": "temperror", "reason": ""}, "pass",
         "TempError; domain=client.test", REJECT),
    Case("a temperror may wait", {"result": "temperror", "reason": ""}, "450 4.4.3", "TempError; domain=client.test",
         {"on-temperror": "defer"}),
    Case("a pass is stamped", {"result": "pass", "reason": ""}, "pass", "Pass; domain=client.test"),
    Case("an unchecked client is not", {"result": "none", "reason": "", "problem": UNCHECKED}, "pass"),
    Case("a bypassed domain", {}, "pass", "", {**REJECT, "bypassed-sender-domains": ["client.test"]}),
    Case("all recipients bypassed", {}, "pass", "", {**REJECT, "bypassed-recipients": list(TWO)}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_results(case: Case) -> None:
    verdict = judge(replace(FACT, **case.fact), **case.settings)
    assert said(verdict) == case.said
    assert [edit.value for edit in verdict.edits if isinstance(edit, AddHeader)] == (
        [case.stamp] if case.stamp else []
    )


def test_the_words_of_the_refusals() -> None:
    assert str(judge(FACT, **REJECT).reply) == "550 5.7.1 Sender ID (PRA) Not Permitted"
    no_pra = judge(replace(FACT, reason="no-pra"), **REJECT)
    assert str(no_pra.reply) == "550 5.7.1 Missing purported responsible address"


def test_one_bypassed_recipient_gets_what_the_other_does_not() -> None:
    verdict = judge(FACT, **REJECT, **{"bypassed-recipients": ["BOB@gate.test"]})
    assert verdict.action is Action.REJECT
    assert [str(address) for address in verdict.recipients or ()] == ["eve@gate.test"]


def test_fields_for_an_exchange_server_replace_those_of_strangers() -> None:
    edits = judge(FACT, **{"exchange-fields": True}).edits
    assert edits[1:] == (
        RemoveHeader("X-MS-Exchange-Organization-SenderIdResult"),
        RemoveHeader("X-MS-Exchange-Organization-PRD"),
        AddHeader("X-MS-Exchange-Organization-SenderIdResult", "Fail"),
        AddHeader("X-MS-Exchange-Organization-PRD", "client.test"),
    )


def test_it_is_off_unless_switched_on() -> None:
    assert settings(SenderId).enabled is False


@pytest.mark.parametrize("wishes", [{"bypassed-recipients": ["bob"]}, {"bypassed-sender-domains": ["a b"]}])
def test_entries_that_are_none_are_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(SenderId, wishes)


# The fact

RECORDS = {"a.test": ["v=spf1 -all", "spf2.0/pra +all"], "b.test": "v=spf1 -all"}


@pytest.mark.parametrize(
    ("head", "result", "reason"),
    [
        (b"From: ann@a.test\r\n\r\n", "pass", ""),
        (b"From: ann@b.test\r\n\r\n", "fail", "not-permitted"),
        (b"From: ann@nowhere.test\r\n\r\n", "fail", "domain-does-not-exist"),
        (b"From: ann@localhost\r\n\r\n", "fail", "malformed-domain"),
        (b"Sender: ann@b.test\r\nFrom: ann@a.test\r\n\r\n", "fail", "not-permitted"),
        (b"To: ann@a.test\r\n\r\n", "fail", "no-pra"),
    ],
)
def test_the_responsible_address_is_checked_with_sender_ids_records(
    head: bytes, result: str, reason: str
) -> None:
    checks = SpfChecks(Spf(), texts(RECORDS), receiver="mx.gate.test", lookup_timeout_s=1)

    async def find() -> Any:
        found = find_sender_id(view(Stage.END_OF_HEADERS, head=head), checks)
        return found if isinstance(found, SenderIdResult) else await found

    found = asyncio.run(find())
    assert (found.result, found.reason) == (result, reason)


def test_a_client_on_this_machine_is_not_checked() -> None:
    checks = SpfChecks(Spf(), texts(RECORDS), receiver="mx.gate.test", lookup_timeout_s=1)
    found = find_sender_id(view(Stage.END_OF_HEADERS, who=session(client_ip="127.0.0.1")), checks)
    assert (found.result, found.problem) == ("none", UNCHECKED)
