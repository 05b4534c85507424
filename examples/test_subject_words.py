"""The test that belongs to the example: the agent is asked without any gateway."""

from __future__ import annotations

import pytest
from examples.subject_words import Agent, Settings, Subject

from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.known import Known, MailView
from gatepost.model.session import Session
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Stage

SITE = Site(
    connector="test", hostname="mx.example", own_names=frozenset(), accepted_domains=AcceptedDomains({})
)
SESSION = Session(
    session_id="0" * 16,
    connector="test",
    client_ip="192.0.2.1",
    client_port=1025,
    local_ip="192.0.2.2",
    local_port=25,
    started_at=0.0,
)
MAIL = MailView(stage=Stage.END_OF_HEADERS, session=SESSION, now=0.0)

CASES = [
    ("no word of the list", "Lunch on Friday?", Action.PASS),
    ("a word of the list", "Your invoice", Action.QUARANTINE),
    ("in capitals", "INVOICE attached", Action.QUARANTINE),
    ("only a part of a word", "invoices", Action.PASS),
    ("no subject", "", Action.PASS),
]


@pytest.mark.parametrize(("name", "subject", "action"), CASES, ids=[case[0] for case in CASES])
def test_subject_words(name: str, subject: str, action: Action) -> None:  # noqa: ARG001  # name: the row's id
    agent = Agent(Settings(words=("invoice",)), SITE)
    assert agent.examine(MAIL, Known({Subject: Subject(text=subject)})).action is action
