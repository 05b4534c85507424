"""TLS reports: counted by several workers, merged, sent once to whoever asks for them, by mail or HTTPS."""

from __future__ import annotations

import asyncio
import email
import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests import certificates
from tests.delivery.fakes import ListLog, NoCounters
from tests.delivery.published import PolicyServer, Zone, http
from tests.fakes import FakeClock

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.tls import client_pump
from gatepost.config.outbound_tls_settings import TlsReports
from gatepost.main import nightly_reports
from gatepost.main.tls_reports import ReportWorld, TlsReporter
from gatepost.model.address import Address
from gatepost.notices.report_mail import ReportMail, compose_report_mail
from gatepost.records.days import restored
from gatepost.records.tls_results import DETAILS_LIMIT, POLICIES_LIMIT, DayResults, Failures
from gatepost.routing.link_policies import NO_POLICY, PublishedPolicy
from gatepost.standards.tlsrpt import mailbox_of, uris_of

NOON = 1_799_971_200.0 - 1_799_971_200.0 % 86400 + 43200
DAY_S = 86400.0
STS = PublishedPolicy(kind="sts", strings=("version: STSv1", "mode: enforce"), mx=("mx.b.example",))


class House:
    """Two workers, a clock, a zone; what was taken in."""

    def __init__(self, directory: Path, ca_file: str = "") -> None:
        self.directory = directory
        self.clock, self.zone, self.log = FakeClock(NOON), Zone(), ListLog()
        self.mails: list[ReportMail] = []
        settings = TlsReports.model_validate({"sender": "tls@gate.example"})
        world = ReportWorld(
            resolver=self.zone,
            https=HttpsAsker(self.zone, LoopDialer(client_pump), ca_file=ca_file),
            clock=self.clock,
            log=self.log,
            counters=NoCounters(),
            post=self.mails.append,
            hostname="gate.example",
            timeout_s=1.0,
        )
        self.make = partial(TlsReporter, settings, world, directory)
        self.workers = [self.make(0, sends=True), self.make(1, sends=False)]

    def note(self, worker: int, result: str = "", **more: Any) -> None:
        fields: dict[str, Any] = {
            "domain": "b.example",
            "published": STS,
            "host": "mx.b.example",
            "ip": "192.0.2.1",
        }
        self.workers[worker].note(
            **{**fields, "local_ip": "192.0.2.9", "why": result, "result": result, **more}
        )

    async def tick(self) -> None:
        for worker in reversed(self.workers):
            await worker.tick()

    async def next_day(self, hours: float = 18.0) -> None:
        """To the next day, at an hour when everything is due (noon and 18 hours are 06:00)."""
        await self.tick()
        self.clock.advance(hours * 3600)
        await self.tick()
        await self.tick()

    def only_report(self) -> tuple[Address, Any, dict[str, Any]]:
        (report,) = self.mails
        content = compose_report_mail(report, now=self.clock.now(), token="0" * 32)
        assert isinstance(content.body, bytes)
        mail = email.message_from_bytes(content.head + content.body)
        packed = mail.get_payload()[1].get_payload(decode=True)  # type: ignore[union-attr,index]
        return report.reader, mail, json.loads(gzip.decompress(packed))  # type: ignore[arg-type]


def test_the_workers_results_of_a_day_are_one_report(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        house.zone.texts_of["_smtp._tls.b.example"] = (b"v=TLSRPTv1; rua=mailto:tls%2Brpt@r.example",)
        for worker in (0, 0, 1):
            house.note(worker)
        house.note(0, "certificate-expired")
        house.note(1, "certificate-expired")
        house.note(1, published=NO_POLICY)
        house.note(0, domain="nobody-asks.example")
        await house.next_day()
        reader, mail, report = house.only_report()
        assert reader == Address("tls+rpt", "r.example")
        assert mail.get_content_type() == "multipart/report"
        assert mail["TLS-Report-Domain"] == "b.example"
        assert mail["TLS-Required"] == "No"
        day = report["date-range"]["start-datetime"][:10]
        assert report["report-id"] == f"{day}.b.example@gate.example"
        sts, none = report["policies"]
        assert sts["policy"] == {
            "policy-type": "sts",
            "policy-domain": "b.example",
            "policy-string": ["version: STSv1", "mode: enforce"],
            "mx-host": ["mx.b.example"],
        }
        assert sts["summary"] == {"total-successful-session-count": 3, "total-failure-session-count": 2}
        (detail,) = sts["failure-details"]
        assert (detail["result-type"], detail["failed-session-count"]) == ("certificate-expired", 2)
        assert none["policy"]["policy-type"] == "no-policy-found"
        await house.next_day(24)
        assert len(house.mails) == 1
        assert list(tmp_path.glob("*.json")) == []

    asyncio.run(run())


def test_nothing_is_sent_before_the_day_is_over_and_counts_outlive_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        house.zone.texts_of["_smtp._tls.b.example"] = (b"v=TLSRPTv1;rua=mailto:a@r.example",)
        house.note(0)
        house.clock.advance(3600)
        await house.tick()
        assert house.mails == []
        house.note(0)
        old = house.workers[0]
        old.stop()
        house.workers[0] = house.make(0, sends=True)
        house.note(0)
        house.workers[0].stop()  # before it ever looked at the file
        house.workers[0] = house.make(0, sends=True)
        await house.next_day()
        _, _, report = house.only_report()
        assert report["policies"][0]["summary"]["total-successful-session-count"] == 3

    asyncio.run(run())


def test_https_goes_before_mail_when_the_record_says_so_and_mail_when_it_fails(tmp_path: Path) -> None:
    async def run() -> None:
        server = PolicyServer(certificates.leaf("r.example"))
        server.answers = lambda: http(b"", "text/plain", "201 Created")
        await server.start()
        house = House(tmp_path, certificates.ca_file(tmp_path / "ca.pem"))
        house.zone.addresses_of["r.example"] = ("127.0.0.1",)
        record = f"v=TLSRPTv1; rua=https://r.example:{server.port}/tls,mailto:a@r.example".encode()
        house.zone.texts_of["_smtp._tls.b.example"] = (record,)
        house.note(0)
        await house.next_day()
        assert house.mails == []
        assert server.asked[0].startswith("POST /tls HTTP/1.1\r\n")
        assert "Content-Type: application/tlsrpt+gzip\r\n" in server.asked[0]
        server.answers = lambda: http(b"no", "text/plain", "500 Oops")
        house.note(0)
        await house.next_day(24)
        assert len(server.asked) == 2
        assert len(house.mails) == 1
        await server.stop()

    asyncio.run(run())


def test_a_broken_file_is_told_and_costs_its_own_counts_only(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        house.zone.texts_of["_smtp._tls.b.example"] = (b"v=TLSRPTv1;rua=mailto:a@r.example",)
        house.note(0)
        await house.tick()
        (path,) = tmp_path.glob("*.json")
        path.with_name(path.name.replace(".0.", ".1.")).write_bytes(b"[[[[")
        await house.next_day()
        assert "tls-results-failed" in house.log.events()
        assert len(house.mails) == 1

    asyncio.run(run())


RECORDS = [
    ("one place", [b"v=TLSRPTv1; rua=mailto:a@b.example"], ("mailto:a@b.example",)),
    (
        "two",
        [b"v=TLSRPTv1;rua=https://x.example/y , mailto:a@b.example;"],
        ("https://x.example/y", "mailto:a@b.example"),
    ),
    ("another kind of place", [b"v=TLSRPTv1; rua=ftp://x.example/"], ()),
    ("no place", [b"v=TLSRPTv1;"], ()),
    ("two records", [b"v=TLSRPTv1; rua=mailto:a@b.example"] * 2, ()),
    ("another version", [b"v=TLSRPTv2; rua=mailto:a@b.example"], ()),
    (
        "twenty places",
        [b"v=TLSRPTv1; rua=" + b",".join([b"mailto:a@b.example"] * 20)],
        ("mailto:a@b.example",) * 5,
    ),
]


@pytest.mark.parametrize(("texts", "uris"), [r[1:] for r in RECORDS], ids=[r[0] for r in RECORDS])
def test_where_reports_go(texts: list[bytes], uris: tuple[str, ...]) -> None:
    assert uris_of(texts) == uris


def test_a_mailto_uri() -> None:
    assert mailbox_of("mailto:a%40x@b.example?subject=x") == "a@x@b.example"


def test_counts_are_bounded() -> None:
    day = DayResults(day="2026-11-27")
    for number in range(POLICIES_LIMIT + 5):
        day.count("b.example", "sts", (str(number),), (), None)
    for number in range(DETAILS_LIMIT + 50):
        day.count("c.example", "sts", (), (), Failures("x", str(number), "", "", "", 1))
    assert len(day.domains["b.example"]) == POLICIES_LIMIT
    (counts,) = day.domains["c.example"]
    assert len(counts.details) == DETAILS_LIMIT
    assert counts.failures == DETAILS_LIMIT + 50
    with pytest.raises(ValueError, match="truncated"):
        restored(b"{", DayResults)


@pytest.mark.threat("G12")
def test_a_domain_whose_servers_are_silent_keeps_nobodys_report_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightly_reports, "REPORT_LIMIT_S", 0.05)

    async def run() -> None:
        house = House(tmp_path)
        house.zone.texts_of["_smtp._tls.b.example"] = (b"v=TLSRPTv1;rua=mailto:a@r.example",)
        answer = house.zone.texts

        async def texts(name: str, *, timeout_s: float) -> tuple[bytes, ...]:
            if "silent" in name:
                await asyncio.Event().wait()
            return await answer(name, timeout_s=timeout_s)

        house.zone.texts = texts  # type: ignore[method-assign]
        for number in range(30):
            house.note(0, domain=f"silent{number}.example")
        house.note(0)
        async with asyncio.timeout(10):
            await house.next_day()
        assert len(house.mails) == 1
        late = [fields["domain"] for event, fields in house.log.lines if event == "tls-report-failed"]
        assert sorted(map(str, late)) == sorted(f"silent{number}.example" for number in range(30))

    asyncio.run(run())
