"""The test that belongs to the example: facts and settings in, an opinion out."""

from __future__ import annotations

import pytest
from examples.subject_words import Agent, Subject

from gatepost.lab.trial import ask
from gatepost.model.verdict import Action

CASES = [
    ("no word of the list", "Lunch on Friday?", Action.PASS),
    ("a word of the list", "Your invoice", Action.QUARANTINE),
    ("in capitals", "INVOICE attached", Action.QUARANTINE),
    ("only a part of a word", "invoices", Action.PASS),
    ("no subject", "", Action.PASS),
]


@pytest.mark.parametrize(("subject", "action"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_subject_words(subject: str, action: Action) -> None:
    verdict = ask(Agent, Subject(text=subject), settings={"words": ["invoice"]})
    assert verdict.action is action
