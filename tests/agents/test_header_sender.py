"""Whose names an account may put into From and Sender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import USER, session, site, view

from gatepost.agents.header_sender import HeaderSender
from gatepost.facts.account_addresses import AccountAddresses
from gatepost.facts.author import read_author
from gatepost.model.session import ClientKind, Rights
from gatepost.model.verdict import Stage, Verdict

GIVEN: dict[str, Any] = {
    "knows_accounts": True,
    "sender_addresses": {
        "ann": frozenset({"sales@gate.test"}),
        "list": frozenset({"*@lists.far.test"}),
    },
    "on_behalf_of": {"ann": frozenset({"boss@gate.test"})},
}


def judged(
    fields: str,
    user: str = "ann",
    *,
    rights: Rights = USER,
    table: dict[str, Any] | None = None,
    known: set[str] | None = None,
) -> Verdict:
    head = "".join(f"{line}\r\n" for line in fields.split("|")).encode() + b"\r\n"
    mail = view(
        Stage.END_OF_HEADERS,
        who=session(rights=rights, user=user, kind=ClientKind.AUTHENTICATED),
        sender="ann@gate.test",
        head=head,
    )
    agent = HeaderSender(settings(HeaderSender, table), site(**GIVEN))
    facts: list[object] = [read_author(head)]
    if known is not None:
        facts.append(AccountAddresses(user=user, keys=frozenset(known)))
    return ask(agent, mail, *facts)


@dataclass(frozen=True)
class Case:
    name: str
    fields: str
    then: str = "pass"
    user: str = "ann"
    rights: Rights = USER


NO = "550 5.7.1"
ANY, OWN = Rights.ANY_SENDER, Rights.OWN_DOMAIN_SENDER
CASES = [
    Case("as itself", "From: Ann <ann@gate.test>"),
    Case("in another case", "From: ANN@GATE.TEST"),
    Case("as an address it was given", "From: sales@gate.test"),
    Case("as any of a domain it was given", "From: a@lists.far.test", user="list"),
    Case("as somebody else", "From: boss@gate.test", NO),
    Case("as a stranger", "From: Ann <ann@gate.test.evil.test>", NO),
    Case("as two, one of them somebody else", "From: ann@gate.test, boss@gate.test", NO),
    Case("as two that are both its own", "From: ann@gate.test, sales@gate.test"),
    Case("in two fields", "From: ann@gate.test|From: ann@gate.test", NO),
    Case("in two fields, the second somebody else", "From: ann@gate.test|From: boss@gate.test", NO),
    Case("without an address", "From: undisclosed:;", NO),
    Case("without From", "Subject: x"),
    Case("itself as sender for the boss", "From: boss@gate.test|Sender: ann@gate.test"),
    Case("for the boss without saying who it is", "From: boss@gate.test", NO),
    Case("for the boss and a stranger", "From: boss@gate.test, x@far.test|Sender: ann@gate.test", NO),
    Case("another for the boss", "From: boss@gate.test|Sender: eve@gate.test", NO, "eve"),
    Case("somebody else as sender", "From: ann@gate.test|Sender: boss@gate.test", NO),
    Case("two senders", "From: ann@gate.test|Sender: ann@gate.test|Sender: ann@gate.test", NO),
    Case("nobody as sender", "From: ann@gate.test|Sender: nobody at all", NO),
    Case("who may use ours uses ours", "From: boss@gate.test", rights=USER | OWN),
    Case("and no others", "From: x@far.test", NO, rights=USER | OWN),
    Case("who may use any uses any", "From: x@client.test|From: y@gate.test", rights=USER | OWN | ANY),
    Case("nobody logged in", "From: boss@gate.test", user=""),
]


@pytest.mark.threat("E11")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_whom_an_account_may_name(case: Case) -> None:
    assert said(judged(case.fields, case.user, rights=case.rights)) == case.then


@pytest.mark.threat("E11")
def test_addresses_of_the_directory_are_the_accounts() -> None:
    assert said(judged("From: ann.smith@gate.test", known={"ann.smith@gate.test"})) == "pass"
    assert said(judged("From: ann.smith@gate.test", known={"bob@gate.test"})) == NO


def test_marked_it_is_on_record_only() -> None:
    verdict = judged("From: boss@gate.test", table={"action": "mark"})
    assert (said(verdict), verdict.findings[0].name) == ("pass", "not-own-from")
    assert verdict.reason == "From names boss@gate.test"


@pytest.mark.parametrize(
    ("wishes", "knows_accounts", "asked"),
    [({}, True, True), ({"action": "off"}, True, False), ({}, False, False)],
    ids=["where people log in", "switched off", "where nobody logs in"],
)
def test_where_it_is_asked(wishes: dict[str, Any], knows_accounts: bool, asked: bool) -> None:
    agent = HeaderSender(settings(HeaderSender, wishes), site(knows_accounts=knows_accounts))
    assert bool(agent.needs) == asked
