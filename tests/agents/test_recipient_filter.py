"""Recipients that do not exist, and recipients that get no mail from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import ACCOUNT, STRANGER, Mailboxes, session, site, view

from gatepost.agents.recipient_filter import RecipientFilter
from gatepost.facts.recipient_status import RecipientStatus, find_recipient_status
from gatepost.model.known import MailView
from gatepost.model.session import ClientKind, Rights, Session
from gatepost.model.site import Site
from gatepost.model.verdict import DelayReply, Stage

BLOCK: dict[str, Any] = {"blocked-recipients": ["Eve@gate.test", "@far.test"]}
AUTH: dict[str, Any] = {"authenticated-only": ["bob@gate.test", "*staff@gate.test", "staff@far.test"]}
LOGGED_IN = session(kind=ClientKind.AUTHENTICATED, rights=Rights.SUBMIT, user="ann@gate.test")


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
    Case(
        "blocked by a wildcard", "news-7@far.test", "550 5.1.1", {"blocked-recipients": ["news-*@far.test"]}
    ),
    Case("not fitting the wildcard", "new-7@far.test", "pass", {"blocked-recipients": ["news-*@far.test"]}),
    Case(
        "an exception to a blocked domain", "eve@far.test", "pass", {**BLOCK, "exceptions": ["e*@far.test"]}
    ),
    Case("a group for authenticated senders", "bob@gate.test", "550 5.7.1", AUTH),
    Case("and an authenticated sender", "bob@gate.test", "pass", AUTH, ACCOUNT),
    Case("authenticated, though not internal", "bob@gate.test", "pass", AUTH, LOGGED_IN),
    Case("a group the directory marks", "all@gate.test", "550 5.7.1"),
    Case("a marked group, from inside", "all@gate.test", "pass", who=ACCOUNT),
    Case("in a relay domain", "staff@far.test", "550 5.7.1", AUTH),
    Case("nobody learns that an unknown group is for insiders", "x-staff@gate.test", "550 5.1.1", AUTH),
    Case(
        "F26 postmaster is for everybody",
        "postmaster@gate.test",
        "pass",
        {"authenticated-only": ["@gate.test"]},
    ),
    Case("an account is told, too", "nobody@gate.test", "550 5.1.1", who=ACCOUNT),
]


@pytest.mark.threat("F06", "F10", "F16", "F26", "F27")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_recipient_filter(case: Case) -> None:
    agent = RecipientFilter(settings(RecipientFilter, case.given), site())
    mail = view(Stage.RCPT, who=case.who, recipient=case.recipient)
    assert said(ask(agent, mail, status(mail))) == case.then


def status(mail: MailView, door: Site | None = None) -> RecipientStatus:
    mailboxes = Mailboxes(
        listed=frozenset({"bob@gate.test", "eve@gate.test", "bob@relay.test", "all@gate.test"}),
        internal=frozenset({"all@gate.test"}),
    )
    found = find_recipient_status(mail, door or site(), mailboxes)
    assert isinstance(found, RecipientStatus)
    return found


@pytest.mark.parametrize(
    ("recipient", "then"), [("bob@relay.test", "pass"), ("nobody@relay.test", "550 5.1.1")]
)
def test_a_relay_domain_that_is_looked_up_refuses_like_ours(recipient: str, then: str) -> None:
    """check-recipients = "yes" would otherwise do nothing."""
    door = site(checked_domains=frozenset({"relay.test"}))
    mail = view(Stage.RCPT, recipient=recipient)
    agent = RecipientFilter(settings(RecipientFilter), door)
    assert said(ask(agent, mail, status(mail, door))) == then


@pytest.mark.parametrize("kind", [ClientKind.ANONYMOUS, ClientKind.NAMED])
def test_only_strangers_wait(kind: ClientKind) -> None:
    agent = RecipientFilter(settings(RecipientFilter), site(tarpit_s=3))
    mail = view(Stage.RCPT, who=session(kind=kind), recipient="nobody@gate.test")
    verdict = ask(agent, mail, status(mail))
    assert verdict.effects == ((DelayReply(3),) if kind is ClientKind.ANONYMOUS else ())


def test_a_blocked_and_an_unknown_recipient_hear_the_same() -> None:
    agent = RecipientFilter(settings(RecipientFilter, BLOCK), site())
    heard = set()
    for recipient in ("eve@gate.test", "nobody@gate.test"):
        mail = view(Stage.RCPT, recipient=recipient)
        verdict = ask(agent, mail, status(mail))
        heard.add((verdict.reply, verdict.effects))
    assert len(heard) == 1


@pytest.mark.parametrize("entry", ["not an address", "a@b@c", "@", "", "*", "a*b@c d", "@.", "x@*..test"])
def test_an_entry_that_is_no_address_is_a_mistake_of_the_configuration(entry: str) -> None:
    with pytest.raises(ValidationError):
        settings(RecipientFilter, {"blocked-recipients": [entry]})
