"""A dossier tells why: outcome, opinions, facts, and what would have turned it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.fakes import ACCOUNT, HEAD, STRANGER, Mailboxes, World, session, to, view

from gatepost.agents.message_form import Settings as FormSettings
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.policy.dossier import DecisionRecord, ScaleRecord, VerdictRecord, read_dossier, rights_of
from gatepost.policy.explain import Explanation, explain
from gatepost.policy.folding import Decision, Scale, decide
from gatepost.policy.hearing import Hearing
from gatepost.policy.order import fact_types
from gatepost.policy.third_party import ThirdParty
from gatepost.policy.turning import what_would_turn

TYPES = fact_types(ThirdParty())
ODD = HEAD.replace(b"To:", b"From:").replace(b"Subject", b"From")


def converse(used: Hearing, *recipients: str, who: Session = STRANGER, head: bytes = HEAD) -> bytes:
    """A whole mail, from the greeting to its dossier."""
    for stage in (Stage.CONNECT, Stage.HELO, Stage.MAIL):
        used.ask(view(stage, who=who))
    taken = []
    for recipient in recipients:
        answer = used.ask(view(Stage.RCPT, who=who, recipient=recipient))
        if getattr(answer, "reply", None) is None:
            taken.append(recipient)
    mail = view(Stage.END_OF_DATA, who=who, recipients=taken, head=head)
    decisions: Any = used.decide(mail) if taken else ()
    return used.dossier(mail, decisions)


def tree_of(data: bytes) -> Explanation:
    return explain(data, TYPES)


def test_a_mail_that_passed() -> None:
    tree = tree_of(converse(World().hearing(), "bob@gate.test"))
    (outcome,) = tree.outcomes
    assert (outcome.recipient, outcome.action, outcome.turn) == ("bob@gate.test", "pass", ())
    assert [(s.stage, [o.agent for o in s.opinions]) for s in tree.stages] == [
        ("connect", ["connection-control", "ip-lists"]),
        ("mail", ["relay-restriction", "sender-reputation", "helo-check", "sender-filter"]),
        ("rcpt", ["ip-lists", "relay-restriction", "recipient-filter"]),
        ("end-of-headers", ["loop-detection"]),
        ("end-of-data", ["message-form", "dkim"]),
    ]
    assert {fact.name for fact in tree.facts} == {
        "helo",
        "dkim",
        "recipient-domain",
        "recipient-status",
        "sender-status",
        "received-trace",
        "message-form",
        "sender-reputation",
        "ip-lists",
    }
    assert (tree.revision, tree.client_ip, tree.sender) == ("0123456789ab", "192.0.2.7", "ann@client.test")


def test_a_relay_attempt() -> None:
    tree = tree_of(converse(World().hearing(), "u@foreign.test"))
    (outcome,) = tree.outcomes
    assert (outcome.recipient, outcome.decided_by) == ("u@foreign.test", "relay-restriction")
    assert outcome.turn == (
        "would have been accepted if",
        "  the recipient's domain were an accepted domain, or the client had the right relay",
    )
    opinion = next(o for s in tree.stages for o in s.opinions if o.action == "reject")
    assert dict(opinion.facts[0].values)["recipient"] == "u@foreign.test"


def test_one_refused_among_others_has_its_own_line() -> None:
    tree = tree_of(converse(World().hearing(), "bob@gate.test", "nobody@gate.test"))
    assert [(o.recipient, o.action) for o in tree.outcomes] == [
        ("bob@gate.test", "pass"),
        ("nobody@gate.test", "reject"),
    ]


def test_a_directory_that_was_down() -> None:
    tree = tree_of(converse(World(mailboxes=Mailboxes(is_down=True)).hearing(), "bob@gate.test"))
    assert "recipient-status of bob@gate.test: unknown, recipients were never loaded" in "\n".join(
        tree.lines()
    )


def test_a_score_says_how_far_it_was() -> None:
    policy = {"points": {"repeated-field": 4.5, "no-from": 0.0}, "tag-at": 3, "quarantine-at": 10}
    tree = tree_of(converse(World().hearing(policy), "bob@gate.test", head=ODD))
    (outcome,) = tree.outcomes
    assert (outcome.action, outcome.scl, outcome.points) == ("tag", 4, 4.5)
    assert outcome.turn == (
        "would have been accepted if",
        "  the findings (repeated-field) were worth more than 1.5 points less in policy.points, "
        "or policy.tag-at were above 4",
    )
    lower = tree_of(converse(World().hearing({**policy, "tag-at": 9}), "bob@gate.test", head=ODD))
    assert lower.outcomes[0].turn == ("would have been tagged with 4.5 points more",)


def test_settings_that_would_have_turned_it() -> None:
    agents = {"message-form": FormSettings.model_validate({"ambiguous": "refuse"})}
    tree = tree_of(converse(World().hearing(agents=agents), "bob@gate.test", head=ODD))
    assert tree.outcomes[0].turn == ("would have been accepted if", "  ambiguous were mark")


def test_those_who_bypass_filters_have_no_thresholds() -> None:
    tree = tree_of(converse(World().hearing(), "u@foreign.test", who=ACCOUNT))
    assert tree.thresholds == ()
    assert tree.outcomes[0].scl == -1
    assert "ann@gate.test" in tree.lines()[1]


@pytest.mark.threat("S01", "I6")
def test_what_the_peer_said_cannot_move_the_terminal() -> None:
    who = session(helo="a\x1b[2J\r\nb\x07")
    tree = tree_of(converse(World().hearing(), 'e\u202e\u2028"vil@gate.test', who=who))
    for line in tree.lines():
        assert line.isprintable()
    assert all(c.isprintable() for c in tree.as_json().decode())


def test_the_tree_as_json() -> None:
    data = json.loads(tree_of(converse(World().hearing(), "bob@gate.test")).as_json())
    assert data["outcomes"][0]["action"] == "pass"
    assert data["stages"][0]["opinions"][0]["agent"] == "connection-control"


def test_the_dossier_keeps_what_replay_needs() -> None:
    dossier = read_dossier(converse(World().hearing(), "bob@gate.test", who=ACCOUNT))
    assert rights_of(dossier) == ACCOUNT.rights
    assert dossier.origin.user == "ann@gate.test"


def test_agents_that_were_not_asked_are_named() -> None:
    class Filter:
        """Filter."""

        name = "filter"
        needs = {Stage.DATA: ()}  # noqa: RUF012  # a stand-in
        when_unknown = Action.PASS
        is_filter = True
        findings = ()

        def __init__(self, *_: Any) -> None: ...

    used = World().hearing(third_party=ThirdParty(agents=(Filter,)))
    tree = tree_of(converse(used, "u@foreign.test", who=ACCOUNT))
    assert ("filter", "the client has the right bypass-filters") in tree.not_asked


@given(st.binary(max_size=200))
def test_bytes_that_are_no_dossier_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_dossier(data)


def test_a_damaged_dossier_is_refused_or_read_but_never_breaks() -> None:
    data = converse(World().hearing(), "bob@gate.test", "nobody@gate.test")
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        try:
            tree_of(bytes(damaged)).lines()
        except ValueError:
            continue


# What would have turned it: the prediction against folding itself

NO, LATER = Reply(550, "5.7.1", "No"), Reply(451, "4.7.1", "Later")


@dataclass(frozen=True)
class Turn:
    name: str
    given: list[Verdict]
    then: str
    scale: Scale = Scale(tag_at=3, quarantine_at=5, reject_at=8)


def found(points: float) -> Verdict:
    return Verdict(agent="a", findings=(Finding(name="f", means="x", points=points),))


def rejects(agent: str, unless: str = "") -> Verdict:
    return Verdict.reject(agent, NO, "no", unless=unless)


TURNS = [
    Turn("one objection", [rejects("a", "it were Monday")], "would have been accepted if"),
    Turn("refused by score, quarantined below", [found(8)], "would have been quarantined if"),
    Turn(
        "two objections", [rejects("a"), rejects("b")], "would have been accepted if (all of these together)"
    ),
    Turn(
        "an objection over a delay",
        [rejects("a"), Verdict.defer("b", LATER, "l")],
        "would have been deferred if",
    ),
    Turn("an objection over a level", [rejects("a"), found(5)], "would have been quarantined if"),
    Turn(
        "the score and an agent",
        [rejects("a"), found(9)],
        "would have been quarantined if (all of these together)",
    ),
    Turn("nothing to turn", [], ""),
]


@pytest.mark.parametrize("case", TURNS, ids=lambda c: c.name)
def test_what_would_turn(case: Turn) -> None:
    disposition = decide(case.given, case.scale)
    decision = Decision(recipient=to("bob@gate.test"), disposition=disposition)
    lines = what_would_turn(record_of(decision), [row(v) for v in case.given], scale_row(case.scale))
    assert (lines[0] if lines else "") == case.then


@given(
    st.lists(
        st.one_of(
            st.integers(0, 9).map(found),
            st.just(rejects("r")),
            st.sampled_from([Action.TAG, Action.QUARANTINE, Action.DISCARD]).map(
                lambda action: Verdict(agent="q", action=action, reason="so")
            ),
        ),
        max_size=5,
    ),
    st.tuples(*[st.integers(1, 10)] * 3),
)
def test_without_its_objections_it_would_have_been_so(
    verdicts: list[Verdict], at: tuple[int, int, int]
) -> None:
    """The first line is true: folding again without the objections gives one of the outcomes it names."""
    tag, quarantine, reject = sorted(at)
    scale = Scale(tag_at=tag, quarantine_at=quarantine, reject_at=reject)
    disposition = decide(verdicts, scale)
    decision = Decision(recipient=to("bob@gate.test"), disposition=disposition)
    lines = what_would_turn(record_of(decision), [row(v) for v in verdicts], scale_row(scale))
    if disposition.action is Action.PASS:
        return
    below = {
        Action.TAG: Scale(),
        Action.QUARANTINE: Scale(tag_at=tag),
        Action.DISCARD: scale,
        Action.REJECT: Scale(tag_at=tag, quarantine_at=quarantine),
    }[disposition.action]
    again = decide([v for v in verdicts if v.action is not disposition.action], below)
    assert WORDS[again.action] in lines[0]


WORDS = {
    Action.PASS: "accepted",
    Action.TAG: "tagged",
    Action.QUARANTINE: "quarantined",
    Action.DISCARD: "discarded",
}


def record_of(decision: Decision) -> DecisionRecord:
    said = decision.disposition
    return DecisionRecord("bob@gate.test", int(said.action), said.scl, said.decided_by, said.reason, "")


def row(v: Verdict) -> VerdictRecord:
    findings = tuple((found.name, found.points) for found in v.findings)
    return VerdictRecord("data", "", v.agent, int(v.action), v.reason, v.unless, "", findings, (), None)


def scale_row(scale: Scale) -> ScaleRecord:
    return ScaleRecord(scale.tag_at, scale.quarantine_at, scale.reject_at, scale.exempt)
