"""The judge catches every kind of broken promise, shown with doctored ledgers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from crash.judge import SEEN_LATE_S, SETTLE_WITHIN_S, Finding, judge
from crash.ledger import Answer, Copy, Death, Evidence, Sending

ID, ANN, BEN = "run.1.1", "ann@crash.test", "ben@crash.test"
ACK, REFUSED, UNKNOWN, STARTED = Answer.ACKNOWLEDGED, Answer.REFUSED, Answer.UNKNOWN, Answer.STARTED


def sent(answer: Answer, *recipients: str) -> Sending:
    return Sending(message=ID, digest="d", size_bytes=1, answers=dict.fromkeys(recipients or (ANN,), answer))


def copy(
    token: str = "t1",
    at: float = 10.0,
    *,
    to: str = ANN,
    message: str = ID,
    digest: str = "d",
    answered: bool = True,
    worker: int | None = 0,
) -> Copy:
    return Copy(
        message=message,
        recipient=to,
        token=token,
        digest=digest,
        received_at=at,
        answered_at=at + 0.01 if answered else None,
        worker=worker,
    )


@dataclass(frozen=True)
class Case:
    name: str
    sending: Sending
    copies: tuple[Copy, ...]
    expected: tuple[Finding, ...]
    deaths: tuple[Death, ...] = ()
    settled: frozenset[str] | None = frozenset()
    left: frozenset[tuple[str, str]] = frozenset()


OK, ALLOWED, FORBIDDEN = Finding.OK, Finding.DUPLICATE_ALLOWED, Finding.DUPLICATE_FORBIDDEN
TWICE = (copy("t1", 10.0), copy("t2", 10.3))

CASES = [
    Case("acknowledged and delivered", sent(ACK), (copy(),), (OK,)),
    Case("acknowledged and gone is lost", sent(ACK), (), (Finding.LOST,)),
    Case(
        "one of two recipients is lost",
        sent(ACK, ANN, BEN),
        (copy(),),
        (OK, Finding.LOST),
    ),
    Case(
        "acknowledged and still queued at the end",
        sent(ACK),
        (),
        (Finding.LEFT,),
        left=frozenset({(ID, ANN)}),
    ),
    Case(
        "delivered and still queued would come twice one day",
        sent(ACK),
        (copy(),),
        (Finding.LEFT,),
        left=frozenset({(ID, ANN)}),
    ),
    Case(
        "something else is queued at the end",
        sent(ACK),
        (copy(),),
        (OK, Finding.LEFT),
        left=frozenset({("run.9.9", ANN)}),
    ),
    Case("other bytes than were sent", sent(ACK), (copy(digest="e"),), (Finding.ALTERED,)),
    Case(
        "one good copy does not excuse a bad one",
        sent(ACK),
        (copy(), copy("t2", 10.3, digest="e")),
        (Finding.ALTERED, ALLOWED),
        deaths=(Death(10.1, 0),),
    ),
    Case("an unanswered mail with other bytes", sent(UNKNOWN), (copy(digest="e"),), (Finding.ALTERED,)),
    Case("refused and delivered", sent(REFUSED), (copy(),), (Finding.INVENTED,)),
    Case("never finished and delivered", sent(STARTED), (copy(),), (Finding.INVENTED,)),
    Case("refused and not delivered", sent(REFUSED), (), (Finding.ABSENT,)),
    Case("unanswered and delivered", sent(UNKNOWN), (copy(),), (Finding.RECOVERED,)),
    Case("unanswered and not delivered", sent(UNKNOWN), (), (Finding.ABSENT,)),
    Case(
        "a message nobody sent",
        sent(ACK),
        (copy(), copy(message="run.9.9")),
        (OK, Finding.INVENTED),
    ),
    Case(
        "a recipient nobody named",
        sent(ACK),
        (copy(), copy(to=BEN)),
        (OK, Finding.INVENTED),
    ),
    Case("two copies and no kill", sent(ACK), TWICE, (OK, FORBIDDEN)),
    Case(
        "killed between answer and settlement",
        sent(ACK),
        TWICE,
        (OK, ALLOWED),
        deaths=(Death(10.1, 0),),
    ),
    Case(
        "killed in between, but the settlement was on disk",
        sent(ACK),
        TWICE,
        (OK, FORBIDDEN),
        deaths=(Death(10.1, 0),),
        settled=frozenset({"t1"}),
    ),
    Case(
        "the last copy's settlement is as it must be",
        sent(ACK),
        TWICE,
        (OK, ALLOWED),
        deaths=(Death(10.1, 0),),
        settled=frozenset({"t2"}),
    ),
    Case(
        "a server without records is judged by its kills alone",
        sent(ACK),
        TWICE,
        (OK, ALLOWED),
        deaths=(Death(10.1, 0),),
        settled=None,
    ),
    Case("another worker died", sent(ACK), TWICE, (OK, FORBIDDEN), deaths=(Death(10.1, 1),)),
    Case("everything died", sent(ACK), TWICE, (OK, ALLOWED), deaths=(Death(10.1),)),
    Case(
        "the kill came after the second copy",
        sent(ACK),
        TWICE,
        (OK, FORBIDDEN),
        deaths=(Death(10.4, 0),),
    ),
    Case(
        "the kill was long before the first copy",
        sent(ACK),
        TWICE,
        (OK, FORBIDDEN),
        deaths=(Death(10.0 - SEEN_LATE_S - 0.1, 0),),
    ),
    Case(
        "the sink read late what a dead worker wrote",
        sent(ACK),
        TWICE,
        (OK, ALLOWED),
        deaths=(Death(9.9, 0),),
    ),
    Case(
        "the settlement was due long before the kill",
        sent(ACK),
        (copy("t1", 10.0), copy("t2", 20.0)),
        (OK, FORBIDDEN),
        deaths=(Death(10.2 + SETTLE_WITHIN_S, 0),),
    ),
    Case(
        "the sink hung up instead of answering",
        sent(ACK),
        (copy("t1", answered=False), copy("t2", 30.0)),
        (OK, ALLOWED),
    ),
    Case(
        "one kill excuses one copy",
        sent(ACK),
        (*TWICE, copy("t3", 10.5)),
        (OK, ALLOWED, FORBIDDEN),
        deaths=(Death(10.1, 0),),
    ),
    Case(
        "two kills, two copies more",
        sent(ACK),
        (*TWICE, copy("t3", 10.5)),
        (OK, ALLOWED, ALLOWED),
        deaths=(Death(10.1, 0), Death(10.4, 0)),
    ),
    Case(
        "duplicates of an unanswered mail are judged alike",
        sent(UNKNOWN),
        TWICE,
        (Finding.RECOVERED, FORBIDDEN),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_judge(case: Case) -> None:
    evidence = Evidence(
        sendings=(case.sending,),
        copies=case.copies,
        deaths=case.deaths,
        settled=case.settled,
        left=case.left,
    )
    judgement = judge(evidence)
    assert Counter(one.finding for one in judgement.found) == Counter(case.expected)
    assert {f.finding for f in judgement.failures} == {f for f in case.expected if f.is_failure}


def test_copies_are_judged_in_the_order_of_their_arrival() -> None:
    """given copies listed the other way round, when judged, then the kill between them still counts"""
    evidence = Evidence(
        sendings=(sent(ACK),), copies=TWICE[::-1], deaths=(Death(10.1, 0),), settled=frozenset()
    )
    assert not judge(evidence).failures


def test_only_the_recipient_that_was_refused_stays_refused() -> None:
    """given two recipients, one refused alone, when the message is acknowledged, then only the other is"""
    sending = replace(sent(STARTED, ANN, BEN))
    sending.answers[BEN] = REFUSED
    sending.all_become(ACK, code=250, at=1.0)
    assert sending.answers == {ANN: ACK, BEN: REFUSED}


def test_a_harness_that_was_late_itself_forgives_as_much() -> None:
    """given bytes that the sink read 0.6 s after everything was killed"""
    death = Death(10.0 - SEEN_LATE_S - 0.1)
    evidence = Evidence(sendings=(sent(ACK),), copies=TWICE, deaths=(death,), settled=frozenset())
    assert judge(evidence).counts[FORBIDDEN] == 1
    assert judge(replace(evidence, lag_s=0.2)).counts[FORBIDDEN] == 0
