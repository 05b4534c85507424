"""Mail for report addresses: looked into, kept, ended or led on; nothing a stranger writes loses it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.delivery.fakes import ListLog, NoCounters, PlainBodyFiles, mail_to, parcel_of, settings_of, yard
from tests.fakes import FakeClock
from tests.policy.fakes import session, view
from tests.standards.test_dmarc_report import REPORT
from tests.standards.test_tls_report_reading import TLS

from gatepost.adapters.report_store import ReportStore
from gatepost.config.report_settings import Reports
from gatepost.config.schema import frozen
from gatepost.delivery import report_inbox
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.delivery.report_inbox import Around, ReportInbox, pause_within
from gatepost.delivery.report_proof import proof_of
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.spf import SpfResult
from gatepost.main.directories import in_own_thread
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.kept_report import KeptReport, ProvedBy
from gatepost.model.known import Unknown
from gatepost.model.queued import MailState, QueuedMail
from gatepost.model.verdict import Stage
from gatepost.policy.dossier import DossierWriter
from gatepost.policy.folding import Scale
from gatepost.ports.report_book import Entry, ReportFilter
from gatepost.routing.next_hop import HopKind, Router
from gatepost.standards.report_files import UnreadableReport

ADDRESS = "reports@gate.test"
EVERY = ReportFilter()


class House:
    """An inbox with a real book; what it wrote into the log."""

    def __init__(self, directory: Path, *, dossier: bytes | None = None, **settings: Any) -> None:
        self.log, self.dossier_bytes = ListLog(), dossier
        self.clock = FakeClock()
        self.book = ReportStore(directory / "reports.db", age_s=1e9, size_bytes=64 << 20, log=self.log)
        self.around = Around(
            book=self.book,
            dossiers=self,
            bodies=PlainBodyFiles(),
            body_path=lambda body: body.path,
            own_domain=lambda domain: domain == "gate.test",
            thread_time=self.clock.monotonic,
            sleep=lambda seconds: None,
            in_thread=in_own_thread,
            counters=NoCounters(),
            log=self.log,
        )
        self.settings = Reports.model_validate(frozen({"addresses": [ADDRESS], **settings}))

    def dossier(self, mail_id: int) -> bytes | None:
        return self.dossier_bytes

    def take(self, content: bytes | Content, mail: QueuedMail | None = None, **around: Any) -> Attempt:
        if isinstance(content, bytes):
            content = Content(head=b"Subject: x\r\n\r\n", body=content)
        inbox = ReportInbox(self.settings, replace(self.around, **around))
        parcel = parcel_of(mail or mail_to(ADDRESS, next_hop="reports"))
        return asyncio.run(inbox.take(parcel, content))

    @property
    def kept(self) -> list[KeptReport]:
        return self.book.find(EVERY, limit=99)


def test_a_report_is_kept_and_its_mail_goes_on(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert house.take(REPORT).goes_on
    (kept,) = house.kept
    assert (kept.domain, kept.total, kept.proof.by) == ("gate.test", 5, ProvedBy.NOBODY)
    assert house.log.lines[0][1]["counts"] is False
    assert house.take(REPORT).goes_on
    assert house.log.events() == ["report-kept", "report-duplicate"]


def test_a_report_is_kept_and_its_mail_ends(tmp_path: Path) -> None:
    attempt = House(tmp_path, afterwards="consume").take(REPORT)
    assert not attempt.goes_on
    assert [(o.fate, o.reply) for o in attempt.outcomes] == [(Fate.DELIVERED, "250 2.0.0 Kept as a report")]


def zipped(*contents: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    place = BytesIO()
    with zipfile.ZipFile(place, "w", method) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.xml", content)
    return place.getvalue()


HOSTILE: list[tuple[str, Callable[[], bytes], str]] = [
    ("a letter", lambda: b"Hello.", "neither XML nor JSON"),
    ("nothing", lambda: b"", "neither XML nor JSON"),
    ("a bomb of gzip", lambda: gzip.compress(b"<feedback>" + b" " * (2 << 20)), "unpacks to more than 1 MiB"),
    ("a bomb of zip", lambda: zipped(b"<feedback>" + b" " * (2 << 20)), "unpacks to more than 1 MiB"),
    ("a bomb in several files", lambda: zipped(*[b"<a>" + b" " * 300_000] * 4), "unpacks to more than 1 MiB"),
    ("a zip of many files", lambda: zipped(*[b""] * 1001), "more than 1000 entries"),
    ("a zip of lzma", lambda: zipped(REPORT, method=zipfile.ZIP_LZMA), "compression 14"),
    ("an archive in an archive", lambda: gzip.compress(gzip.compress(REPORT)), "neither XML nor JSON"),
    ("a billion laughs", lambda: b'<!DOCTYPE f [<!ENTITY a "ha">]><feedback>&a;</feedback>', "document type"),
    ("a foreign entity", lambda: b'<!DOCTYPE f SYSTEM "file:///etc/passwd"><feedback/>', "document type"),
    ("NUL", lambda: REPORT.replace(b"There", b"Th\0ere"), "broken XML"),
    ("deep elements", lambda: b"<feedback>" + b"<a>" * 50_000, "nested"),
    ("half a report", lambda: REPORT[:400], "broken XML"),
    ("half a gzip", lambda: gzip.compress(REPORT)[:-9], "ends too early"),
    ("no domain", lambda: REPORT.replace(b"<domain>gate.test</domain>", b"", 1), "without a domain"),
    ("a page", lambda: b"<html><body>x</body></html>", "not an aggregate report"),
    ("other JSON", lambda: b'{"hello": 1}', "not a TLS report"),
    ("deep JSON", lambda: b'{"policies": ' + b"[" * 100_000, "not a TLS report"),
]


@pytest.mark.threat("J39")
@pytest.mark.parametrize(("make", "why"), [h[1:] for h in HOSTILE], ids=[h[0] for h in HOSTILE])
@pytest.mark.parametrize("afterwards", ["deliver", "consume"])
def test_what_cannot_be_read_goes_on_as_mail(
    tmp_path: Path, make: Callable[[], bytes], why: str, afterwards: str
) -> None:
    wishes: dict[str, Any] = {"document-limit": "1MiB"}
    house = House(tmp_path, afterwards=afterwards, **wishes)
    assert house.take(make()).goes_on
    assert house.kept == []
    ((event, fields),) = house.log.lines
    assert event in ("report-none", "report-unreadable")
    assert why in str(fields["why"])


PACKED = base64.encodebytes(gzip.compress(REPORT)).replace(b"\n", b"\r\n")
FORMS: list[tuple[str, bytes]] = [
    (
        "the report is the mail",
        b"Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + PACKED,
    ),
    ("a type that says nothing", b"Content-Type: x\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" + PACKED),
    ("XML as text", b"Content-Type: text/xml\r\n\r\n" + REPORT),
    ("XML as plain text with a name", b'Content-Type: text/plain; name="r.XML"\r\n\r\n' + REPORT),
    ("a zip that is called gzip", b"Content-Type: application/gzip\r\n\r\n" + zipped(REPORT)),
    ("no fields at all", b"\r\n" + REPORT),
    (
        "a name in pieces",
        b"Content-Type: text/plain;\r\n name*0=a!b;\r\n name*1=.xml.gz\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + PACKED,
    ),
]


@pytest.mark.parametrize("part", [f[1] for f in FORMS], ids=[f[0] for f in FORMS])
@pytest.mark.parametrize("depth", [0, 1, 3], ids=["alone", "attached", "forwarded as an attachment"])
def test_however_senders_attach_it(tmp_path: Path, part: bytes, depth: int) -> None:
    for level in range(depth):
        kind = b"message/rfc822\r\n\r\n" if level == 1 else b"text/plain\r\n\r\nhello\r\n--%d\r\n" % level
        opened = b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\nContent-Type: ' % (
            level,
            level,
        )
        part = opened + kind + part + b"\r\n--%d--\r\n" % level
    head, body = part.split(b"\r\n\r\n", 1) if not part.startswith(b"\r\n") else (b"", part[2:])
    house = House(tmp_path)
    house.take(Content(head=(head + b"\r\n" if head else b"") + b"\r\n", body=body))
    assert [kept.total for kept in house.kept] == [5]


def test_a_mail_with_one_good_report_of_two_is_kept_and_goes_on(tmp_path: Path) -> None:
    house = House(tmp_path, afterwards="consume")
    assert house.take(zipped(b"<html/>", REPORT)).goes_on
    assert len(house.kept) == 1
    assert house.log.events() == ["report-unreadable", "report-kept"]


def test_a_tls_report_is_kept(tmp_path: Path) -> None:
    house = House(tmp_path, afterwards="consume")
    assert not house.take(gzip.compress(TLS)).goes_on
    assert [(k.kind.value, k.failed) for k in house.kept] == [("tls", 2)]


def test_a_body_on_disk_is_read(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(REPORT)
    body = SpooledBody(str(path), len(REPORT), zlib.crc32(REPORT))
    house = House(tmp_path)
    house.take(Content(head=b"\r\n", body=body))
    assert len(house.kept) == 1
    path.write_bytes(REPORT[:-1])
    (outcome,) = house.take(Content(head=b"\r\n", body=body)).outcomes
    assert outcome.fate is Fate.DEFERRED
    too_large = SpooledBody(str(path), 1 << 30, 0)
    assert house.take(Content(head=b"\r\n", body=too_large)).goes_on


class FullDisk:
    """A book that cannot be written."""

    def keep(self, report: KeptReport) -> Entry:
        raise WorldFault("disk full")


@pytest.mark.parametrize(
    ("afterwards", "attempts", "goes_on"),
    [("deliver", 0, True), ("consume", 0, False), ("consume", 1, False), ("consume", 2, True)],
)
def test_a_book_that_cannot_be_written_loses_no_mail(
    tmp_path: Path, afterwards: str, attempts: int, goes_on: bool
) -> None:
    mail = mail_to(ADDRESS)
    mail = replace(mail, recipients=(replace(mail.recipients[0], attempts=attempts),))
    house = House(tmp_path, afterwards=afterwards)
    attempt = house.take(REPORT, mail, book=FullDisk())
    assert attempt.goes_on is goes_on
    assert [o.fate for o in attempt.outcomes] == ([] if goes_on else [Fate.DEFERRED])
    assert house.log.events() == ["report-not-kept"]


class SmallBook:
    """A book in which a report has no room."""

    def keep(self, report: KeptReport) -> Entry:
        return Entry.TOO_LARGE


def test_a_report_that_has_no_room_goes_on_as_mail(tmp_path: Path) -> None:
    house = House(tmp_path, afterwards="consume")
    assert house.take(REPORT, book=SmallBook()).goes_on
    assert house.log.events() == ["report-too-large"]


def test_a_bug_of_ours_loses_no_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(report_inbox, "find_reports", broken)
    house = House(tmp_path, afterwards="consume")
    assert house.take(REPORT).goes_on
    assert house.log.events() == ["bug"]


@pytest.mark.threat("J39")
def test_reading_has_an_end_and_rests_longer_than_it_works() -> None:
    clock = FakeClock()
    slept: list[float] = []
    pause = pause_within(10.0, thread_time=clock.monotonic, sleep=slept.append)
    for worked_s in (0.1, 0.2, 7.0):
        clock.advance(worked_s)
        pause()
    assert [round(s, 3) for s in slept] == [0.3, 0.6, 1.0]
    clock.advance(3.0)
    with pytest.raises(UnreadableReport, match="longer than 10 s"):
        pause()


def dmarc(result: str) -> DmarcResult:
    return DmarcResult(result=result, from_domain="there.test", policy_domain="there.test")


def spf(result: str) -> SpfResult:
    return SpfResult(result=result, domain="mail.test", identity="mailfrom", ip="192.0.2.7")


DMARC, SPF = dmarc("pass"), spf("pass")
DKIM = DkimResults(
    signatures=(
        DkimSignature(result="fail", domain="a.test"),
        DkimSignature(result="pass", domain="l.test"),
        DkimSignature(result="pass", domain="Key.test", covers_whole_body=True),
    )
)


def dossier(*facts: Any) -> bytes:
    writer = DossierWriter()
    writer.add_facts(facts)
    seen = view(Stage.END_OF_DATA, who=session(), sender="r@there.test", recipients=[ADDRESS])
    return writer.encoded(seen, (), revision="r", scale=Scale(), asked=(), skipped=())


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    ("facts", "fields", "proof"),
    [
        ((DMARC, SPF, DKIM), {}, "dmarc there.test"),
        ((DMARC,), {}, "dmarc there.test"),
        ((dmarc("fail"), SPF, DKIM), {}, "dkim key.test"),
        ((SPF,), {}, "spf mail.test"),
        ((spf("softfail"),), {}, "nobody"),
        ((dmarc("temperror"), Unknown("spf", "no answer")), {}, "nobody"),
        ((), {}, "nobody"),
        ((), {"authenticated": True}, "internal"),
        ((), {"is_notice": True}, "internal this gateway"),
    ],
    ids=[
        "DMARC before all",
        "DMARC alone",
        "a signature over the whole body",
        "SPF",
        "SPF that does not pass",
        "a DNS that did not answer",
        "no check at all",
        "a client of ours",
        "a report of our own",
    ],
)
def test_who_sent_it(facts: tuple[Any, ...], fields: dict[str, Any], proof: str) -> None:
    assert str(proof_of(mail_to(ADDRESS, **fields), dossier(*facts))) == proof


def test_without_a_dossier_nobody_sent_it() -> None:
    assert proof_of(mail_to(ADDRESS), None).by is ProvedBy.NOBODY
    assert proof_of(mail_to(ADDRESS), b"junk").by is ProvedBy.NOBODY


def test_mail_of_a_report_address_is_led_on_to_its_mailbox(tmp_path: Path) -> None:
    async def run() -> None:
        settings = settings_of(
            {"delivery": "maildir", "maildir": str(tmp_path / "{local}")}, reports={"addresses": [ADDRESS]}
        )
        place = yard(settings)
        assert place.router.next_hop_for(mail_to(ADDRESS).recipients[0].recipient.address).key == "reports"
        place.scheduler.start()
        place.put(mail_to(ADDRESS, next_hop="reports"))
        await place.settle(lambda: any((tmp_path / "reports" / "new").glob("*")))
        await place.settle(lambda: place.store.mail(1) is None)
        assert place.slots.taken == {}
        await place.scheduler.stop(1.0)

    asyncio.run(run())


def test_only_the_addresses_that_are_named_are_read() -> None:
    place = settings_of(reports={"addresses": ["Reports@gate.test"]})
    router = Router(place, AcceptedDomains({}))
    (recipient,) = mail_to(ADDRESS).recipients
    address = recipient.recipient.address
    assert router.next_hop_for(address).kind is HopKind.REPORTS
    assert router.next_hop_for(address).first_state is MailState.READY
    assert router.by_key("reports").kind is HopKind.REPORTS
    assert router.next_hop_for(address, was_read=True).kind is HopKind.DNS
    without = Router(settings_of(), AcceptedDomains({}))
    assert without.by_key("reports").kind is HopKind.UNREACHABLE
