"""Mail that our own relays bring is judged by where it came from, and no sooner than that is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import pytest
from tests.policy.fakes import World, session, view

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.recipient_status import RecipientStatus
from gatepost.intake.behind_relays import behind_relay
from gatepost.message.headers import HeaderIndex
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.policy.behind_relays import NO_ORIGIN, behind_relays
from gatepost.policy.panel import Member
from gatepost.policy.third_party import ThirdParty

RELAY = "10.0.0.5"
RELAYS = IpRanges(("10.0.0.0/8",))
SEEN = Finding(name="seen", means="Seen.", points=1.0)


@dataclass(frozen=True, slots=True)
class OriginFact:
    name: ClassVar[str] = "origin-fact"
    address: str


class Judge:
    """Look at the origin when the client connects, and again for each recipient."""

    name = "judge"
    needs = {Stage.CONNECT: (OriginFact,), Stage.RCPT: ()}  # noqa: RUF012  # a stand-in
    when_unknown = Action.PASS
    is_filter = True
    judges_origin = True
    findings = (SEEN,)
    heard: ClassVar[list[tuple[Stage, str, str]]] = []

    def __init__(self, *_: Any) -> None: ...

    def examine(self, mail: MailView, known: Known) -> Verdict:
        about = known[OriginFact].address if mail.stage is not Stage.RCPT else ""
        self.heard.append((mail.stage, mail.session.origin_ip, about))
        return Verdict(agent=self.name)


def origin_fact(_sources: Sources) -> Gathering:
    return Gathering(
        fact=OriginFact,
        scope=Scope.CONNECTION,
        earliest=Stage.CONNECT,
        find=lambda mail: OriginFact(mail.session.origin_ip),
        of_origin=True,
    )


@dataclass
class Scene:
    """One session of a client, and which stages the judge was asked at."""

    client: str
    relays: tuple[str, ...] = ("10.0.0.0/8",)
    heard: list[tuple[Stage, str, str]] = field(default_factory=list)

    def mails(self, *heads: bytes) -> list[tuple[Stage, str, str]]:
        Judge.heard = self.heard
        policy = World().hearing(
            third_party=ThirdParty(agents=(Judge,), gatherers=(origin_fact,)), relays=self.relays
        )
        who = session(client_ip=self.client)
        policy.ask(view(Stage.CONNECT, who=who))
        for head in heads:
            policy.ask(view(Stage.MAIL, who=who))
            policy.ask(view(Stage.RCPT, who=who, recipient="bob@gate.test"))
            judged = who
            if self.client in IpRanges(self.relays):
                _, judged = behind_relay(who, HeaderIndex.parse(head), IpRanges(self.relays))
            policy.decide(view(Stage.END_OF_DATA, who=judged, recipients=["bob@gate.test"], head=head))
            policy.forget_mail()
        return self.heard


def head(origin: str) -> bytes:
    return (
        f"Received: from client.test ([{origin}]) by relay.gate.test with ESMTP; x\r\n"
        f"From: ann@client.test\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\n"
    ).encode()


@pytest.mark.threat("Q08", "Q09")
def test_a_relay_s_mail_is_judged_once_its_origin_is_known_each_mail_by_its_own() -> None:
    heard = Scene(RELAY).mails(head("192.0.2.1"), head("192.0.2.2"))
    assert heard == [
        (Stage.END_OF_HEADERS, "192.0.2.1", "192.0.2.1"),
        (Stage.END_OF_HEADERS, "192.0.2.2", "192.0.2.2"),
    ]


@pytest.mark.threat("Q09")
def test_what_comes_from_our_own_hosts_has_no_origin_to_judge() -> None:
    scene = Scene(RELAY)
    assert scene.mails(head("10.0.0.77")) == []
    # And the next mail of the same relay is judged as ever
    assert scene.mails(head("192.0.2.1")) == [(Stage.END_OF_HEADERS, "192.0.2.1", "192.0.2.1")]


@pytest.mark.threat("Q08")
@pytest.mark.parametrize("relays", [(), ("10.0.0.0/8",)])
def test_received_fields_of_strangers_are_not_believed(relays: tuple[str, ...]) -> None:
    heard = Scene("192.0.2.7", relays).mails(head("203.0.113.9"))
    assert heard == [(Stage.CONNECT, "192.0.2.7", "192.0.2.7"), (Stage.RCPT, "192.0.2.7", "")]


def test_the_session_that_is_recorded_keeps_what_the_relay_said() -> None:
    who = session(client_ip=RELAY, helo="relay.gate.test")
    recorded, judged = behind_relay(who, HeaderIndex.parse(head("192.0.2.1")), RELAYS)
    assert recorded == msgspec.structs.replace(who, origin_ip="192.0.2.1")
    assert judged == msgspec.structs.replace(recorded, helo="client.test")


def test_an_agent_that_judges_the_origin_for_each_recipient_is_told_that_it_cannot() -> None:
    class Careless(Judge):
        needs = {Stage.RCPT: (RecipientStatus,)}  # type: ignore[dict-item]  # noqa: RUF012  # the mistake

    fact = Gathering(
        fact=RecipientStatus, scope=Scope.RECIPIENT, earliest=Stage.RCPT, find=lambda _mail: None
    )
    member = Member(agent=Careless(), settings=None)  # type: ignore[arg-type]  # not reached
    with pytest.raises(ValueError, match="cannot need RecipientStatus"):
        behind_relays(RELAYS, [member], {RecipientStatus: fact})


def test_explain_says_why_nobody_judged() -> None:
    policy = World().hearing(
        third_party=ThirdParty(agents=(Judge,), gatherers=(origin_fact,)), relays=("10.0.0.0/8",)
    )
    mail = view(Stage.END_OF_DATA, who=session(client_ip=RELAY), recipients=["bob@gate.test"])
    decisions = policy.decide(mail)
    assert isinstance(decisions, tuple)
    assert NO_ORIGIN.encode() in policy.dossier(mail, decisions)
