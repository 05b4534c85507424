"""What a mail adds to the report of its author's domain, and that whoever counts hears of every judged mail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from tests.intake.house import open_house, settings_with
from tests.intake.test_taking_in import send
from tests.policy.fakes import session, view

from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.spf import SpfResult
from gatepost.intake.dmarc_rows import SIGNATURES_LIMIT, seen_mail
from gatepost.model.address import Address
from gatepost.model.envelope import Recipient
from gatepost.model.known import MailView, Unknown
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Disposition, Stage
from gatepost.policy.folding import Decision, Group, MailOutcome
from gatepost.standards.dmarc_report_writing import SeenMail

MAIL = view(Stage.END_OF_DATA, who=session(), sender="ann@b.example", recipients=["bob@gate.test"])


def dmarc(result: str = "fail", policy: str = "reject", **more: Any) -> DmarcResult:
    return DmarcResult(
        result=result,
        from_domain="b.example",
        policy_domain="b.example",
        policy=policy,
        rua=(("a@b.example", 0),),
        **more,
    )


def refused(by: str, code: int = 550) -> MailOutcome:
    action = Action.REJECT if code >= 500 else Action.DEFER
    reply = Reply(code, f"{code // 100}.7.1", "no")
    return MailOutcome(refusal=Disposition(action=action, decided_by=by, reason="x", reply=reply))


def kept(by: str, action: Action) -> MailOutcome:
    disposition = Disposition(action=action, decided_by=by, reason="x")
    decision = Decision(recipient=Recipient(address=Address("bob", "gate.test")), disposition=disposition)
    return MailOutcome(groups=(Group(action=action, scl=0, edits=(), decisions=(decision,)),))


TAKEN = MailOutcome()
LOCAL, TEST = ("local_policy", ""), ("policy_test_mode", "")
CASES: list[tuple[str, DmarcResult, MailOutcome, str, tuple[tuple[str, str], ...]]] = [
    ("a pass", dmarc("pass"), TAKEN, "pass", ()),
    ("a pass of a domain that asks for nothing", dmarc("pass", "none"), TAKEN, "none", ()),
    ("a pass that another filter refuses", dmarc("pass"), refused("score"), "pass", ()),
    ("refused as asked", dmarc(), refused("dmarc"), "reject", ()),
    ("set aside as asked", dmarc(policy="quarantine"), kept("dmarc", Action.QUARANTINE), "quarantine", ()),
    (
        "set aside where refusal was asked for",
        dmarc(),
        kept("dmarc", Action.QUARANTINE),
        "quarantine",
        (LOCAL,),
    ),
    ("only weighed", dmarc(), TAKEN, "none", (LOCAL,)),
    ("refused for something else", dmarc(), refused("score"), "none", (LOCAL,)),
    ("nothing asked for", dmarc(policy="none"), TAKEN, "none", ()),
    ("a list we know", dmarc(override="mailing_list"), TAKEN, "none", (("mailing_list", ""),)),
    ("one step less", dmarc(testing=True), kept("dmarc", Action.QUARANTINE), "quarantine", (TEST,)),
    ("one step less, and that not done", dmarc(testing=True), TAKEN, "none", (TEST, LOCAL)),
]


@pytest.mark.parametrize(
    ("fact", "outcome", "disposition", "reasons"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_was_done_and_why(
    fact: DmarcResult, outcome: MailOutcome, disposition: str, reasons: tuple[tuple[str, str], ...]
) -> None:
    found = seen_mail(MAIL, (fact,), outcome)
    assert found is not None
    assert (found[1].disposition, found[1].reasons) == (disposition, reasons)


NOBODY: list[tuple[str, object, MailOutcome]] = [
    ("no DMARC result", Unknown("dmarc", "late"), TAKEN),
    ("a domain without record", DmarcResult(result="none", from_domain="b.example"), TAKEN),
    ("a record without report address", DmarcResult(result="fail", policy_domain="b.example"), TAKEN),
    ("a DNS that does not answer", dmarc("temperror"), TAKEN),
    ("a mail that comes again", dmarc(), refused("greylisting", 451)),
]


@pytest.mark.parametrize(("fact", "outcome"), [n[1:] for n in NOBODY], ids=[n[0] for n in NOBODY])
def test_what_nobody_hears_of(fact: object, outcome: MailOutcome) -> None:
    assert seen_mail(MAIL, (fact,), outcome) is None


def test_results_of_spf_and_dkim_go_into_the_row() -> None:
    signature = DkimSignature(result="fail", domain="b.example", selector="s1")
    broken = DkimSignature(result="permerror")
    dkim = DkimResults(signatures=(broken, signature, *[signature] * 10))
    spf = SpfResult(result="pass", domain="b.example", identity="mailfrom", ip="192.0.2.7")
    found = seen_mail(MAIL, (dkim, spf, dmarc("pass", spf_aligned=True)), TAKEN)
    assert found is not None
    assert found[1] == SeenMail(
        source_ip=MAIL.session.origin_ip,
        disposition="pass",
        dkim=False,
        spf=True,
        header_from="b.example",
        envelope_from="b.example",
        signatures=(("b.example", "s1", "fail"),) * SIGNATURES_LIMIT,
        spf_domain="b.example",
        spf_result="pass",
    )


class Listening:
    """Keeps the promise of DmarcReports."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.sources: list[str] = []

    def note(self, view: MailView, facts: Iterable[Any], _outcome: MailOutcome) -> None:
        assert list(facts)
        self.sources.append(view.session.origin_ip)
        self.heard.append(str(view.sender))


def test_whoever_counts_hears_of_a_judged_mail() -> None:
    async def run() -> list[str]:
        listening = Listening()
        async with open_house(dmarc_reports=listening) as house:
            mail = b"From: a@b.example\r\n\r\nx\r\n"
            await send(house, b"MAIL FROM:<ann@b.example>\r\nRCPT TO:<bob@ours.example>\r\n", mail)
        return listening.heard

    assert asyncio.run(run()) == ["ann@b.example"]


@pytest.mark.threat("S10")
@pytest.mark.parametrize(
    ("relays", "source"),
    [([], "127.0.0.1"), (["127.0.0.0/8"], "203.0.113.9")],
    ids=["nobody's word but the connection's", "our relay's word, and nobody's before it"],
)
def test_reports_name_the_last_host_that_we_or_ours_saw(relays: list[str], source: str) -> None:
    # Given Received fields of a chain the sender made up, below what our relay wrote
    forged = b"".join(
        b"Received: from good%d.example ([198.51.100.%d]) by good.example; Fri, 27 Nov 2026 03:00:00 +0000\r\n"
        % (n, n)
        for n in range(1, 4)
    )
    relay = (
        b"Received: from evil.test (evil.test [203.0.113.9]) by relay.ours.example with ESMTP;\r\n"
        b"\tFri, 27 Nov 2026 03:00:00 +0000\r\n"
    )

    async def run() -> list[str]:
        listening = Listening()
        server = {"hostname": "mx.ours.example", "internal-relays": relays}
        async with open_house(settings_with(server=server), dmarc_reports=listening) as house:
            mail = relay + forged + b"From: a@b.example\r\n\r\nx\r\n"
            await send(house, b"MAIL FROM:<ann@b.example>\r\nRCPT TO:<bob@ours.example>\r\n", mail)
        return listening.sources

    # Then the report has the host that gave the mail to us, or to our relay
    assert asyncio.run(run()) == [source]
