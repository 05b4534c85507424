"""The mail that carries a TLS report (RFC 8460 §3)."""

from __future__ import annotations

from gatepost.model.address import Address
from gatepost.notices.report_mail import ReportMail


def tls_report_mail(
    domain: str,
    packed: bytes,
    *,
    sender: Address,
    reader: Address,
    submitter: str,
    report_id: str,
    file_name: str,
) -> ReportMail:
    """packed: the report as gzip has it."""
    return ReportMail(
        sender=sender,
        reader=reader,
        subject=f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report_id}>",
        message_id=f"<{report_id}>",
        text=f"How TLS with the mail servers of {domain} went, as seen by {submitter}.\n",
        packed=packed,
        file_name=file_name,
        media_type="application/tlsrpt+gzip",
        multipart='multipart/report; report-type="tlsrpt"',
        fields=(
            ("TLS-Report-Domain", domain),
            ("TLS-Report-Submitter", submitter),
            ("TLS-Required", "No"),
        ),
    )
