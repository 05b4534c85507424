"""A session's hearing: who is asked when, what is known, what is forgotten, and what goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs
from tests.policy.agents_of_tests import (
    NO,
    SMELLS,
    Find,
    Other,
    Slow,
    Whoever,
    an_agent,
    answered,
    decided,
    finds,
    gathers,
    hearing,
    passes,
    refuses,
)
from tests.policy.fakes import (
    ACCOUNT,
    HEAD,
    STRANGER,
    Mailboxes,
    Names,
    World,
    at_once,
    session,
    to,
    view,
)

from gatepost.agents.connection_control import Settings as ConnectionSettings
from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.reply import OUR_FAULT
from gatepost.model.session import ClientKind, Rights
from gatepost.model.verdict import Action, AddHeader, DelayReply, Finding, HangUp, Stage, Verdict
from gatepost.policy.hearing import REFUSED_LIMIT

# Facts and agents that do as the test says


# The usual mail


def test_a_usual_mail_passes_without_waiting() -> None:
    used = hearing()
    for stage in (Stage.CONNECT, Stage.HELO, Stage.MAIL):
        assert at_once(used.ask(view(stage))).action is Action.PASS
    assert at_once(used.ask(view(Stage.RCPT, recipient="bob@gate.test"))).reply is None
    (decision,) = decided(used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",))))
    assert decision.disposition.action is Action.PASS
    assert used.verdict_log == ()


@pytest.mark.threat("F01", "F27", "I5")
def test_refusals_come_with_reply_and_tarpit() -> None:
    used = hearing()
    relaying = at_once(used.ask(view(Stage.RCPT, recipient="u@foreign.test")))
    unknown = at_once(used.ask(view(Stage.RCPT, recipient="nobody@gate.test")))
    assert (str(relaying.reply), str(unknown.reply)) == (
        "550 5.7.1 Relaying denied",
        "550 5.1.1 No such recipient here",
    )
    assert relaying.effects == unknown.effects != ()
    assert [entry[0] for entry in used.verdict_log] == [Stage.RCPT, Stage.RCPT]


@pytest.mark.threat("F29", "P07", "I9")
def test_a_directory_that_is_down_defers_and_never_accepts_or_bounces() -> None:
    used = hearing(world=World(mailboxes=Mailboxes(is_down=True)))
    heard = at_once(used.ask(view(Stage.RCPT, recipient="bob@gate.test")))
    assert str(heard.reply).startswith("451 4.3.0 ")
    # What needs no directory still has its own answer.
    assert "5.7.1" in str(at_once(used.ask(view(Stage.RCPT, recipient="u@foreign.test"))).reply)
    assert at_once(used.ask(view(Stage.RCPT, recipient="x@relay.test"))).reply is None


@pytest.mark.threat("L01", "L03")
@pytest.mark.parametrize(("passes_", "code"), [(3, None), (4, 554)])
def test_our_own_marks_stop_a_loop(passes_: int, code: int | None) -> None:
    used = hearing()
    head = b"Received: from x by mx.gate.test with SMTP id 1; x\r\n" * passes_ + HEAD
    mail = view(Stage.END_OF_DATA, recipients=("bob@gate.test", "eve@gate.test"), head=head)
    replies = {d.disposition.reply.code if d.disposition.reply else None for d in decided(used.decide(mail))}
    assert replies == {code}


@pytest.mark.threat("L01")
def test_a_loop_is_refused_for_those_who_bypass_filters_too() -> None:
    used = hearing()
    head = b"Received: from x by other.test; x\r\n" * 101 + HEAD
    (decision,) = decided(
        used.decide(view(Stage.END_OF_DATA, who=ACCOUNT, recipients=("b@c.test",), head=head))
    )
    assert str(decision.disposition.reply).startswith("554 5.4.6")


# Who is asked

AUDIENCES = [
    ("a stranger", STRANGER, {}, True),
    ("a stranger, outside switched off", STRANGER, {"external-mail": False}, False),
    ("an internal client", session(rights=Rights.SUBMIT | Rights.INTERNAL), {}, False),
    (
        "an internal client, switched on",
        session(rights=Rights.SUBMIT | Rights.INTERNAL),
        {"internal-mail": True},
        True,
    ),
    ("one who bypasses", ACCOUNT, {"internal-mail": True}, False),
]


@pytest.mark.parametrize(("name", "who", "given", "asked"), AUDIENCES, ids=[row[0] for row in AUDIENCES])
def test_filters_are_asked_about_some_clients_only(
    name: str, who: Any, given: dict[str, Any], asked: bool
) -> None:
    agent = an_agent(refuses, {Stage.DATA: ()}, filters=True, table=FilterTable)
    used = hearing(agent, agents={"tester": FilterTable.model_validate(given)})
    assert (at_once(used.ask(view(Stage.DATA, who=who, sender="bob@gate.test"))).reply == NO) is asked


INTERNAL = session(rights=Rights.SUBMIT | Rights.INTERNAL)
SENDERS = [
    ("one of ours", "bob@gate.test", True),
    ("one of ours, in a branch", "eve@north.branch.test", True),
    ("one on another system of ours", "x@relay.test", True),
    ("nobody", "", True),
    ("somebody at a system of others", "x@far.test", False),
    ("a stranger, passed on by a system of ours", "spam@foreign.test", False),
]


@pytest.mark.parametrize(("name", "sender", "is_internal"), SENDERS, ids=[row[0] for row in SENDERS])
@pytest.mark.parametrize(
    "stage", [Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA], ids=lambda s: s.value
)
def test_internal_mail_is_of_our_clients_and_from_our_senders(
    name: str, sender: str, is_internal: bool, stage: Stage
) -> None:
    for table, asked in ({"internal-mail": True, "external-mail": False}, is_internal), ({}, not is_internal):
        agent = an_agent(finds, {stage: ()}, filters=True, table=FilterTable)
        used = hearing(agent, agents={"tester": FilterTable.model_validate(table)})
        assert not used.has_nobody_to_ask(stage, INTERNAL)
        mail = view(
            stage,
            who=INTERNAL,
            sender=sender,
            recipient="bob@gate.test" if stage is Stage.RCPT else None,
            recipients=("bob@gate.test",),
        )
        if stage is Stage.END_OF_DATA:
            (decision,) = decided(used.decide(mail))
            said = decision.disposition.verdicts
        else:
            said = at_once(used.ask(mail)).verdicts
        assert ("tester" in {v.agent for v in said}) is asked, name


def test_the_next_mail_of_an_internal_client_is_looked_at_anew() -> None:
    agent = an_agent(refuses, {Stage.DATA: ()}, filters=True, table=FilterTable)
    used = hearing(agent, agents={"tester": FilterTable.model_validate({})})
    for sender, reply in (("spam@foreign.test", NO), ("bob@gate.test", None), ("spam@foreign.test", NO)):
        assert at_once(used.ask(view(Stage.DATA, who=INTERNAL, sender=sender))).reply == reply
        used.forget_mail()
        # Between two mails nothing is external about it
        assert at_once(used.ask(view(Stage.HELO, who=INTERNAL))).reply is None


def test_bypassing_clients_have_no_level_and_others_do() -> None:
    agent = an_agent(finds, {Stage.END_OF_DATA: ()})
    for who, scl in ((STRANGER, 6), (ACCOUNT, -1)):
        used = hearing(agent)
        (decision,) = decided(used.decide(view(Stage.END_OF_DATA, who=who, recipients=("bob@gate.test",))))
        assert decision.disposition.scl == scl


@pytest.mark.parametrize(
    "wishes",
    [
        {"policy": {"disabled": ["tester"]}},
        {"agents": {"tester": AgentTable.model_validate({"enabled": False})}},
        {"agents": {"tester": AgentTable.model_validate({"connectors": ("inside",)})}},
    ],
    ids=["policy.disabled", "enabled = false", "another connector"],
)
def test_agents_that_are_switched_off(wishes: dict[str, Any]) -> None:
    agent = an_agent(refuses, {Stage.DATA: ()})
    assert at_once(hearing(agent).ask(view(Stage.DATA))).reply == NO
    assert at_once(hearing(agent, **wishes).ask(view(Stage.DATA))).reply is None


# Opinions meet at the end


def test_what_was_found_at_any_stage_counts_at_the_end() -> None:
    def a_little(_mail: MailView, _known: Known) -> Verdict:
        return Verdict(agent="tester", findings=(Finding(name="little", means="x", points=2.0),))

    stages = (
        Stage.CONNECT,
        Stage.HELO,
        Stage.MAIL,
        Stage.RCPT,
        Stage.DATA,
        Stage.END_OF_HEADERS,
        Stage.END_OF_DATA,
    )
    used = hearing(an_agent(a_little, dict.fromkeys(stages, ())), policy={"tag-at": 9})
    for stage in (Stage.CONNECT, Stage.HELO, Stage.MAIL):
        used.ask(view(stage))
    used.ask(view(Stage.RCPT, recipient="bob@gate.test"))
    used.ask(view(Stage.DATA))
    (decision,) = decided(used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",))))
    assert decision.disposition.scl == 9
    assert decision.disposition.edits[0] == AddHeader("X-Gatepost-SCL", "9 (spam)")
    assert len(decision.disposition.verdicts) == 7


def test_opinions_about_one_recipient_stay_with_it() -> None:
    def about_eve(mail: MailView, _known: Known) -> Verdict:
        if mail.stage is Stage.RCPT and mail.recipient == to("eve@gate.test"):
            return Verdict(agent="tester", action=Action.QUARANTINE, reason="eve")
        if mail.stage is Stage.END_OF_DATA:
            return Verdict.reject("tester", NO, "bob", recipients=(to("bob@gate.test").address,))
        return Verdict(agent="tester")

    used = hearing(an_agent(about_eve, {Stage.RCPT: (), Stage.END_OF_DATA: ()}))
    for recipient in ("bob@gate.test", "eve@gate.test"):
        used.ask(view(Stage.RCPT, recipient=recipient))
    mail = view(Stage.END_OF_DATA, recipients=("bob@gate.test", "eve@gate.test"))
    assert [d.disposition.action for d in decided(used.decide(mail))] == [Action.REJECT, Action.QUARANTINE]


def test_a_thousand_recipients_share_their_disposition() -> None:
    used = hearing(an_agent(finds, {Stage.END_OF_DATA: ()}))
    many = tuple(f"u{n}@gate.test" for n in range(1000))
    decisions = decided(used.decide(view(Stage.END_OF_DATA, recipients=many)))
    assert len({id(d.disposition) for d in decisions}) == 1


def test_a_refusal_after_the_headers_spares_the_rest() -> None:
    seen: list[Stage] = []

    def first_no(mail: MailView, _known: Known) -> Verdict:
        seen.append(mail.stage)
        return Verdict.reject("tester", NO, "no")

    used = hearing(an_agent(first_no, {Stage.END_OF_HEADERS: (), Stage.END_OF_DATA: ()}))
    used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",)))
    assert seen == [Stage.END_OF_HEADERS]


# What is forgotten, as invariant I4 asks


@pytest.mark.threat("I4")
def test_nothing_of_a_transaction_stays() -> None:
    def eve_smells(mail: MailView, _known: Known) -> Verdict:
        if mail.stage is Stage.MAIL and mail.sender.local == "eve":
            return Verdict(agent="tester", findings=(SMELLS,))
        return Verdict(agent="tester")

    used = hearing(an_agent(eve_smells, {Stage.MAIL: ()}))
    used.ask(view(Stage.MAIL, sender="eve@client.test"))
    used.forget_mail()
    used.ask(view(Stage.MAIL))
    (decision,) = decided(used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",))))
    assert decision.disposition.scl == 0
    assert used.verdict_log == ()


@pytest.mark.threat("I4", "D01")
def test_what_was_said_before_starttls_counts_no_more_but_the_address_does() -> None:
    used = hearing(an_agent(finds, {Stage.CONNECT: (), Stage.HELO: ()}))
    for stage in (Stage.CONNECT, Stage.HELO):
        used.ask(view(stage))
    used.forget_connection()
    (decision,) = decided(used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",))))
    assert len(decision.disposition.verdicts) == 1


@pytest.mark.threat("I4")
def test_facts_are_forgotten_with_what_they_are_about() -> None:
    asked: list[str] = []

    def counts(name: str) -> Find:
        def find(mail: MailView) -> Any:
            asked.append(name)
            return {"user": Whoever(mail.session.user), "mail": Slow(), "peer": Other()}[name]

        return find

    facts = (
        gathers(counts("mail"), waits=False),
        gathers(counts("peer"), Other, scope=Scope.CONNECTION, waits=False),
        gathers(counts("user"), Whoever, scope=Scope.CONNECTION, waits=False, of_identity=True),
    )
    used = hearing(an_agent(passes, {Stage.MAIL: (Slow, Other, Whoever), Stage.DATA: (Slow,)}), facts=facts)
    used.ask(view(Stage.MAIL))
    used.ask(view(Stage.DATA))
    assert sorted(asked) == ["mail", "peer", "user"]  # at most once each
    used.forget_mail()
    used.ask(view(Stage.MAIL))
    assert sorted(asked) == ["mail", "mail", "peer", "user"]
    used.forget_connection()
    used.ask(view(Stage.MAIL, who=ACCOUNT))
    assert sorted(asked) == ["mail", "mail", "mail", "peer", "user", "user"]
    assert used.fact(Whoever) == Whoever("ann@gate.test")


def test_a_recipient_is_looked_up_once_and_again_in_the_next_mail() -> None:
    world = World()
    used = hearing(world=world)
    mail = view(Stage.RCPT, recipient="bob@gate.test")
    for _ in range(3):
        used.ask(mail)
    assert len(world.mailboxes.asked) == 1
    used.forget_mail()
    used.ask(mail)
    assert len(world.mailboxes.asked) == 2


@pytest.mark.threat("F28", "I2")
def test_guessing_recipients_does_not_fill_memory() -> None:
    used = hearing(tarpit="0s")
    for number in range(REFUSED_LIMIT * 5):
        used.ask(view(Stage.RCPT, recipient=f"u{number}@gate.test"))
    size_bytes = len(used.dossier(view(Stage.RCPT, recipient="x@gate.test")))
    for number in range(REFUSED_LIMIT * 5):
        used.ask(view(Stage.RCPT, recipient=f"v{number}@gate.test"))
    assert len(used.dossier(view(Stage.RCPT, recipient="x@gate.test"))) <= size_bytes + 100


def test_a_recipient_refused_the_second_time_stays_accepted() -> None:
    times: list[int] = []

    def only_once(_mail: MailView, _known: Known) -> Verdict:
        times.append(1)
        return Verdict(agent="tester") if len(times) == 1 else Verdict.reject("tester", NO, "again")

    used = hearing(an_agent(only_once, {Stage.RCPT: ()}))
    mail = view(Stage.RCPT, recipient="bob@gate.test")
    assert [at_once(used.ask(mail)).reply for _ in range(2)] == [None, NO]
    (decision,) = decided(used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",))))
    assert decision.disposition.reply is None


@pytest.mark.threat("I4")
def test_what_was_said_of_a_recipient_ends_with_the_mail() -> None:
    used = hearing(an_agent(finds, {Stage.RCPT: ()}))
    used.ask(view(Stage.RCPT, recipient="bob@gate.test"))
    mail = view(Stage.END_OF_DATA, recipients=("bob@gate.test",))
    before = [d.disposition.scl for d in decided(used.decide(mail))]
    used.forget_mail()
    assert (before, [d.disposition.scl for d in decided(used.decide(mail))]) == ([6], [0])


def test_a_connection_s_opinion_stays_in_the_log_until_a_mail_was_begun() -> None:
    used = hearing(an_agent(finds, {Stage.CONNECT: ()}))
    used.ask(view(Stage.CONNECT))
    used.forget_mail()  # EHLO
    before = len(used.verdict_log)
    used.ask(view(Stage.MAIL))
    used.forget_mail()
    assert (before, len(used.verdict_log)) == (1, 0)


# Facts that wait


# Bugs of agents


def explodes(_mail: MailView, _known: Known) -> Verdict:
    raise RuntimeError("secret of ours")


def exits(_mail: MailView, _known: Known) -> Verdict:
    raise SystemExit


BUGS: list[tuple[str, Any]] = [
    ("it raises", explodes),
    ("it ends the program", exits),
    ("it says nothing", lambda _mail, _known: None),
    ("it speaks for another", lambda _mail, _known: Verdict(agent="relay-restriction")),
    ("it reads what it did not ask for", lambda _mail, known: known[Slow]),
]


@pytest.mark.threat("P03")
@pytest.mark.parametrize(("name", "examine"), BUGS, ids=[row[0] for row in BUGS])
def test_a_bug_in_an_agent_neither_accepts_nor_bounces(name: str, examine: Any) -> None:
    world = World()
    used = hearing(an_agent(examine, {Stage.MAIL: (), Stage.END_OF_DATA: ()}), world=world)
    heard = at_once(used.ask(view(Stage.MAIL)))
    assert heard.reply == OUR_FAULT
    assert "secret" not in str(heard.reply)
    (decision,) = decided(used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",))))
    assert decision.disposition.reply == OUR_FAULT
    assert {line[1] for line in world.log.lines} == {"agent-bug"}
    assert ("agent_bugs", (("agent", "tester"),), 2.0) in list(world.counters.samples())


def test_connection_control_with_names_waits_for_the_dns() -> None:
    async def scene() -> None:
        kind = an_agent(passes, {Stage.DATA: ()})
        names = Names(pointers={"192.0.2.7": ["a.pool.test"]}, hosts={"a.pool.test": ["192.0.2.7"]})
        table = ConnectionSettings.model_validate({"domains": ("pool.test",)})
        used = hearing(kind, world=World(names=names), agents={"connection-control": table})
        heard = await answered(used.ask(view(Stage.CONNECT)))
        assert str(heard.reply).startswith("554 5.7.1")

    asyncio.run(scene())


@pytest.mark.threat("I4")
def test_rights_gained_by_logging_in_count_from_then_on() -> None:
    used = hearing()
    foreign = view(Stage.RCPT, recipient="u@foreign.test")
    assert at_once(used.ask(foreign)).reply is not None
    used.forget_connection()
    assert at_once(used.ask(structs.replace(foreign, session=ACCOUNT))).reply is None
    used.forget_connection()
    named = session(kind=ClientKind.NAMED, rights=Rights.SUBMIT)
    assert at_once(used.ask(structs.replace(foreign, session=named))).reply is not None


def test_deciding_needs_an_envelope() -> None:
    with pytest.raises(ValueError):
        hearing().decide(view(Stage.CONNECT))


def test_a_delay_and_a_hang_up_belong_to_the_reply_they_were_said_about() -> None:
    def slow(mail: MailView, _known: Known) -> Verdict:
        if mail.stage is Stage.END_OF_HEADERS:
            return Verdict(agent="tester", effects=(DelayReply(1.0),), reason="x")
        return Verdict(agent="tester", effects=(DelayReply(5.0), HangUp()), reason="x")

    used = hearing(an_agent(slow, {Stage.MAIL: (), Stage.RCPT: (), Stage.END_OF_HEADERS: ()}))
    for earlier in (view(Stage.MAIL), view(Stage.RCPT, recipient="bob@gate.test")):
        assert at_once(used.ask(earlier)).effects == (DelayReply(5.0), HangUp())
    (decision,) = decided(used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",))))
    assert decision.disposition.effects == (DelayReply(1.0),)
    assert len(decision.disposition.verdicts) == 3
