"""Reads TLS reports that others send about mail to us (RFC 8460): a stranger's JSON (threats J39)."""

from __future__ import annotations

from typing import Final

import msgspec

from gatepost.standards.report_files import UnreadableReport

POLICIES_LIMIT: Final = 1000
DOCUMENT_LIMIT_BYTES: Final = 4 << 20
"""What is read into memory as a whole grows with it."""


class FailureDetail(msgspec.Struct, frozen=True, rename="kebab"):
    """One kind of failure."""

    result_type: str = ""
    failed_session_count: int = 0
    receiving_mx_hostname: str = ""
    sending_mta_ip: str = ""
    failure_reason_code: str = ""


class Summary(msgspec.Struct, frozen=True, rename="kebab"):
    """Sessions under one policy."""

    total_successful_session_count: int = 0
    total_failure_session_count: int = 0


class PolicyName(msgspec.Struct, frozen=True, rename="kebab"):
    """Which policy."""

    policy_type: str = ""
    policy_domain: str = ""


class PolicyReport(msgspec.Struct, frozen=True, rename="kebab"):
    """What came of one policy."""

    policy: PolicyName = PolicyName()
    summary: Summary = Summary()
    failure_details: tuple[FailureDetail, ...] = ()


class DateRange(msgspec.Struct, frozen=True, rename="kebab"):
    """As the report writes it."""

    start_datetime: str = ""
    end_datetime: str = ""


class TlsReport(msgspec.Struct, frozen=True, rename="kebab", kw_only=True):
    """What one sender saw of TLS with us in a span of time. Texts are a stranger's."""

    organization_name: str = ""
    contact_info: str = ""
    report_id: str = ""
    date_range: DateRange = DateRange()
    policies: tuple[PolicyReport, ...]


_DECODER: Final = msgspec.json.Decoder(TlsReport, strict=False)


def read_tls_report(document: bytes) -> TlsReport:
    """Read one JSON document. Raises UnreadableReport."""
    if len(document) > DOCUMENT_LIMIT_BYTES:
        raise UnreadableReport(f"a TLS report of more than {DOCUMENT_LIMIT_BYTES >> 20} MiB")
    try:
        report = _DECODER.decode(document)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise UnreadableReport(f"not a TLS report: {error}") from error
    if len(report.policies) > POLICIES_LIMIT:
        raise UnreadableReport(f"more than {POLICIES_LIMIT} policies")
    return report
