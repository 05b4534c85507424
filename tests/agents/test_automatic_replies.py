"""Automatic replies, and the domains that are to see none."""

from __future__ import annotations

import pytest
from tests.agents.asking import ask, settings
from tests.policy.fakes import site, view

from gatepost.agents.automatic_replies import AutomaticReplies, is_automatic_reply
from gatepost.message.headers import HeaderIndex
from gatepost.model.domain_table import DomainTable
from gatepost.model.verdict import Action, Stage, Verdict

REPLY = b"Subject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\n"
LETTER = b"Subject: Hello\r\n\r\n"
TABLE = DomainTable({"*": False, "partner.test": True, "*.partner.test": False}, otherwise=True)

WHAT_IT_IS = [
    ("a letter", b"Subject: x", False),
    ("RFC 3834", b"Auto-Submitted: auto-replied", True),
    ("with parameters", b"auto-submitted: Auto-Replied; owner-email=x", True),
    ("sent by a program by itself", b"Auto-Submitted: auto-generated", False),
    ("by a person", b"Auto-Submitted: no", False),
    ("an old mark", b"X-Autoreply: yes", True),
    ("another", b"Precedence: auto_reply", True),
    ("mass mail", b"Precedence: bulk", False),
    (
        "a report of delivery",
        b"Auto-Submitted: auto-replied\r\nContent-Type: multipart/report; report-type=delivery-status",
        False,
    ),
]


@pytest.mark.threat("L09")
@pytest.mark.parametrize(("fields", "then"), [w[1:] for w in WHAT_IT_IS], ids=[w[0] for w in WHAT_IT_IS])
def test_what_is_an_automatic_reply(fields: bytes, then: bool) -> None:
    assert is_automatic_reply(HeaderIndex.parse(fields + b"\r\n\r\n")) is then


def asked(head: bytes, *recipients: str, table: DomainTable[bool] | None = TABLE) -> Verdict:
    agent = AutomaticReplies(settings(AutomaticReplies), site(automatic_replies=table))
    return ask(agent, view(Stage.END_OF_HEADERS, recipients=recipients, head=head))


TO_WHOM = [
    ("a stranger gets none", REPLY, ("you@there.test",), ["you@there.test"]),
    ("a partner does", REPLY, ("you@partner.test",), []),
    ("but not below it", REPLY, ("you@mx.partner.test",), ["you@mx.partner.test"]),
    ("each for itself", REPLY, ("a@partner.test", "b@there.test"), ["b@there.test"]),
    ("letters go everywhere", LETTER, ("you@there.test",), []),
]


@pytest.mark.parametrize(("head", "to", "dropped"), [t[1:] for t in TO_WHOM], ids=[t[0] for t in TO_WHOM])
def test_who_gets_automatic_replies(head: bytes, to: tuple[str, ...], dropped: list[str]) -> None:
    verdict = asked(head, *to)
    assert verdict.action is (Action.DISCARD if dropped else Action.PASS)
    assert [str(address) for address in verdict.recipients or ()] == dropped


def test_without_the_setting_nothing_is_looked_at() -> None:
    assert asked(REPLY, "you@there.test", table=None).action is Action.PASS
