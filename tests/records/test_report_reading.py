"""Reports as they are kept: whatever strangers write, rows are bounded, sums are right, texts are harmless."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.shared_data import SHARED
from tests.standards.test_dmarc_report import REPORT

from gatepost.model.kept_report import KeptReport, Proof, ProvedBy, ReportKind
from gatepost.records.report_reading import COUNT_LIMIT, ROWS_LIMIT, Arrived, domain_of, ip_of, read_reports
from gatepost.standards.report_files import UnreadableReport, documents

NOW = 1_800_000_000.0
ARRIVED = Arrived(
    received_at=NOW,
    proof=Proof(by=ProvedBy.DMARC, name="there.test"),
    is_ours=lambda domain: domain == "gate.test",
    mail_id="M1",
)
TLS: dict[str, Any] = {
    "organization-name": "There",
    "report-id": "7",
    "date-range": {"start-datetime": "2027-01-14T00:00:00Z", "end-datetime": "2027-01-14T23:59:59Z"},
    "policies": [
        {
            "policy": {"policy-type": "sts", "policy-domain": "Gate.Test."},
            "summary": {"total-successful-session-count": 5, "total-failure-session-count": -2},
            "failure-details": [
                {
                    "result-type": "certificate-expired",
                    "receiving-mx-hostname": "MX.gate.test",
                    "sending-mta-ip": "::ffff:192.0.2.1",
                    "failed-session-count": 2,
                }
            ],
        },
        {
            "policy": {"policy-type": "tlsa", "policy-domain": "gate.test"},
            "summary": {"total-successful-session-count": 1, "total-failure-session-count": 3},
        },
        {"policy": {"policy-type": "sts", "policy-domain": "other.test"}},
    ],
}


def read(document: bytes) -> tuple[KeptReport, ...]:
    return read_reports(document, ARRIVED)


def row(**fields: Any) -> bytes:
    said = {"ip": "192.0.2.9", "count": "1", "dkim": "fail", "spf": "fail", "author": "gate.test", **fields}
    return (
        (
            "<record><row><source_ip>{ip}</source_ip><count>{count}</count><policy_evaluated><disposition>none"
            "</disposition><dkim>{dkim}</dkim><spf>{spf}</spf></policy_evaluated></row><identifiers><header_from>"
            "{author}</header_from></identifiers></record>"
        )
        .format(**said)
        .encode()
    )


def report(*rows: bytes, domain: bytes = b"gate.test", end: int = int(NOW) - 3600) -> bytes:
    return (
        b"<feedback><report_metadata><org_name>T</org_name><report_id>1</report_id><date_range><begin>1</begin>"
        b"<end>%d</end></date_range></report_metadata><policy_published><domain>%s</domain></policy_published>"
        % (end, domain)
        + b"".join(rows)
        + b"</feedback>"
    )


def test_an_aggregate_report_is_kept_with_its_rows() -> None:
    (kept,) = read(REPORT)
    assert (kept.kind, kept.organization, kept.domain, kept.total, kept.failed) == (
        ReportKind.DMARC,
        "There",
        "gate.test",
        5,
        2,
    )
    assert [(r.ip, r.mails, r.dkim, r.spf, r.done, r.why) for r in kept.sources] == [
        ("192.0.2.1", 3, True, False, "none", ""),
        ("192.0.2.2", 2, False, False, "reject", "mailing_list"),
    ]
    assert (kept.is_ours, kept.counts, kept.mail_id, kept.document) == (True, True, "M1", REPORT)
    assert kept.at == NOW  # it claims to be of 1970


def test_a_tls_report_is_one_for_each_domain() -> None:
    gate, other = read(json.dumps(TLS).encode())
    assert (gate.domain, gate.total, gate.failed, gate.policy) == ("gate.test", 9, 3, "sts tlsa")
    (failure,) = gate.failures
    assert (failure.what, failure.host, failure.ip, failure.sessions) == (
        "certificate-expired",
        "mx.gate.test",
        "192.0.2.1",
        2,
    )
    assert (other.domain, other.total, other.is_ours, other.counts) == ("other.test", 0, False, False)


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    ("document", "why"),
    [
        (report(domain=b""), "without a domain"),
        (json.dumps({**TLS, "policies": []}).encode(), "without a policy"),
        (
            json.dumps(
                {**TLS, "policies": [{"policy": {"policy-domain": f"{n}.test"}} for n in range(101)]}
            ).encode(),
            "more than 100 domains",
        ),
        (b'{"policies": [' + b" " * (4 << 20) + b"]}", "more than 4 MiB"),
    ],
)
def test_what_cannot_be_kept(document: bytes, why: str) -> None:
    with pytest.raises(UnreadableReport, match=why):
        read(document)


@pytest.mark.threat("J39")
def test_odd_values_are_harmless() -> None:
    rows = (
        row(ip="::ffff:192.0.2.9", count="7"),
        row(ip="192.0.2.9", count="2"),
        row(ip="no address"),
        row(ip="fe80::1%&#x9b;", count="-5"),
        row(count=str(10**18), dkim="PASS", author="B\u00fccher.test"),
    )
    (kept,) = read(report(*rows, domain="g\u0430te.test\u202e".encode(), end=10**18))
    assert [(r.ip, r.mails, r.dkim) for r in kept.sources] == [
        ("192.0.2.9", COUNT_LIMIT, True),
        ("192.0.2.9", 9, False),
        ("?", 1, False),
    ]
    assert kept.sources[0].author == "xn--bcher-kva.test"
    assert kept.domain.isprintable()
    assert (kept.at, kept.is_ours) == (NOW, False)


def test_a_report_of_these_days_counts_for_its_time() -> None:
    assert read(report(row()))[0].at == NOW - 3600


def test_beyond_the_limit_only_sums_are_kept() -> None:
    rows = [
        row(ip=f"2001:db8::{n:x}", count="2", spf="pass" if n % 2 else "fail") for n in range(ROWS_LIMIT + 7)
    ]
    (kept,) = read(report(*rows))
    assert len(kept.sources) == ROWS_LIMIT + 2
    assert sorted((r.ip, r.mails) for r in kept.sources)[:2] == [("", 6), ("", 8)]
    assert (kept.total, kept.failed) == (2 * ROWS_LIMIT + 14, ROWS_LIMIT + 8)


@settings(max_examples=50)
@given(st.text(max_size=300))
def test_domains_and_addresses_are_any_text(text: str) -> None:
    for made in (domain_of(text), ip_of(text)):
        assert made.isprintable()
        assert len(made) <= 255


TEXTS = st.text(max_size=30)
NUMBERS = st.integers() | TEXTS | st.floats()


@settings(max_examples=30)
@given(
    st.fixed_dictionaries(
        {
            "organization-name": TEXTS,
            "report-id": TEXTS | st.none(),
            "date-range": st.dictionaries(st.sampled_from(["start-datetime", "end-datetime"]), TEXTS),
            "policies": st.lists(
                st.fixed_dictionaries(
                    {
                        "policy": st.fixed_dictionaries({"policy-domain": TEXTS}),
                        "summary": st.dictionaries(st.just("total-failure-session-count"), NUMBERS),
                        "failure-details": st.lists(
                            st.dictionaries(
                                st.sampled_from(["failed-session-count", "sending-mta-ip"]), NUMBERS
                            )
                        ),
                    }
                ),
                max_size=4,
            ),
        }
    )
)
def test_any_tls_report_is_read_or_refused(given_report: dict[str, Any]) -> None:
    with suppress(UnreadableReport):
        for kept in read(json.dumps(given_report).encode()):
            assert 0 <= kept.failed <= kept.total
            assert all(0 <= r.sessions <= COUNT_LIMIT for r in kept.failures)


@settings(max_examples=30)
@given(
    st.lists(
        st.builds(
            row,
            ip=st.sampled_from(["192.0.2.1", "", "&#10;", "1"]) | st.ip_addresses().map(str),
            count=NUMBERS.filter(lambda n: "<" not in str(n) and "&" not in str(n)).map(str),
            dkim=st.sampled_from(["pass", "fail", "Pass ", ""]),
        ),
        max_size=8,
    )
)
def test_any_rows_are_read_or_refused(rows: list[bytes]) -> None:
    with suppress(UnreadableReport):
        (kept,) = read(report(*rows))
        assert 0 <= kept.failed <= kept.total == sum(r.mails for r in kept.sources)


def test_the_samples_of_others() -> None:
    places = (SHARED / "dmarc/aggregate", SHARED / "dmarc/tlsrpt")
    if not all(place.exists() for place in places):
        pytest.skip(f"{SHARED} is not here")
    kept = [
        one
        for place in places
        for path in sorted(place.iterdir())
        if path.suffix != ".json" or place.name == "tlsrpt"
        for document in documents(path.read_bytes())
        for one in read(document)
    ]
    assert [one.kind.value for one in kept].count("dmarc") == 10
    assert all(one.organization for one in kept)
    assert [one.mail_id for one in kept if not one.domain and one.counts] == []
