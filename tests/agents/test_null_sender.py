"""Mail from nobody has one recipient: a bounce is about one mail, which had one sender."""

from __future__ import annotations

from typing import Any

import pytest
from tests.agents.asking import said
from tests.agents.test_relay_restriction import NAMED, agent, ask_about
from tests.policy.fakes import STRANGER, view

from gatepost.model.session import Session
from gatepost.model.verdict import Stage

CASES: list[tuple[str, str, tuple[str, ...], Session, dict[str, Any], str]] = [
    ("the first recipient", "", (), STRANGER, {}, "pass"),
    ("the second", "", ("bob@gate.test",), STRANGER, {}, "550 5.7.1"),
    ("the hundredth", "", ("bob@gate.test",) * 99, STRANGER, {}, "550 5.7.1"),
    ("somebody's mail", "ann@there.test", ("bob@gate.test",), STRANGER, {}, "pass"),
    ("a named client", "", ("bob@gate.test",), NAMED, {}, "pass"),
    ("at the limit", "", ("bob@gate.test",) * 2, STRANGER, {"null-sender-recipients": 3}, "pass"),
    ("one past it", "", ("bob@gate.test",) * 3, STRANGER, {"null-sender-recipients": 3}, "550 5.7.1"),
]


@pytest.mark.threat("L07")
@pytest.mark.parametrize(
    ("sender", "before", "who", "given", "then"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_recipients_of_a_bounce(
    sender: str, before: tuple[str, ...], who: Session, given: dict[str, Any], then: str
) -> None:
    mail = view(Stage.RCPT, who=who, sender=sender, recipient="ann@gate.test", recipients=before)
    assert said(ask_about(mail, agent(**given))) == then
