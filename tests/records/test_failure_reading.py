"""Failure reports of others: what the machine's part says, whoever wrote it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.records.test_report_reading import ARRIVED, NOW
from tests.shared_data import SHARED

from gatepost.model.address import Address
from gatepost.model.kept_report import KeptReport, ReportKind
from gatepost.notices.failure_report import FailureReport, compose_failure_report
from gatepost.records.failure_reading import read_failure
from gatepost.records.report_mails import find_reports
from gatepost.standards.report_files import UnreadableReport

SAMPLES = SHARED / "dmarc/arf"
FIELDS = (
    ("Arrival-Date", "Thu, 14 Jan 2027 10:00:00 +0000"),
    ("Source-IP", "192.0.2.9"),
    ("Reporting-MTA", "dns; mx.there.test"),
    ("Original-Mail-From", "<x@b.test>"),
    ("Reported-Domain", "gate.test"),
    ("Auth-Failure", "dmarc"),
    ("Identity-Alignment", "spf"),
    ("Delivery-Result", "reject"),
    ("DKIM-Domain", "gate.test"),
)


def mail(fields: tuple[tuple[str, str], ...] = FIELDS) -> bytes:
    """As we write them ourselves."""
    report = FailureReport(
        sender=Address("a", "there.test"),
        reader=Address("ruf", "gate.test"),
        domain="gate.test",
        message_id="<1@there.test>",
        text="hello\n",
        fields=fields,
        head=b"From: x@gate.test\r\nMessage-ID: <9@b.test>\r\n\r\n",
    )
    made = compose_failure_report(report, agent="Gatepost", now=NOW, token="0" * 32)
    assert isinstance(made.body, bytes)
    return made.head + made.body


def kept(data: bytes) -> KeptReport:
    (found,) = find_reports(data, ARRIVED).reports
    return found


def test_our_own_reports_are_read() -> None:
    found = kept(mail())
    assert (found.kind, found.organization, found.domain) == (
        ReportKind.FAILURE,
        "mx.there.test",
        "gate.test",
    )
    assert (found.total, found.failed, found.policy, found.counts) == (1, 1, "dmarc", True)
    assert found.at == found.end == 1_799_920_800
    (source,) = found.sources
    assert (source.ip, source.dkim, source.spf, source.done, source.sender) == (
        "192.0.2.9",
        False,
        True,
        "reject",
        "b.test",
    )
    assert b"9@b.test" not in found.document
    assert kept(mail()).report_id == found.report_id
    assert kept(mail((*FIELDS, ("Incidents", "7")))).total == 7


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (mail((("Feedback-Type", "abuse"),)).replace(b"auth-failure", b"abuse"), "type 'abuse'"),
        (mail(()), "names no domain"),
        (b"Content-Type: message/feedback-report\r\n\r\n\0\x1b[2J", "type ''"),
    ],
)
def test_what_is_not_kept(data: bytes, why: str) -> None:
    with pytest.raises(UnreadableReport, match=why):
        read_failure(data, ARRIVED)


def test_a_mail_without_one() -> None:
    assert read_failure(b"Subject: x\r\n\r\nhello", ARRIVED) is None


@settings(max_examples=50)
@given(st.lists(st.sampled_from([*(f"{n}: {v}".encode() for n, v in FIELDS), b"Incidents: " + b"9" * 30, b"\0:", b" x"])
                | st.binary(max_size=30)))  # fmt: skip
def test_any_fields_are_read_or_refused(lines: list[bytes]) -> None:
    data = b"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\n" + b"\r\n".join(
        lines
    )
    with suppress(UnreadableReport):
        found = read_failure(data, ARRIVED)
        assert found is not None
        assert found.total >= 1
        assert all(t.isprintable() for t in (found.domain, found.organization, found.policy))


def test_the_samples_of_others() -> None:
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not here")
    read: dict[str, str] = {}
    for path in sorted(SAMPLES.glob("*.eml")):
        try:
            found = read_failure(path.read_bytes(), ARRIVED)
            read[path.stem] = f"{found.domain} {found.sources[0].ip}" if found is not None else ""
        except UnreadableReport as why:
            read[path.stem] = str(why)
    assert [read[name] for name in ("003", "004", "005")] == [
        "example.net 192.0.2.1",
        "interpublication.org 148.163.85.135",
        "a.sender.example 192.0.2.1",
    ]
    assert all("abuse" in read[name] for name in ("001", "002"))
