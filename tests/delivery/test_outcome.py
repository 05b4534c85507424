"""What each answer means for a recipient."""

from __future__ import annotations

import pytest
from tests.delivery.fakes import mail_to

from gatepost.delivery.outcome import Fate, fate_of, outcomes_of
from gatepost.protocol.replies import PeerReply
from gatepost.protocol.smtp_client import Answer, Step

NEVER, LATER, DONE = Fate.FAILED, Fate.DEFERRED, Fate.DELIVERED
CASES = [
    (Step.END_OF_DATA, 250, DONE),
    (Step.END_OF_DATA, 451, LATER),
    (Step.END_OF_DATA, 552, NEVER),
    (Step.MAIL, 450, LATER),
    (Step.MAIL, 552, NEVER),
    (Step.RCPT, 250, LATER),  # agreed to is not delivered
    (Step.RCPT, 421, LATER),
    (Step.RCPT, 450, LATER),
    (Step.RCPT, 550, NEVER),
    (Step.RCPT, 551, NEVER),
    (Step.RCPT, 552, LATER),
    (Step.DATA, 250, LATER),
    (Step.DATA, 554, NEVER),
    (Step.CHUNK, 250, LATER),
    (Step.CHUNK, 554, NEVER),
]


@pytest.mark.threat("N04", "N08", "N11")
@pytest.mark.parametrize(("step", "code", "fate"), CASES, ids=[f"{s.name} {c}" for s, c, _ in CASES])
def test_fate(step: Step, code: int, fate: Fate) -> None:
    assert fate_of(Answer(step, PeerReply(code, (b"x",)))) is fate


@pytest.mark.threat("N06")
@pytest.mark.parametrize("answers", [(), (None,), (None, None, None)])
def test_a_missing_answer_is_not_yet(answers: tuple[None, ...]) -> None:
    recipients = mail_to("a@x.example", "b@x.example", "c@x.example").recipients
    outcomes = outcomes_of(recipients, answers, unknown="4.4.2 lost\r\n250 ok")
    assert [(o.recipient, o.fate, o.reply) for o in outcomes] == [
        (recipient, LATER, "4.4.2 lost??250 ok") for recipient in recipients
    ]
