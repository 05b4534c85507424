"""Reports of single mails: only where asked for and agreed to, few, never about reports, nothing of the recipients."""

from __future__ import annotations

import asyncio
import email
from typing import Any

import msgspec
import pytest
from tests.delivery.fakes import Dice, ListLog, NoCounters
from tests.delivery.published import Zone
from tests.fakes import FakeClock
from tests.policy.fakes import session, view

from gatepost.config.dmarc_report_settings import DmarcReports
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.spf import SpfResult
from gatepost.main.dmarc_failures import FailureReporter, FailureWorld
from gatepost.main.report_post import Letter
from gatepost.model.content import Content
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Disposition, Stage
from gatepost.policy.folding import MailOutcome
from gatepost.ports.memory_shared import MemoryShared

HEAD = (
    b"From: Boss <boss@b.example>\r\nTo: secret@gate.test\r\nCC: a@b.test,\r\n c@d.test\r\nSubject: Pay\xe9\r\n"
    b"Message-ID: <1@b.example>\r\n\r\n"
)
PUBLISHED = ("reject", "reject", "reject", "r", "r", "0", "n")


def fact(**more: Any) -> DmarcResult:
    fields: dict[str, Any] = {
        "result": "fail",
        "from_domain": "b.example",
        "policy_domain": "b.example",
        "policy": "reject",
        "published": PUBLISHED,
        "ruf": (("ruf@b.example", 0),),
    }
    return DmarcResult(**{**fields, **more})


def spf(domain: str = "b.example") -> SpfResult:
    return SpfResult(result="softfail", domain=domain, identity="mailfrom", ip="192.0.2.7")


FACT, SPF = fact(), spf()
DKIM = DkimResults(signatures=(DkimSignature(result="fail", domain="b.example", selector="s1"),))


class House:
    """A reporter and what it posted."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.zone, self.log = FakeClock(), Zone(), ListLog()
        self.shared = MemoryShared(self.clock.now)
        self.posted: list[tuple[Letter, Content]] = []
        world = FailureWorld(
            resolver=self.zone,
            clock=self.clock,
            log=self.log,
            counters=NoCounters(),
            shared=self.shared,
            randomness=Dice(),
            post=lambda letter, content: self.posted.append((letter, content)),
            hostname="gate.example",
            timeout_s=1.0,
            resting="resting",
            silent_for=frozenset({"reports@gate.test"}),
        )
        given = {"sender": "dmarc@gate.example", "failure-reports": "headers", **settings}
        self.reporter = FailureReporter(DmarcReports.model_validate(given), world)

    def note(self, *facts: Any, outcome: MailOutcome | None = None, times: int = 1, **mail: Any) -> None:
        async def run() -> None:
            content = mail.pop("content", None)
            wishes = {"sender": "boss@b.example", "recipients": ["secret@gate.test"], "head": HEAD, **mail}
            seen = view(Stage.END_OF_DATA, who=session(), **wishes)
            seen = msgspec.structs.replace(seen, content=content)
            for _ in range(times):
                self.reporter.note(seen, facts or (FACT, SPF, DKIM), outcome or MailOutcome())
                for _ in range(20):
                    await asyncio.sleep(0)

        asyncio.run(run())

    @property
    def readers(self) -> list[str]:
        return [str(letter.reader) for letter, _ in self.posted]

    def parts(self) -> list[Any]:
        content = self.posted[0][1]
        assert isinstance(content.body, bytes)
        assert (content.head + content.body).isascii()
        read = email.message_from_bytes(content.head + content.body)
        assert read.get_content_type() == "multipart/report"
        assert read.get_param("report-type") == "feedback-report"
        assert read["Auto-Submitted"] == "auto-generated"
        assert read["From"] == "<dmarc@gate.example>"
        return read.get_payload()  # type: ignore[return-value]


def test_a_failure_is_told_without_its_recipients() -> None:
    house = House()
    house.zone.texts_of = {"b.example": (b"v=spf1 -all",)}
    house.note()
    (letter,) = [letter for letter, _ in house.posted]
    assert letter.sender.is_null
    assert str(letter.reader) == "ruf@b.example"
    people, machine, returned = house.parts()
    assert "in the name of b.example" in people.get_payload()
    assert machine.get_content_type() == "message/feedback-report"
    told = email.message_from_string(machine.get_payload()[0].as_string())
    assert (told["Feedback-Type"], told["Version"], told["Auth-Failure"]) == ("auth-failure", "1", "dmarc")
    assert (told["Reported-Domain"], told["Identity-Alignment"]) == ("b.example", "none")
    assert (told["Delivery-Result"], told["DKIM-Domain"], told["DKIM-Selector"]) == (
        "policy",
        "b.example",
        "s1",
    )
    assert told["SPF-DNS"] == 'txt : b.example : "v=spf1 -all"'
    assert "spf=softfail" in told["Authentication-Results"]
    assert returned.get_content_type() == "text/rfc822-headers"
    head = returned.get_payload(decode=True)
    assert b"Subject: Pay" in head
    whole = house.posted[0][1]
    assert isinstance(whole.body, bytes)
    for secret in (b"secret@", b"c@d.test", b"\r\nTo: s"):
        assert secret not in head
        assert secret not in whole.body
    assert house.log.events() == ["dmarc-failure-report-sent"]


def test_the_whole_mail_goes_where_that_was_wanted() -> None:
    house = House(**{"failure-reports": "whole"})
    plain = HEAD.replace(b"\xe9", b"e")
    house.note(head=plain, content=Content(head=plain, body=b"Dear all\r\n"))
    assert house.parts()[2].get_content_type() == "message/rfc822"
    large = House(**{"failure-reports": "whole"})
    large.note(content=Content(head=HEAD, body=b"x" * 70_000))
    assert large.parts()[2].get_content_type() == "text/rfc822-headers"


REJECTED = MailOutcome(
    refusal=Disposition(
        action=Action.REJECT, reply=Reply(550, "5.7.26", "no"), decided_by="dmarc", reason="x"
    )
)
DEFERRED = MailOutcome(
    refusal=Disposition(action=Action.DEFER, reply=Reply(451, "4.7.1", "later"), decided_by="x", reason="x")
)


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    ("facts", "mail", "outcome", "sent"),
    [
        ((FACT,), {}, REJECTED, True),
        ((FACT,), {}, DEFERRED, False),
        ((fact(ruf=()),), {}, None, False),
        ((fact(result="temperror"),), {}, None, False),
        ((fact(result="pass", dkim_aligned=True),), {}, None, False),
        (
            (fact(result="pass", dkim_aligned=True, published=(*PUBLISHED[:5], "1", "n")),),
            {},
            None,
            True,
        ),
        ((), {"sender": ""}, None, False),
        ((), {"sender": "reports@gate.test"}, None, False),
        ((), {"recipients": ["Reports@gate.test"]}, None, False),
        ((), {"head": b"Auto-Submitted: auto-replied\r\n" + HEAD}, None, False),
        ((), {"head": b"Auto-Submitted: no\r\n" + HEAD}, None, True),
        ((), {"head": b"Content-Type: Multipart/Report; boundary=x\r\n" + HEAD}, None, False),
        ((SPF,), {}, None, False),
    ],
    ids=[
        "a mail that is refused",
        "a mail that comes again",
        "a domain that does not ask",
        "a check without result",
        "a mail that passes",
        "a mail that passes in part, where that is asked for",
        "a mail without return path",
        "a mail from a report address",
        "a mail to a report address",
        "an automatic answer",
        "no automatic answer",
        "a report",
        "a mail that DMARC did not look at",
    ],
)
def test_what_is_told_of(facts: tuple[Any, ...], mail: dict[str, Any], outcome: Any, sent: bool) -> None:
    house = House()
    house.note(*facts, outcome=outcome, **mail)
    assert bool(house.posted) is sent


CONSENT = "b.example._report._dmarc.c.example"


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    ("mailboxes", "zone", "readers"),
    [
        (["a@b.example", "a@b.example", "d@b.example"], {}, ["a@b.example"]),
        (["a@c.example"], {}, []),
        (["a@c.example"], {CONSENT: b"v=DMARC1"}, ["a@c.example"]),
        (
            ["a@c.example"],
            {CONSENT: b"v=DMARC1; ruf=mailto:f@c.example; rua=mailto:r@c.example"},
            ["f@c.example"],
        ),
        (["a@c.example"], {CONSENT: b"v=DMARC1; ruf=mailto:victim@d.example"}, []),
        (["a@@c.example", "e@b.example"], {}, ["e@b.example"]),
    ],
    ids=[
        "two at most, each once",
        "a stranger",
        "who agrees",
        "who names another",
        "who names a third",
        "no address",
    ],
)
def test_where_it_may_go(mailboxes: list[str], zone: dict[str, bytes], readers: list[str]) -> None:
    house = House()
    house.zone.texts_of = {name: (text,) for name, text in zone.items()}
    house.note(fact(ruf=tuple((one, 0) for one in mailboxes)))
    assert house.readers == readers


def test_a_dns_that_does_not_answer_is_no_consent() -> None:
    house = House()
    house.zone.unknown.add(CONSENT)
    house.note(fact(ruf=(("a@c.example", 0),)))
    assert house.readers == []
    assert house.log.events() == ["dmarc-failure-report-failed"]


def test_an_address_that_rests_is_left_alone() -> None:
    house = House()
    house.shared.put("resting", "ruf@b.example", b"550", expires_at=house.clock.now() + 60)
    house.note()
    assert house.log.events() == ["dmarc-failure-report-suppressed"]


def test_the_size_in_the_record_counts() -> None:
    house = House()
    house.note(fact(ruf=(("a@b.example", 100), ("b@b.example", 100_000))))
    assert house.readers == ["b@b.example"]


@pytest.mark.threat("J39")
def test_there_are_few_of_them() -> None:
    house = House(**{"failure-reports-per-domain": 3, "failure-reports-per-day": 5})
    house.note(times=10)
    assert len(house.posted) == 3
    house.note(fact(policy_domain="c.example", ruf=(("ruf@c.example", 0),)), times=10)
    assert len(house.posted) == 5
    house.clock.advance(86400)
    house.note(times=10)
    assert len(house.posted) == 8


@pytest.mark.threat("J39")
def test_strangers_texts_stay_in_their_fields() -> None:
    house = House()
    odd = "x\r\nFeedback-Type: none\x1b" + "y" * 2000
    dkim = DkimResults(signatures=(DkimSignature(result="fail", domain=odd, selector=odd, identity=odd),))
    house.note(fact(from_domain="b\u00fc.example"), spf("a b" * 300), dkim)
    machine = house.parts()[1].get_payload()[0]
    assert machine["Feedback-Type"] == "auth-failure"
    assert len(machine.get_all("Feedback-Type")) == 1
