"""Recipients beyond ASCII fail alone where the next hop lacks SMTPUTF8 (RFC 6531 §3.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.delivery.fakes import CONTENT, mail_to
from tests.delivery.test_hand_over import run

from gatepost.delivery.outcome import Attempt, Fate
from gatepost.lab.sink import EXTENSIONS, Behaviour
from gatepost.model.content import Content
from gatepost.model.queued import QueuedMail

MIXED = mail_to("bob@b.example", "jürgen@b.example", "ann@b.example")
WITHOUT = Behaviour(extensions=tuple(e for e in EXTENSIONS if e != "SMTPUTF8"))
UTF8_HEAD = replace(CONTENT, head="Subject: Grüße\r\n\r\n".encode())


def fates(attempt: Attempt) -> dict[str, Fate]:
    return {str(o.recipient.recipient.address): o.fate for o in attempt.outcomes}


def test_the_others_get_their_mail() -> None:
    attempt, sink = run(MIXED, behaviour=WITHOUT)
    assert fates(attempt) == {
        "jürgen@b.example": Fate.FAILED,
        "bob@b.example": Fate.DELIVERED,
        "ann@b.example": Fate.DELIVERED,
    }
    assert sink.mails[0].recipients == ("bob@b.example", "ann@b.example")
    assert "SMTPUTF8" not in sink.mails[0].mail_parameters
    assert [o.reply for o in attempt.outcomes if o.fate is Fate.FAILED] == [
        "553 5.6.7 Internationalized mail, and the next hop does not announce SMTPUTF8"
    ]


ALL_FAIL = [
    ("the header section is beyond ASCII", replace(MIXED, smtputf8=True), UTF8_HEAD),
    ("the sender is", replace(MIXED, sender=mail_to("ö@a.example").recipients[0].recipient.address), CONTENT),
    ("every recipient is", mail_to("jürgen@b.example", "björn@b.example"), CONTENT),
]


@pytest.mark.parametrize(("mail", "content"), [c[1:] for c in ALL_FAIL], ids=[c[0] for c in ALL_FAIL])
def test_nobody_gets_it_when(mail: QueuedMail, content: Content) -> None:
    attempt, sink = run(mail, content, WITHOUT)
    assert set(fates(attempt).values()) == {Fate.FAILED}
    assert sink.mails == []


def test_with_smtputf8_all_of_them_do() -> None:
    attempt, sink = run(replace(MIXED, smtputf8=True), UTF8_HEAD)
    assert set(fates(attempt).values()) == {Fate.DELIVERED}
    assert "SMTPUTF8" in sink.mails[0].mail_parameters
