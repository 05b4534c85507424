"""DMARC reports: counted by several workers, merged, sent once to whoever asks for them and may have them."""

from __future__ import annotations

import asyncio
import email
import gzip
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.delivery.fakes import ListLog, NoCounters
from tests.delivery.published import Zone
from tests.fakes import FakeClock
from tests.policy.fakes import session, view

from gatepost.config.dmarc_report_settings import DmarcReports
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.spf import SpfResult
from gatepost.main.dmarc_reports import DmarcReporter, DmarcWorld, heeding_failures, packed_to_fit
from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.envelope import Recipient
from gatepost.model.queued import MailState, QueuedMail, QueuedRecipient
from gatepost.model.verdict import Stage
from gatepost.notices.policy import Silence
from gatepost.notices.report_mail import ReportMail, compose_report_mail
from gatepost.policy.folding import MailOutcome
from gatepost.ports.memory_shared import MemoryShared
from gatepost.records.dmarc_results import DOMAIN_ROWS, DmarcDay, DmarcResults
from gatepost.standards.dmarc_report import AggregateReport, read_aggregate
from gatepost.standards.dmarc_report_writing import ReportHead, SeenMail

NOON = 1_799_971_200.0 - 1_799_971_200.0 % 86400 + 43200
OUTCOME = MailOutcome()
PUBLISHED = ("reject", "reject", "reject", "r", "r", "0", "n")


def failed(**more: Any) -> DmarcResult:
    fields: dict[str, Any] = {
        "result": "fail",
        "from_domain": "b.example",
        "policy_domain": "b.example",
        "policy": "reject",
        "published": PUBLISHED,
        "rua": (("dmarc@b.example", 0),),
    }
    return DmarcResult(**{**fields, **more})


class House:
    """Two workers, a clock, a zone; what was posted."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.clock, self.zone, self.log = FakeClock(NOON), Zone(), ListLog()
        self.shared = MemoryShared(self.clock.now)
        self.mails: list[ReportMail] = []
        world = DmarcWorld(
            resolver=self.zone,
            clock=self.clock,
            log=self.log,
            counters=NoCounters(),
            shared=self.shared,
            post=self.mails.append,
            hostname="gate.example",
            timeout_s=1.0,
        )
        given = DmarcReports.model_validate({"sender": "dmarc@gate.example", **settings})
        self.make = partial(DmarcReporter, given, world, directory)
        self.workers = [self.make(0, sends=True), self.make(1, sends=False)]

    def note(self, worker: int = 0, fact: DmarcResult | None = None, sender: str = "ann@b.example") -> None:
        spf = SpfResult(result="softfail", domain="b.example", identity="mailfrom", ip="192.0.2.7")
        mail = view(Stage.END_OF_DATA, who=session(), sender=sender, recipients=["bob@gate.test"])
        self.workers[worker].note(mail, (fact or failed(), spf), OUTCOME)

    async def next_day(self, hours: float = 18.0) -> None:
        """To the next day, at an hour when everything is due (noon and 18 hours are 06:00)."""
        for pause_h in (hours, 0, 0):
            for worker in reversed(self.workers):
                await worker.tick()
            self.clock.advance(pause_h * 3600)

    @property
    def readers(self) -> list[str]:
        return [str(mail.reader) for mail in self.mails]

    def report(self, number: int = 0) -> AggregateReport:
        return read_aggregate(gzip.decompress(self.mails[number].packed))


@pytest.mark.threat("J39")
def test_the_workers_counts_of_a_day_are_one_report(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path, organization="Gate & Sons", contact="https://gate.example/")
        for worker in (0, 0, 1):
            house.note(worker)
        house.note(1, sender="other@c.example")
        house.note(1, failed(policy_domain="silent.example", rua=()))
        house.note(1, failed(result="temperror"))
        assert house.mails == []
        await house.next_day()
        (mail,) = house.mails
        report = house.report()
        assert (report.organization, report.domain, report.mails) == ("Gate & Sons", "b.example", 4)
        assert [(row.count, row.envelope_from) for row in report.rows] == [(3, "b.example"), (1, "c.example")]
        assert report.rows[0].reasons == ("local_policy",)
        assert report.rows[0].spf_domains == ("b.example softfail",)
        content = compose_report_mail(mail, now=house.clock.now(), token="0" * 32)
        assert isinstance(content.body, bytes)
        read = email.message_from_bytes(content.head + content.body)
        begin, day = report.begin, report.report_id[:10]
        subject = (
            f"Report Domain: b.example Submitter: gate.example Report-ID: <{day}.b.example@gate.example>"
        )
        assert " ".join(read["Subject"].split()) == subject
        attached: Any = read.get_payload()[1]  # type: ignore[index]
        assert attached.get_filename() == f"gate.example!b.example!{begin}!{begin + 86399}.xml.gz"
        assert attached.get_content_type() == "application/gzip"
        assert attached.get_payload(decode=True) == mail.packed
        await house.next_day(24)
        assert len(house.mails) == 1
        assert list(tmp_path.glob("*.json")) == []

    asyncio.run(run())


def test_counts_outlive_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        house.note(0)
        house.workers[0].stop()
        house.workers[0].note(
            view(Stage.END_OF_DATA), (failed(),), OUTCOME
        )  # of a session under old settings
        house.workers[0] = house.make(0, sends=True)
        house.note(0)
        await house.next_day()
        assert house.report().mails == 2

    asyncio.run(run())


CONSENT = "b.example._report._dmarc.c.example"
DESTINATIONS: list[tuple[str, str, dict[str, bytes], list[str]]] = [
    ("the domain itself", "a@b.example", {}, ["a@b.example"]),
    ("as a URI spells it", "a%2Bb@b.example", {}, ["a+b@b.example"]),
    (
        "a domain of the same organisation",
        "a@in.b.example",
        {"_dmarc.b.example": b"v=DMARC1; p=none"},
        ["a@in.b.example"],
    ),
    ("a stranger who was not asked", "a@c.example", {}, []),
    ("a stranger who agrees", "a@c.example", {CONSENT: b"v=DMARC1;"}, ["a@c.example"]),
    ("a stranger with another record there", "a@c.example", {CONSENT: b"v=spf1 -all"}, []),
    (
        "a stranger who wants them at another address",
        "a@c.example",
        {CONSENT: b"v=DMARC1; rua=mailto:b@c.example"},
        ["b@c.example"],
    ),
    (
        "a stranger who leads them to a third",
        "a@c.example",
        {CONSENT: b"v=DMARC1; rua=mailto:b@victim.example"},
        [],
    ),
    ("no address", "a@@c.example", {}, []),
]


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    ("mailbox", "zone", "readers"), [d[1:] for d in DESTINATIONS], ids=[d[0] for d in DESTINATIONS]
)
def test_where_reports_may_go(
    tmp_path: Path, mailbox: str, zone: dict[str, bytes], readers: list[str]
) -> None:
    async def run() -> None:
        house = House(tmp_path)
        house.zone.texts_of = {name: (text,) for name, text in zone.items()}
        house.note(0, failed(rua=((mailbox, 0),)))
        await house.next_day()
        assert house.readers == readers
        assert ("dmarc-report-failed" in house.log.events()) is (readers == [])

    asyncio.run(run())


def test_a_dns_that_does_not_answer_is_no_consent(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        house.zone.unknown.add(CONSENT)
        house.note(0, failed(rua=(("a@c.example", 0), ("a@b.example", 0), ("a@b.example", 5))))
        await house.next_day()
        assert house.readers == ["a@b.example"]

    asyncio.run(run())


def test_an_address_that_failed_is_left_alone_for_a_time(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path, **{"address-rest": "3d"})
        reader = QueuedRecipient(
            number=0,
            recipient=Recipient(address=Address("dmarc", "b.example")),
            next_hop="",
            state=MailState.FAILED,
            due_at=0.0,
            last_reply="550 5.1.1 unknown",
        )
        asked: list[str] = []

        def write(mail: QueuedMail, _failed: Any, _content: Content) -> Silence:
            asked.append(mail.source)
            return next(iter(Silence))

        heed = heeding_failures(write, house.workers[0])
        for source in ("SMTP", "DMARCRPT"):
            heed(_mail(source, reader), [reader], Content(head=b"\r\n", body=b""))
            await house.workers[0].tick()
        assert asked == ["SMTP", "DMARCRPT"]
        assert house.log.events().count("dmarc-report-address-rests") == 1
        house.note()
        await house.next_day()
        assert house.readers == []
        for _ in range(3):
            house.note()
            await house.next_day(24)
        assert len(house.readers) >= 1
        assert heeding_failures(write, None) is write

    asyncio.run(run())


def _mail(source: str, reader: QueuedRecipient) -> QueuedMail:
    return QueuedMail(
        mail_id=1,
        session_id="0" * 16,
        received_at=0.0,
        expires_at=1.0,
        sender=Address("dmarc", "gate.example"),
        recipients=(reader,),
        size_bytes=2,
        source=source,
    )


HEAD = ReportHead(
    organization="x", email="a@x.example", contact="", report_id="1", begin=0, end=1, domain="b.example",
    published=PUBLISHED,
)  # fmt: skip


def _row(number: int) -> SeenMail:
    name = f"{number * 2654435761 % 2**32:08x}.example"
    return SeenMail(
        source_ip="192.0.2.1", disposition="none", dkim=False, spf=False, header_from=name, envelope_from=name
    )


def test_a_report_keeps_to_the_size_that_is_wanted() -> None:
    rows = [(_row(number), 3000 - number) for number in range(2000)]
    whole = packed_to_fit(HEAD, rows, 0, 10 << 20)
    small = packed_to_fit(HEAD, rows, 7, 12_000)
    assert len(small) * 4 // 3 < 12_000 < len(whole)
    kept = read_aggregate(gzip.decompress(small)).rows
    assert [row.count for row in kept] == [count for _, count in rows[: len(kept)]]
    left_out = 7 + sum(count for _, count in rows[len(kept) :])
    assert f"<error>{left_out} more mails".encode() in gzip.decompress(small)
    with pytest.raises(ValueError, match="larger than the 100 bytes"):
        packed_to_fit(HEAD, rows, 0, 100)


def test_the_size_in_the_record_counts(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        house.note(0, failed(rua=(("a@b.example", 100), ("c@b.example", 100_000))))
        await house.next_day()
        assert house.readers == ["c@b.example"]

    asyncio.run(run())


def test_counts_are_bounded() -> None:
    results = DmarcResults(2, 10)
    results.turn("2026-11-27")
    for domain in ("a.example", "b.example", "c.example"):
        for number in range(8):
            results.count(domain, PUBLISHED, (), _row(number))
    a, b = results.today.domains.values()
    assert (len(a.rows), a.left_out, len(b.rows), b.left_out) == (8, 0, 2, 6)
    other = DmarcDay(day="2026-11-27")
    many = DmarcResults(1, 2 * DOMAIN_ROWS)
    many.turn(other.day)
    for number in range(DOMAIN_ROWS + 5):
        many.count("a.example", PUBLISHED, (), _row(number))
    many.today.merge(results.today)
    held = many.today.domains["a.example"]
    assert (len(held.rows), held.left_out, sum(held.rows.values())) == (DOMAIN_ROWS, 5, DOMAIN_ROWS + 8)
    held.rows["{"] = 2
    assert len(held.seen()) == DOMAIN_ROWS
    assert held.left_out == 7
