"""Listed senders, in the return path and in From, for everybody or for one recipient; strangers in our own name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import ACCOUNT, STRANGER, Mailboxes, World, at_once, site, view

from gatepost.agents.sender_filter import SenderFilter
from gatepost.facts.author import read_author
from gatepost.facts.sender_status import SenderStatus, find_sender_status
from gatepost.model.session import Session
from gatepost.model.verdict import Action, HangUp, Stage

LISTS: dict[str, Any] = {
    "blocked-senders": ["eve@bad.test", "@evil.test", "@.worse.test", "promo*@shop.test"],
    "stamped-senders": ["@odd.test"],
    "exceptions": ["good@evil.test"],
}
OURS_EXCEPTED: dict[str, Any] = {"own-domain-senders": "block", "exceptions": ["bob@*.test"]}
OF_BOB: dict[str, Any] = {"recipients": {"Bob@gate.test": ["@news.test"], "@far.test": ["eve@bad.test"]}}


@dataclass(frozen=True)
class Case:
    name: str
    sender: str
    then: str
    given: dict[str, Any] = field(default_factory=lambda: LISTS)
    who: Session = STRANGER


MAIL = [
    Case("nobody's list", "ann@client.test", "pass"),
    Case("an address", "EVE@bad.test", "554 5.1.0"),
    Case("its neighbour", "adam@bad.test", "pass"),
    Case("a domain", "x@evil.test", "554 5.1.0"),
    Case("not below it", "x@sub.evil.test", "pass"),
    Case("a domain and all below it", "x@a.b.worse.test", "554 5.1.0"),
    Case("a wildcard", "promo-12@shop.test", "554 5.1.0"),
    Case("an exception", "good@evil.test", "pass"),
    Case("stamped", "x@odd.test", "pass listed-sender"),
    Case("a bounce", "", "pass"),
    Case("a bounce, refused", "", "554 5.1.0", {"null-sender": "block"}),
    Case("a bounce, stamped", "", "pass null-sender", {"null-sender": "stamp"}),
    Case("a stranger in our name", "bob@gate.test", "pass own-domain-sender", {}),
    Case("a stranger in the name of nobody of ours", "xyz@gate.test", "pass unknown-own-sender", {}),
    Case("in a relay domain of ours", "bob@relay.test", "pass", {}),
    Case("a stranger in our name, refused", "bob@gate.test", "554 5.1.0", {"own-domain-senders": "block"}),
    Case("accepted", "bob@gate.test", "pass", {"own-domain-senders": "accept", **LISTS}),
    Case("an exception of ours", "bob@gate.test", "pass", OURS_EXCEPTED),
    Case("an account of ours", "bob@gate.test", "pass", {"own-domain-senders": "block"}, ACCOUNT),
]  # fmt: skip


@pytest.mark.parametrize("case", MAIL, ids=lambda c: c.name)
def test_at_mail(case: Case) -> None:
    agent = SenderFilter(settings(SenderFilter, case.given), site())
    mail = view(Stage.MAIL, who=case.who, sender=case.sender)
    status = find_sender_status(mail, site(), Mailboxes())
    verdict = ask(agent, mail, status)
    assert " ".join((said(verdict), *(f.name for f in verdict.findings))) == case.then
    if verdict.findings or verdict.reply:
        assert verdict.reason


def test_a_directory_that_is_down_leaves_what_the_domain_says() -> None:
    agent = SenderFilter(settings(SenderFilter), site())
    verdict = ask(agent, view(Stage.MAIL, sender="xyz@gate.test"))
    assert [f.name for f in verdict.findings] == ["own-domain-sender"]


RCPT = [
    ("on the recipient's list", "x@news.test", "BOB@gate.test", "554 5.1.0"),
    ("and another recipient", "x@news.test", "ann@gate.test", "pass"),
    ("on the list of the domain", "eve@bad.test", "any@far.test", "554 5.1.0"),
    ("on nobody's", "x@client.test", "bob@gate.test", "pass"),
    ("a bounce is on no list", "", "bob@gate.test", "pass"),
]


@pytest.mark.parametrize(("name", "sender", "recipient", "then"), RCPT, ids=[row[0] for row in RCPT])
def test_at_rcpt(name: str, sender: str, recipient: str, then: str) -> None:
    agent = SenderFilter(settings(SenderFilter, OF_BOB), site())
    assert said(ask(agent, view(Stage.RCPT, sender=sender, recipient=recipient))) == then


FROM = [
    ("nobody's list", b"Ann <ann@client.test>", "pass", ()),
    ("blocked", b"Eve <eve@bad.test>", "554 5.1.0", None),
    ("blocked, without a name", b"eve@bad.test", "554 5.1.0", None),
    ("blocked, second of two", b"ann@client.test, Eve <eve@bad.test>", "554 5.1.0", None),
    ("a name that looks like an address", b'"eve@bad.test" <ann@client.test>', "pass", ()),
    ("a name with brackets in it", b'"<eve@bad.test>" <ann@client.test>', "pass", ()),
    ("folded", b"Eve\r\n <eve@bad.test>", "554 5.1.0", None),
    ("behind the address", b"<ann@client.test> x@evil.test", "554 5.1.0", None),
    ("behind the address, an exception", b"<good@evil.test> ann@client.test", "pass", ()),
    ("an encoded word for an address", b"=?utf-8?q?x=40evil=2Etest?=", "554 5.1.0", None),
    ("behind thirty others", b"ann@client.test," * 30 + b"x@evil.test", "554 5.1.0", None),
    ("an exception", b"good@evil.test", "pass", ()),
    ("on the list of one recipient", b"x@news.test", "554 5.1.0", ("bob@gate.test",)),
    ("stamped", b"x@odd.test", "pass", ()),
    ("no address", b"undisclosed", "pass", ()),
]


@pytest.mark.parametrize(("name", "author", "then", "about"), FROM, ids=[row[0] for row in FROM])
def test_in_from(name: str, author: bytes, then: str, about: tuple[str, ...] | None) -> None:
    agent = SenderFilter(settings(SenderFilter, {**LISTS, **OF_BOB}), site())
    head = b"From: " + author + b"\r\nSubject: x\r\n\r\n"
    mail = view(Stage.END_OF_HEADERS, recipients=("ann@gate.test", "bob@gate.test"), head=head)
    verdict = ask(agent, mail, read_author(head))
    assert said(verdict) == then
    if verdict.reply:
        assert (None if verdict.recipients is None else tuple(map(str, verdict.recipients))) == about
    assert [f.name for f in verdict.findings] == (["listed-author"] if name == "stamped" else [])


def test_the_connection_is_closed_when_you_say_so() -> None:
    agent = SenderFilter(settings(SenderFilter, {**LISTS, "hang-up": True}), site())
    assert ask(agent, view(Stage.MAIL, sender="eve@bad.test")).effects == (HangUp(),)


ACTIONS = [
    ("quarantined instead", "quarantine", Action.QUARANTINE),
    ("dropped on record", "discard", Action.DISCARD),
]


@pytest.mark.parametrize(("name", "action", "then"), ACTIONS, ids=[row[0] for row in ACTIONS])
def test_blocked_mail_may_be_kept_or_dropped(name: str, action: str, then: Action) -> None:
    agent = SenderFilter(settings(SenderFilter, {**LISTS, **OF_BOB, "action": action}), site())
    assert ask(agent, view(Stage.MAIL, sender="eve@bad.test")).action is then
    assert (
        ask(agent, view(Stage.RCPT, sender="x@news.test", recipient="bob@gate.test")).action is Action.REJECT
    )


@pytest.mark.parametrize(("name", "action", "then"), ACTIONS, ids=[row[0] for row in ACTIONS])
def test_so_may_what_one_recipient_does_not_want(name: str, action: str, then: Action) -> None:
    agent = SenderFilter(settings(SenderFilter, {**LISTS, **OF_BOB, "recipients-action": action}), site())
    assert ask(agent, view(Stage.MAIL, sender="eve@bad.test")).action is Action.REJECT
    assert ask(agent, view(Stage.RCPT, sender="x@news.test", recipient="bob@gate.test")).action is then
    head = b"From: x@news.test\r\n\r\n"
    mail = view(Stage.END_OF_HEADERS, recipients=("ann@gate.test", "bob@gate.test"), head=head)
    verdict = ask(agent, mail, read_author(head))
    assert (verdict.action, [str(r) for r in verdict.recipients or ()]) == (then, ["bob@gate.test"])


def test_dropping_in_silence_is_warned_of() -> None:
    table = settings(SenderFilter, {"recipients-action": "discard"})
    assert [name for name, _ in table.dangers()] == ["recipients-action"]


STAGES: list[tuple[str, dict[str, Any], set[Stage]]] = [
    ("out of the box", {}, {Stage.MAIL}),
    ("nothing to do", {"own-domain-senders": "accept"}, set()),
    ("lists", LISTS, {Stage.MAIL, Stage.END_OF_HEADERS}),
    ("lists for the return path only", {**LISTS, "check-author": False}, {Stage.MAIL}),
    ("a recipient's", {**OF_BOB, "own-domain-senders": "accept"}, {Stage.RCPT, Stage.END_OF_HEADERS}),
]


@pytest.mark.parametrize(("name", "given_settings", "stages"), STAGES, ids=[row[0] for row in STAGES])
def test_what_is_not_configured_is_not_asked(
    name: str, given_settings: dict[str, Any], stages: set[Stage]
) -> None:
    assert set(SenderFilter(settings(SenderFilter, given_settings), site()).needs) == stages


def test_the_policy_counts_a_stranger_in_our_name() -> None:
    hearing = World().hearing()
    disposition = at_once(hearing.ask(view(Stage.MAIL, sender="xyz@gate.test")))
    (verdict,) = disposition.verdicts
    assert verdict.findings[0].name == "unknown-own-sender"
    assert isinstance(verdict.because[0], SenderStatus)


WRONG: list[dict[str, Any]] = [
    {"blocked-senders": ["no address"]},
    {"stamped-senders": ["@"]},
    {"recipients": {"bob": ["@x.test"]}},
    {"recipients": {"bob@gate.test": ["x"]}},
    {"null-sender": "drop"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_mistakes_of_the_configuration(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(SenderFilter, wrong)
