"""TLS reports of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shared_data import SHARED

from gatepost.standards.report_files import UnreadableReport, documents
from gatepost.standards.tls_report_reading import POLICIES_LIMIT, read_tls_report

SAMPLES = SHARED / "dmarc/tlsrpt"
TLS = b"""{"organization-name": "There", "report-id": "7", "date-range": {"start-datetime": "a", "end-datetime": "b"},
"policies": [{"policy": {"policy-type": "sts", "policy-domain": "gate.test"}, "summary":
{"total-successful-session-count": 5, "total-failure-session-count": 2},
"failure-details": [{"result-type": "certificate-expired", "failed-session-count": 2}]}]}"""


def test_the_samples_of_others() -> None:
    if not SAMPLES.exists():
        pytest.skip(f"{SAMPLES} is not here")
    read = {path.name: read_tls_report(documents(path.read_bytes())[0]) for path in sorted(SAMPLES.iterdir())}
    assert read["rpt01.eml"] == read["rpt01.json"]
    assert read["rpt01.json"].policies[0].summary.total_failure_session_count == 303
    assert [one.policy.policy_type for one in read["rpt03.json"].policies] == [
        "no-policy-found",
        "invalid-policy-type",
    ]


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b"[]",
        b'{"policies": 7}',
        b'{"policies": [' * 100_000,
        b'{"policies": [' + b"{}," * POLICIES_LIMIT + b"{}]}",
    ],
    ids=["empty", "a list", "no policies", "endless", "too many"],
)
def test_what_is_no_tls_report_is_refused(document: bytes) -> None:
    with pytest.raises(UnreadableReport):
        read_tls_report(document)


@given(st.binary(max_size=200).map(lambda more: b'{"policies": []' + more))
def test_any_bytes_are_a_report_or_refused(document: bytes) -> None:
    try:
        read_tls_report(document)
    except UnreadableReport:
        return
