"""Origins on an allow list behind a relay of ours: whom they are spared, in this mail and in no other."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
from tests.agents.asking import settings as table
from tests.fakes import FakeClock
from tests.policy.fakes import Lines, Mailboxes, Names, session, settings_of, view

from gatepost.adapters.address_lists import SharedAddressLists
from gatepost.adapters.counters import MemoryCounters
from gatepost.agents.greylisting import Greylisting
from gatepost.agents.ip_lists import IpLists
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Disposition, Stage, Verdict
from gatepost.policy.assembly import build
from gatepost.policy.folding import Decision
from gatepost.policy.hearing import Hearing
from gatepost.policy.third_party import ThirdParty
from gatepost.ports.memory_shared import MemoryShared
from gatepost.routing.accepted import accepted_domains

RELAY, FRIEND, STRANGER, BLOCKED = "10.0.0.5", "192.0.2.7", "203.0.113.1", "203.0.113.99"


class Strict:
    """Refuse everybody for where the mail came from."""

    name = "strict"
    needs = {Stage.RCPT: ()}  # noqa: RUF012  # a stand-in
    when_unknown = Action.PASS
    is_filter = True
    judges_origin = True
    findings = ()

    def __init__(self, *_: Any) -> None: ...

    def examine(self, *_: Any) -> Verdict:
        return Verdict.reject(self.name, Reply(550, "5.7.1", "No"), "always")


class Late(Strict):
    """The same once the data are there."""

    name = "late"
    needs = {Stage.END_OF_DATA: ()}  # noqa: RUF012  # a stand-in


class Session:
    """One session of our relay, or of somebody else."""

    def __init__(self, skips: list[str], *agents: Any, **ip_lists: Any) -> None:
        clock = FakeClock()
        lists = SharedAddressLists(MemoryShared(clock.now), clock.now)
        lists.add("allow", FRIEND, expires_at=math.inf, author="ann", comment="")
        for address in (FRIEND, BLOCKED, RELAY):
            lists.add("block", address, expires_at=math.inf, author="ann", comment="")
        settings = settings_of(relays=["10.0.0.0/8"])
        self.hearing: Hearing = build(
            settings,
            {
                "ip-lists": table(IpLists, {"allow-skips": skips, **ip_lists}),
                "greylisting": table(Greylisting, {"enabled": True}),
            },
            accepted=accepted_domains(settings),
            resolver=Names(),
            directory=Mailboxes(),
            log=Lines(),
            counters=MemoryCounters(),
            revision="0123456789ab",
            third_party=ThirdParty(agents=agents),
            lists=lists,
        ).hearing("internet")
        self.client = session(client_ip=RELAY)
        assert self.said(Stage.CONNECT) == "pass"

    def said(self, stage: Stage, **more: Any) -> str:
        answer = self.hearing.ask(view(stage, who=self.client, **more))
        assert isinstance(answer, Disposition)
        return f"{answer.reply.code} {answer.decided_by}" if answer.reply is not None else "pass"

    def mail(self, origin: str) -> tuple[Decision, ...]:
        """origin: "" when no Received field tells one."""
        assert self.said(Stage.MAIL) == "pass"
        assert self.said(Stage.RCPT, recipient="bob@gate.test") == "pass"
        judged = session(client_ip=RELAY, origin_ip=origin or RELAY)
        decisions = self.hearing.decide(view(Stage.END_OF_DATA, who=judged, recipients=("bob@gate.test",)))
        assert not inspect.isawaitable(decisions)
        return decisions

    def outcome(self, origin: str) -> str:
        """Who refuses a mail, or its level."""
        (decision,) = self.mail(origin)
        self.hearing.forget_mail()
        found = decision.disposition
        return found.decided_by if found.reply is not None else f"level {found.scl}"


@pytest.mark.threat("Q08")
@pytest.mark.parametrize(
    ("agents", "skips", "expected"),
    [
        ((Strict, Late), ["exchange"], "level -1"),
        ((Strict, Late), ["strict", "late"], "level 0"),
        ((Strict, Late), ["strict"], "late"),
        ((Strict, Late), ["late"], "strict"),
        ((Strict,), ["block-list-providers"], "strict"),
        ((Late,), [], "late"),
    ],
)
def test_an_origin_on_the_allow_list_is_spared_what_the_settings_say(
    agents: tuple[Any, ...], skips: list[str], expected: str
) -> None:
    assert Session(skips, *agents).outcome(FRIEND) == expected


@pytest.mark.threat("Q08")
def test_the_relay_s_next_mail_is_judged_by_its_own_origin() -> None:
    said = Session(["exchange"], Strict)
    origins = (FRIEND, STRANGER, FRIEND, BLOCKED, FRIEND, "")
    assert [said.outcome(origin) for origin in origins] == [
        "level -1",
        "strict",
        "level -1",
        "ip-lists",
        "level -1",
        "level 0",
    ]


@pytest.mark.threat("Q09")
@pytest.mark.parametrize("refuse_at", ["rcpt", "connect"])
def test_a_relay_on_the_block_list_is_not_refused_for_itself(refuse_at: str) -> None:
    said = Session([], **{"refuse-at": refuse_at})
    assert [said.outcome(origin) for origin in (STRANGER, BLOCKED, "")] == ["level 0", "ip-lists", "level 0"]
    (decision,) = said.mail(BLOCKED)
    assert decision.disposition.reply is not None
    assert decision.disposition.reply.code == 550


def test_a_relay_is_not_put_off_and_explain_says_so() -> None:
    said = Session([])
    said.mail(STRANGER)
    dossier = said.hearing.dossier(view(Stage.END_OF_DATA, who=said.client, recipients=("bob@gate.test",)))
    assert b"a relay of ours comes again" in dossier


def test_a_mail_that_is_given_up_leaves_nothing_to_the_next() -> None:
    said = Session(["exchange"], Strict)
    said.mail(FRIEND)
    said.hearing.forget_connection()  # STARTTLS or a new EHLO
    assert said.outcome(STRANGER) == "strict"
