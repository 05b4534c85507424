"""What a next hop says about other places is no routing: 251 is a yes, 551 a no (RFC 5321 §7.4)."""

from __future__ import annotations

import pytest
from tests.delivery.fakes import mail_to
from tests.delivery.test_hand_over import run

from gatepost.delivery.outcome import Fate
from gatepost.lab.sink import Behaviour

ELSEWHERE = "<bob@[127.0.0.1]>"
CASES = [
    ("it forwards by itself", f"251 2.1.5 User not local; will forward to {ELSEWHERE}", Fate.DELIVERED),
    ("it does not", f"551 5.1.6 User not local; please try {ELSEWHERE}", Fate.FAILED),
    ("not now", f"451 4.1.6 Please try {ELSEWHERE}", Fate.DEFERRED),
]


@pytest.mark.threat("N11")
@pytest.mark.parametrize(("reply", "fate"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_host_cannot_send_us_elsewhere(reply: str, fate: Fate) -> None:
    # Given two recipients, one of which the next hop would have somewhere else
    mail = mail_to("bob@b.example", "ann@b.example")
    attempt, sink = run(mail, behaviour=Behaviour(recipients={"bob@b.example": reply}))
    # Then the answer counts by its class, nothing else is asked or connected to, and the other gets the mail
    assert [o.fate for o in attempt.outcomes] == [fate, Fate.DELIVERED]
    assert [str(o.recipient.recipient.address) for o in attempt.outcomes] == [
        "bob@b.example",
        "ann@b.example",
    ]
    assert sink.connections == 1
    assert len(sink.mails) == 1
    assert "bob@[127.0.0.1]" not in sink.mails[0].recipients
