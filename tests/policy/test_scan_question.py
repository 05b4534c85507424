"""What goes to a scan worker and what comes back: nothing is lost on the way, and a hostile answer is no opinion."""

from __future__ import annotations

import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.fakes import to, view

from gatepost.facts.recipient_status import Listing, RecipientStatus
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.model.address import Address
from gatepost.model.known import Known, Unknown
from gatepost.model.reply import Reply
from gatepost.model.verdict import (
    AddHeader,
    BlockClient,
    DelayReply,
    Finding,
    HangUp,
    LimitReached,
    Remember,
    RemoveHeader,
    SkipFilters,
    Stage,
    Tally,
    Verdict,
)
from gatepost.policy.scan_question import (
    ITEMS_LIMIT,
    Bug,
    Question,
    decode_answer,
    decode_question,
    encode_bug,
    encode_question,
    encode_verdict,
)

NAMES = ReverseDns(address="192.0.2.7", names=("a.example", "b.example"), confirmed=("b.example",))
SEEN = Finding(name="seen", means="It was seen.", points=1.0)
FINDINGS = {"seen": SEEN}
QUESTION = Question(
    agent="theirs",
    connector="internet",
    view=view(Stage.END_OF_DATA, recipients=("bob@gate.test", "jürgen@gate.test")),
    facts=(NAMES,),
)
VERDICTS = {
    "silence": Verdict(agent="theirs"),
    "a finding and its fact": Verdict(
        agent="theirs", findings=(SEEN,), because=(NAMES,), unless="it were not"
    ),
    "a refusal": Verdict.reject(
        "theirs", Reply(550, "5.7.1", "No", ("for", "two lines")), "so", unless="not so"
    ),
    "a deferral of some": Verdict.defer(
        "theirs", Reply(451, "4.7.1", "Later"), "busy", recipients=(Address("jürgen", "gate.test"),)
    ),
    "edits": Verdict(agent="theirs", edits=(AddHeader("X-A", "b"), RemoveHeader("X-C"))),
    "effects": Verdict(
        agent="theirs",
        effects=(
            DelayReply(1.5),
            HangUp(),
            BlockClient(network="192.0.2.0/24", for_s=60.0, author="theirs", why="so"),
            Remember(agent="theirs", space="s", key="k", value=b"\x00\xff", expires_at=1.0),
            Tally(agent="theirs", space="s", key="k", amounts=(1.0, 2.0), expires_at=2.0, fading=math.inf),
            LimitReached(limit="l", key="k", value=1, actual=2, action="reject"),
            SkipFilters(),
        ),
    ),
}


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=VERDICTS)
def test_an_opinion_arrives_as_it_was_given(verdict: Verdict) -> None:
    question = decode_question(encode_question(QUESTION))
    assert question == QUESTION
    (fact,) = question.facts
    there = verdict
    if verdict.because:
        there = Verdict(agent="theirs", findings=(SEEN,), because=(fact,), unless=verdict.unless)
    assert decode_answer(encode_verdict(there, question), QUESTION, FINDINGS) == verdict


def test_facts_are_read_there_as_here() -> None:
    bob = to("bob@gate.test")
    status = RecipientStatus(recipient=bob.address, listing=Listing.LISTED)
    known = Known({ReverseDns: NAMES, Finding: Unknown("x", "y")}, {bob.address: {RecipientStatus: status}})
    mail = view(Stage.RCPT, recipient="bob@gate.test")
    question = Question.of("theirs", (ReverseDns, RecipientStatus, Finding), mail, known)
    there = decode_question(encode_question(question)).known
    assert there[ReverseDns] == NAMES
    assert there.of(bob.address, RecipientStatus) == status
    assert there.get(Finding) is None


def test_a_bug_is_told() -> None:
    answer = decode_answer(encode_bug("ValueError", "x" * 10_000 + "the end"), QUESTION, FINDINGS)
    assert isinstance(answer, Bug)
    assert answer.error == "ValueError"
    assert answer.trace.endswith("the end")
    assert len(answer.trace) <= 2000


def an_opinion(**other: object) -> bytes:
    fields = {
        "action": 0,
        "findings": [],
        "reason": "",
        "reply": None,
        "because": [],
        "recipients": None,
        "edits": [],
        "effects": [],
        "unless": "",
    }
    return msgspec.msgpack.encode(["opinion", *{**fields, **other}.values()])


HOSTILE = {
    "nothing": b"",
    "no message pack": b"\xc1",
    "another kind": msgspec.msgpack.encode(["order", "x"]),
    "an action there is not": an_opinion(action=99),
    "a finding of somebody else": an_opinion(findings=["helo-own-name"]),
    "a fact there is not": an_opinion(because=[1]),
    "a refusal without words": an_opinion(action=5, reason="so"),
    "words without a refusal": an_opinion(reply=[550, "5.7.1", "No", []]),
    "a positive refusal": an_opinion(action=5, reason="so", reply=[250, "2.0.0", "Yes", []]),
    "a reply of two lines in one": an_opinion(
        action=5, reason="so", reply=[550, "5.7.1", "No\r\n250 Yes", []]
    ),
    "an opinion without a reason": an_opinion(action=2),
    "a header of two lines": an_opinion(edits=[["AddHeader", {"name": "X", "value": "a\r\nY: b"}]]),
    "an edit there is not": an_opinion(edits=[["Rewrite", {}]]),
    "an effect there is not": an_opinion(effects=[["Deliver", {}]]),
    "an effect of the wrong form": an_opinion(effects=[["DelayReply", {"delay_s": "long"}]]),
    "an address that cannot be": an_opinion(recipients=[["a\r\n", "gate.test"]]),
    "too many findings": an_opinion(findings=["seen"] * (ITEMS_LIMIT + 1)),
}


@pytest.mark.threat("T04")
@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_is_no_opinion(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_answer(octets, QUESTION, FINDINGS)


@pytest.mark.threat("T04")
@given(st.binary(max_size=200), st.integers(0, 100))
def test_any_octets_are_an_answer_or_none(noise: bytes, at: int) -> None:
    good = encode_verdict(VERDICTS["effects"], QUESTION)
    for octets in (noise, good[:at] + noise + good[at + len(noise) :], struct.pack("!I", at) + noise):
        try:
            answer = decode_answer(octets, QUESTION, FINDINGS)
        except ValueError:
            continue
        assert isinstance(answer, Verdict | Bug)
