"""Recipients that do not exist, and recipients that get no mail from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import ACCOUNT, STRANGER, Mailboxes, session, site, view

from gatepost.agents.recipient_filter import RecipientFilter
from gatepost.facts.recipient_status import find_recipient_status
from gatepost.model.session import ClientKind, Session
from gatepost.model.verdict import DelayReply, Stage

BLOCK: dict[str, Any] = {"blocked-recipients": ["Eve@gate.test", "@far.test"]}


@dataclass(frozen=True)
class Case:
    name: str
    recipient: str
    then: str
    given: dict[str, Any] = field(default_factory=dict)
    who: Session = STRANGER


CASES = [
    Case("listed", "bob@gate.test", "pass"),
    Case("listed, other case", "BOB@gate.test", "pass"),
    Case("unknown", "nobody@gate.test", "550 5.1.1"),
    Case("unknown in a subdomain", "nobody@x.branch.test", "550 5.1.1"),
    Case("unknown in a relay domain of ours", "nobody@relay.test", "pass"),
    Case("unknown in a relay domain of others", "nobody@far.test", "pass"),
    Case("not ours is not our question", "nobody@foreign.test", "pass"),
    Case("F06 a percent is part of the name", "bob%x@gate.test", "550 5.1.1"),
    Case("F16 a bang is part of the name", "x!bob@gate.test", "550 5.1.1"),
    Case("F26 postmaster alone", "postmaster", "pass"),
    Case("F26 postmaster of ours", "Postmaster@gate.test", "pass"),
    Case("F26 postmaster of a subdomain", "postmaster@x.branch.test", "pass"),
    Case("blocked", "eve@gate.test", "550 5.1.1", BLOCK),
    Case("a blocked domain", "x@far.test", "550 5.1.1", BLOCK),
    Case("blocked, but from inside", "eve@gate.test", "pass", BLOCK, ACCOUNT),
    Case("F26 postmaster cannot be blocked", "postmaster@far.test", "pass", BLOCK),
    Case("an account is told, too", "nobody@gate.test", "550 5.1.1", who=ACCOUNT),
]


@pytest.mark.threat("F06", "F10", "F16", "F26", "F27")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_recipient_filter(case: Case) -> None:
    agent = RecipientFilter(settings(RecipientFilter, case.given), site())
    mail = view(Stage.RCPT, who=case.who, recipient=case.recipient)
    assert said(ask(agent, mail, find_recipient_status(mail, site(), Mailboxes()))) == case.then


@pytest.mark.parametrize(
    ("recipient", "then"), [("bob@relay.test", "pass"), ("nobody@relay.test", "550 5.1.1")]
)
def test_a_relay_domain_that_is_looked_up_refuses_like_ours(recipient: str, then: str) -> None:
    """check-recipients = "yes" would otherwise do nothing."""
    door = site(checked_domains=frozenset({"relay.test"}))
    mail = view(Stage.RCPT, recipient=recipient)
    agent = RecipientFilter(settings(RecipientFilter), door)
    assert said(ask(agent, mail, find_recipient_status(mail, door, Mailboxes()))) == then


@pytest.mark.parametrize("kind", [ClientKind.ANONYMOUS, ClientKind.NAMED])
def test_only_strangers_wait(kind: ClientKind) -> None:
    agent = RecipientFilter(settings(RecipientFilter), site(tarpit_s=3))
    mail = view(Stage.RCPT, who=session(kind=kind), recipient="nobody@gate.test")
    verdict = ask(agent, mail, find_recipient_status(mail, site(), Mailboxes()))
    assert verdict.effects == ((DelayReply(3),) if kind is ClientKind.ANONYMOUS else ())


def test_a_blocked_and_an_unknown_recipient_hear_the_same() -> None:
    agent = RecipientFilter(settings(RecipientFilter, BLOCK), site())
    heard = set()
    for recipient in ("eve@gate.test", "nobody@gate.test"):
        mail = view(Stage.RCPT, recipient=recipient)
        verdict = ask(agent, mail, find_recipient_status(mail, site(), Mailboxes()))
        heard.add((verdict.reply, verdict.effects))
    assert len(heard) == 1


@pytest.mark.parametrize("entry", ["not an address", "a@b@c", "@", ""])
def test_an_entry_that_is_no_address_is_a_mistake_of_the_configuration(entry: str) -> None:
    with pytest.raises(ValidationError):
        settings(RecipientFilter, {"blocked-recipients": [entry]})
