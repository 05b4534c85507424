"""Aggregate reports of others: read whole, and bombs of any kind refused."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shared_data import SHARED

from gatepost.standards import dmarc_report, report_files
from gatepost.standards.dmarc_report import DEPTH_LIMIT, read_aggregate
from gatepost.standards.report_files import UnreadableReport, documents

SAMPLES = SHARED / "dmarc/aggregate"
REPORT = b"""<?xml version="1.0"?>
<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0"><report_metadata><org_name>There</org_name>
<email>r@there.test</email>
<report_id>1</report_id><date_range><begin>100</begin><end>200</end></date_range></report_metadata>
<policy_published><domain>gate.test</domain><p>reject</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated><disposition>none</disposition>
<dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>gate.test</header_from></identifiers>
<auth_results><dkim><domain>gate.test</domain><selector>s</selector><result>pass</result></dkim>
<spf><domain>b.test</domain><result>fail</result></spf></auth_results></record>
<record><row><source_ip>192.0.2.2</source_ip><count>2</count><policy_evaluated><disposition>reject</disposition>
<dkim>fail</dkim><spf>fail</spf><reason><type>mailing_list</type></reason></policy_evaluated></row>
<identifiers><header_from>gate.test</header_from></identifiers></record></feedback>"""


def zipped(*contents: bytes) -> bytes:
    place = io.BytesIO()
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.xml", content)
    return place.getvalue()


def test_a_report_is_read() -> None:
    report = read_aggregate(REPORT)
    assert (report.organization, report.domain, report.policy) == ("There", "gate.test", "reject")
    assert (report.begin, report.end, report.mails, report.failed) == (100, 200, 5, 2)
    assert report.rows[0].dkim_domains == ("gate.test pass",)
    assert report.rows[0].spf_domains == ("b.test fail",)
    assert report.rows[1].reasons == ("mailing_list",)


@pytest.mark.parametrize(
    "packed", [REPORT, b"\xef\xbb\xbf\n" + REPORT, gzip.compress(REPORT), zipped(REPORT)]
)
def test_however_it_is_packed(packed: bytes) -> None:
    assert [read_aggregate(document).mails for document in documents(packed)] == [5]


@pytest.mark.threat("J39")
def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_files, "DOCUMENT_LIMIT_BYTES", 1 << 20)
    for bomb in (
        gzip.compress(b"<" + b"a" * (2 << 20)),
        zipped(b"<" + b"a" * (1 << 19), b"<" + b"b" * (1 << 20)),
    ):
        with pytest.raises(UnreadableReport, match="unpacks to more than"):
            documents(bomb)
    monkeypatch.setattr(report_files, "MAIL_LIMIT_BYTES", 100)
    with pytest.raises(UnreadableReport, match="larger than"):
        documents(REPORT)


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "b">]><feedback>&a;</feedback>', "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><feedback/>', "document type"),
        (b"<feedback>" + b"<a>" * DEPTH_LIMIT, "nested"),
        (b"<html></html>", "not an aggregate report"),
        (b"<feedback>", "broken XML"),
        (b'<?xml version="1.0" encoding="none-such"?><feedback/>', "broken XML"),
        (b"<feedback>\0</feedback>", "broken XML"),
    ],
)
def test_hostile_documents_are_refused(document: bytes, why: str) -> None:
    with pytest.raises(UnreadableReport, match=why):
        read_aggregate(document)


@pytest.mark.threat("J39")
def test_endless_records_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dmarc_report, "RECORDS_LIMIT", 10)
    assert read_aggregate(b"<feedback>" + b"<record/>" * 10 + b"</feedback>").mails == 0
    with pytest.raises(UnreadableReport, match="more than 10 records"):
        read_aggregate(b"<feedback>" + b"<record/>" * 11 + b"</feedback>")


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", gzip.compress(REPORT)[:-9], zipped(REPORT)[:-40], b"From: a\r\n\r\nx", b"\x1f\x8bx"],
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableReport):
        documents(data)


@pytest.mark.threat("J39")
def test_a_mail_of_endless_parts_is_refused() -> None:
    nested = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(3000)
    )
    with pytest.raises(UnreadableReport):
        documents(nested + b"x")


def test_odd_numbers_are_bounded() -> None:
    assert read_aggregate(REPORT.replace(b">3<", b">-3<")).mails == 2
    assert read_aggregate(REPORT.replace(b">3<", b">" + b"9" * 19 + b"<")).mails == 10**12 + 2


@pytest.mark.threat("J39")
def test_a_zip_cannot_name_more_entries_in_64_bits_than_in_16() -> None:
    # Given a zip whose own end names one entry, and whose 64-bit end names twenty thousand
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, *[0] * 8, 1, *[0] * 6) + b"a"
    directory, local = entry * 20_000, b"PK\3\4" + bytes(26)
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 20_000, 20_000, len(directory), len(local))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(local) + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)
    # Then its directory is not read
    with pytest.raises(UnreadableReport, match="64-bit"):
        documents(local + directory + end64 + locator + end)


@given(st.binary(max_size=300) | st.sampled_from([REPORT, gzip.compress(REPORT)]).flatmap(
    lambda whole: st.integers(0, len(whole)).map(lambda cut: whole[:cut] + b"x" + whole[cut + 1 :])
))  # fmt: skip
def test_any_bytes_are_a_report_or_refused(data: bytes) -> None:
    with suppress(UnreadableReport):
        for document in documents(data):
            assert read_aggregate(document).mails >= 0


def test_the_samples_of_others() -> None:
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not here")
    read = 0
    for path in sorted(SAMPLES.iterdir()):
        if path.suffix == ".json":
            continue
        wanted = json.loads(path.with_suffix(".json").read_text("utf-8"))
        report = read_aggregate(documents(path.read_bytes())[0])
        assert report.organization == wanted["report_metadata"]["org_name"], path.name
        assert report.domain == wanted["policy_published"]["domain"], path.name
        rows = [(row["row"]["source_ip"], row["row"]["count"]) for row in wanted["record"]]
        assert [(row.source_ip, row.count) for row in report.rows] == rows, path.name
        proofs = [
            [f"{d['domain']} {d['result'].lower()}" for d in row["auth_results"]["dkim"]]
            for row in wanted["record"]
        ]
        assert [[proof.lower() for proof in row.dkim_domains] for row in report.rows] == proofs, path.name
        read += 1
    assert read == 10
