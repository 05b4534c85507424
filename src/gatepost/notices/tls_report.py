"""The mail that carries a TLS report (RFC 8460 §3): a few words for people, and the report packed."""

from __future__ import annotations

import base64

from gatepost.message.dsn_parts import text_part
from gatepost.message.fields import date_text, field
from gatepost.model.address import Address
from gatepost.model.content import BodyForm, Content


def compose_tls_report(
    domain: str,
    packed: bytes,
    *,
    sender: Address,
    reader: Address,
    submitter: str,
    report_id: str,
    file_name: str,
    now: float,
    token: str,
) -> Content:
    """packed: the report as gzip has it. token: 16 to 64 letters and digits nobody can guess."""
    boundary = f"=_{token}"
    head = b"".join(
        (
            field("From", f"<{sender}>"),
            field("To", f"<{reader}>"),
            field("Subject", f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report_id}>"),
            field("Date", date_text(now)),
            field("Message-ID", f"<{report_id}>"),
            field("TLS-Report-Domain", domain),
            field("TLS-Report-Submitter", submitter),
            field("Auto-Submitted", "auto-generated"),
            field("TLS-Required", "No"),
            field("MIME-Version", "1.0"),
            field("Content-Type", f'multipart/report; report-type="tlsrpt"; boundary="{boundary}"'),
        )
    )
    mark = f"--{boundary}".encode("ascii")
    text = f"How TLS with the mail servers of {domain} went, as seen by {submitter}.\n"
    attached = b"".join(
        (
            field("Content-Type", "application/tlsrpt+gzip"),
            field("Content-Transfer-Encoding", "base64"),
            field("Content-Disposition", f'attachment; filename="{file_name}"'),
            b"\r\n",
            base64.encodebytes(packed).replace(b"\n", b"\r\n"),
        )
    )
    parts = (text_part(text), attached)
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return Content(head=head + b"\r\n", body=body, form=BodyForm(size_bytes=len(body)))
