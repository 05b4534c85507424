"""The mail that carries a report to another domain (RFC 8460, RFC 9990): a few words for people, the report packed."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from gatepost.message.dsn_parts import text_part
from gatepost.message.fields import date_text, field
from gatepost.model.address import Address
from gatepost.model.content import BodyForm, Content


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportMail:
    """What goes into it. packed: the report as gzip has it.

    media_type: of the packed report.  multipart: of the mail, with its parameters but for the boundary.
    fields:     those that only this kind of report has.
    """

    sender: Address
    reader: Address
    subject: str
    message_id: str
    text: str
    packed: bytes
    file_name: str
    media_type: str
    multipart: str = "multipart/mixed"
    fields: tuple[tuple[str, str], ...] = ()


def compose_report_mail(mail: ReportMail, *, now: float, token: str) -> Content:
    """token: 16 to 64 letters and digits nobody can guess."""
    boundary = f"=_{token}"
    head = b"".join(
        (
            field("From", f"<{mail.sender}>"),
            field("To", f"<{mail.reader}>"),
            field("Subject", mail.subject),
            field("Date", date_text(now)),
            field("Message-ID", mail.message_id),
            *(field(name, value) for name, value in mail.fields),
            field("Auto-Submitted", "auto-generated"),
            field("MIME-Version", "1.0"),
            field("Content-Type", f'{mail.multipart}; boundary="{boundary}"'),
        )
    )
    mark = f"--{boundary}".encode("ascii")
    attached = b"".join(
        (
            field("Content-Type", mail.media_type),
            field("Content-Transfer-Encoding", "base64"),
            field("Content-Disposition", f'attachment; filename="{mail.file_name}"'),
            b"\r\n",
            base64.encodebytes(mail.packed).replace(b"\n", b"\r\n"),
        )
    )
    parts = (text_part(mail.text), attached)
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return Content(head=head + b"\r\n", body=body, form=BodyForm(size_bytes=len(body)))
