"""How opinions become a disposition, and dispositions one reply."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.fakes import to

from gatepost.model.reply import Reply
from gatepost.model.verdict import (
    PASSED,
    Action,
    AddHeader,
    DelayReply,
    Disposition,
    Finding,
    HangUp,
    RemoveHeader,
    Verdict,
)
from gatepost.policy.folding import Decision, Scale, decide, outcome, scl_of, stamped

NO = Reply(550, "5.7.1", "No")
LATER = Reply(451, "4.7.1", "Later")
SCALE = Scale(tag_at=5, quarantine_at=7, reject_at=9)


def found(points: float, agent: str = "a") -> Verdict:
    return Verdict(agent=agent, findings=(Finding(name=f"f{points}", means="x", points=points),))


def rejects(agent: str) -> Verdict:
    return Verdict.reject(agent, NO, "no")


def defers(agent: str) -> Verdict:
    return Verdict.defer(agent, LATER, "later")


def says(agent: str, action: Action) -> Verdict:
    return Verdict(agent=agent, action=action, reason="so")


@dataclass(frozen=True)
class Case:
    name: str
    given: list[Verdict]
    then: tuple[Action, int, str]
    scale: Scale = SCALE


CASES = [
    Case("silence is a pass", [], (Action.PASS, 0, "")),
    Case("points add up", [found(4), found(1)], (Action.TAG, 5, "score")),
    Case("half a point is no level", [found(4.5)], (Action.PASS, 4, "")),
    Case("points are capped", [found(40)], (Action.REJECT, 9, "score")),
    Case("good news counts too", [found(6), found(-3)], (Action.PASS, 3, "")),
    Case("below nothing is nothing", [found(-30)], (Action.PASS, 0, "")),
    Case("quarantine from its threshold", [found(7)], (Action.QUARANTINE, 7, "score")),
    Case("one refusal is enough", [found(0), rejects("a")], (Action.REJECT, 0, "a")),
    Case("refusal beats delay", [defers("a"), rejects("b")], (Action.REJECT, 0, "b")),
    Case("delay beats quarantine", [found(7), defers("a")], (Action.DEFER, 7, "a")),
    Case("delay beats discarding", [says("a", Action.DISCARD), defers("b")], (Action.DEFER, 0, "b")),
    Case("no beats silence", [says("a", Action.DISCARD), rejects("b")], (Action.REJECT, 0, "b")),
    Case("discarding beats quarantine", [found(7), says("a", Action.DISCARD)], (Action.DISCARD, 7, "a")),
    Case("the first of equals", [rejects("a"), rejects("b")], (Action.REJECT, 0, "a")),
    Case("the score speaks first", [found(7), says("a", Action.QUARANTINE)], (Action.QUARANTINE, 7, "score")),
    Case("points of the settings", [found(1)], (Action.TAG, 6, "score"), Scale(points={"f1": 6}, tag_at=5)),
    Case("never is never", [found(40)], (Action.PASS, 9, ""), Scale()),
    Case("the exempt have no level", [found(40)], (Action.PASS, -1, ""), Scale(reject_at=1, exempt=True)),
    Case("the exempt are still refused", [rejects("a")], (Action.REJECT, -1, "a"), Scale(exempt=True)),
    Case("a threshold of nothing takes all", [], (Action.QUARANTINE, 0, "score"), Scale(quarantine_at=0)),
    Case(
        "what is no number counts nothing",
        [found(math.nan), found(math.inf), found(5)],
        (Action.TAG, 5, "score"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_decide(case: Case) -> None:
    result = decide(case.given, case.scale)
    assert (result.action, result.scl, result.decided_by) == case.then
    assert result.verdicts == tuple(case.given)


def test_the_reply_is_the_winner_s() -> None:
    assert decide([defers("a"), rejects("b")], SCALE).reply == NO
    assert decide([found(9)], SCALE).reply is not None


def test_one_opinion_that_only_edits_comes_to_the_same_alone_as_beside_silence() -> None:
    edit = AddHeader("X-A", "1")
    alone = Verdict(agent="a", edits=(edit, edit), reason="so")
    silent = Verdict(agent="b")
    for scale in (SCALE, Scale(), Scale(tag_at=0), Scale(exempt=True)):
        beside = decide((alone, silent), scale)
        said = decide((alone,), scale)
        assert said.verdicts == (alone,)
        assert (
            said.action,
            said.scl,
            said.decided_by,
            said.reason,
            said.reply,
            said.edits,
            said.effects,
        ) == (
            beside.action,
            beside.scl,
            beside.decided_by,
            beside.reason,
            beside.reply,
            beside.edits,
            beside.effects,
        )


def test_edits_of_all_are_kept_once_and_the_longest_delay_counts() -> None:
    one = Verdict(
        agent="a", edits=(AddHeader("X-A", "1"), RemoveHeader("X-B")), effects=(DelayReply(1), HangUp())
    )
    two = Verdict(agent="b", edits=(AddHeader("X-A", "1"),), effects=(DelayReply(4),))
    folded = decide([one, two], SCALE)
    assert folded.edits == (AddHeader("X-A", "1"), RemoveHeader("X-B"))
    assert folded.effects == (DelayReply(4), HangUp())


STAMPS: list[tuple[str, list[Verdict], Scale, tuple[AddHeader, ...]]] = [
    ("nothing found, nothing written", [], SCALE, ()),
    ("scored", [found(2)], SCALE, (AddHeader("X-Gatepost-SCL", "2"), AddHeader("X-Gatepost-Findings", "f2"))),
    (
        "tagged",
        [found(6)],
        SCALE,
        (AddHeader("X-Gatepost-SCL", "6 (spam)"), AddHeader("X-Gatepost-Findings", "f6")),
    ),
    ("refused mail needs no mark", [found(2), rejects("a")], SCALE, ()),
    ("the exempt are not marked", [found(2)], Scale(exempt=True), ()),
    ("tagged without findings", [says("a", Action.TAG)], SCALE, (AddHeader("X-Gatepost-SCL", "0 (spam)"),)),
]


@pytest.mark.parametrize(("name", "verdicts", "scale", "edits"), STAMPS, ids=[row[0] for row in STAMPS])
def test_marks(name: str, verdicts: list[Verdict], scale: Scale, edits: tuple[AddHeader, ...]) -> None:
    assert stamped(decide(verdicts, scale), scale).edits == edits


def test_the_findings_field_is_short() -> None:
    many = Verdict(
        agent="a", findings=tuple(Finding(name=f"finding-{n}", means="x", points=0) for n in range(500))
    )
    field = stamped(decide([many], SCALE), SCALE).edits[1]
    assert isinstance(field, AddHeader)
    assert field.value.endswith(", ...")
    assert len(field.value) < 400


VERDICTS = st.lists(
    st.one_of(
        st.floats(-20, 20, allow_nan=False).map(found),
        st.sampled_from(["a", "b", "c"]).map(rejects),
        st.sampled_from(["a", "b", "c"]).map(defers),
        st.sampled_from([Action.TAG, Action.QUARANTINE, Action.DISCARD]).map(lambda a: says("d", a)),
    ),
    max_size=8,
)


@given(VERDICTS, st.randoms())
def test_the_order_of_the_opinions_changes_neither_action_nor_level(
    given_: list[Verdict], chance: Random
) -> None:
    shuffled = list(given_)
    chance.shuffle(shuffled)
    one, two = decide(given_, SCALE), decide(shuffled, SCALE)
    assert (one.action, one.scl) == (two.action, two.scl)


@given(VERDICTS, VERDICTS)
def test_nobody_is_overruled_by_something_weaker(some: list[Verdict], more: list[Verdict]) -> None:
    result = decide([*some, *more], Scale())
    assert result.action == max((v.action for v in [*some, *more]), default=Action.PASS)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=50))
def test_any_points_give_a_level(points: list[float]) -> None:
    assert 0 <= scl_of([found(p) for p in points], Scale()) <= 9


# One reply for all recipients.

ACCEPT, TAGGED = PASSED, decide([found(5)], SCALE)
REFUSE, DEFER = decide([rejects("a")], SCALE), decide([defers("a")], SCALE)
DROP, HOLD = decide([says("a", Action.DISCARD)], SCALE), decide([says("a", Action.QUARANTINE)], SCALE)


@dataclass(frozen=True)
class Mixed:
    name: str
    given: dict[str, Disposition]
    refusal: Reply | None = None
    groups: tuple[tuple[Action, tuple[str, ...]], ...] = ()
    to_tell: tuple[str, ...] = ()
    authenticated: bool = False


MIXED = [
    Mixed("all accepted", {"a": ACCEPT, "b": ACCEPT}, groups=((Action.PASS, ("a", "b")),)),
    Mixed("all refused", {"a": REFUSE, "b": REFUSE}, refusal=NO),
    Mixed("one deferred defers the whole", {"a": ACCEPT, "b": DEFER, "c": REFUSE}, refusal=LATER),
    Mixed(
        "answers that differ split the mail",
        {"a": ACCEPT, "b": TAGGED, "c": ACCEPT},
        groups=((Action.PASS, ("a", "c")), (Action.TAG, ("b",))),
    ),
    Mixed(
        "a refusal nobody can be told of waits for a person",
        {"a": ACCEPT, "b": REFUSE},
        groups=((Action.PASS, ("a",)), (Action.QUARANTINE, ("b",))),
    ),
    Mixed(
        "the authenticated sender is told",
        {"a": ACCEPT, "b": REFUSE},
        authenticated=True,
        groups=((Action.PASS, ("a",)),),
        to_tell=("b",),
    ),
    Mixed(
        "dropped and held",
        {"a": DROP, "b": HOLD},
        groups=((Action.DISCARD, ("a",)), (Action.QUARANTINE, ("b",))),
    ),
    Mixed(
        "dropped for one, refused for the other",
        {"a": DROP, "b": REFUSE},
        groups=((Action.DISCARD, ("a",)), (Action.QUARANTINE, ("b",))),
    ),
]


@pytest.mark.parametrize("case", MIXED, ids=lambda c: c.name)
def test_outcome(case: Mixed) -> None:
    decisions = [Decision(recipient=to(f"{n}@gate.test"), disposition=d) for n, d in case.given.items()]
    result = outcome(decisions, may_be_told=case.authenticated)
    assert (result.refusal.reply if result.refusal else None) == case.refusal
    assert tuple((g.action, _names(g.recipients)) for g in result.groups) == case.groups
    assert _names(d.recipient for d in result.to_tell) == case.to_tell


def _names(recipients: Any) -> tuple[str, ...]:
    return tuple(recipient.address.local for recipient in recipients)


@given(
    st.lists(st.sampled_from([ACCEPT, TAGGED, REFUSE, DEFER, DROP, HOLD]), min_size=1, max_size=12),
    st.booleans(),
)
def test_no_recipient_is_lost_or_doubled(given_: list[Disposition], authenticated: bool) -> None:
    decisions = [Decision(recipient=to(f"r{n}@gate.test"), disposition=d) for n, d in enumerate(given_)]
    result = outcome(decisions, may_be_told=authenticated)
    taken = [r.address for g in result.groups for r in g.recipients] + [
        d.recipient.address for d in result.to_tell
    ]
    if result.refusal is not None:
        assert not taken
        assert result.refusal.reply is not None
    else:
        assert sorted(taken, key=str) == sorted((d.recipient.address for d in decisions), key=str)
        assert all(g.action not in (Action.REJECT, Action.DEFER) for g in result.groups)


def test_a_mail_without_recipients_is_a_bug() -> None:
    with pytest.raises(ValueError):
        outcome([], may_be_told=False)
