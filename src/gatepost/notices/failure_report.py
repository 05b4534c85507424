"""The mail that tells a domain of one mail that failed DMARC in its name (RFC 9991, RFC 6591, RFC 5965)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gatepost.message.dsn_parts import returned_part, text_part
from gatepost.message.fields import date_text, field
from gatepost.message.headers import name_of, raw_fields
from gatepost.message.words import printable
from gatepost.model.address import Address
from gatepost.model.content import BodyForm, Content

HEAD_LIMIT_BYTES: Final = 32 << 10
WHOLE_LIMIT_BYTES: Final = 64 << 10
"""A larger mail is told of by its header fields."""
VALUE_LIMIT_CHARS: Final = 500
VERSION: Final = "1"
RECIPIENT_FIELDS: Final = frozenset(
    b"to cc bcc resent-to resent-cc resent-bcc delivered-to x-delivered-to envelope-to x-envelope-to x-original-to "
    b"apparently-to x-rcpt-to original-recipient".split()
)
"""Who got the mail is nothing that its alleged author's domain must learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReport:
    """One report. fields: of the machine's part, without Feedback-Type, User-Agent and Version; strangers' texts.

    head, body: of the mail it is about; body None: only its fields.
    """

    sender: Address
    reader: Address
    domain: str
    message_id: str
    text: str
    fields: tuple[tuple[str, str], ...]
    head: bytes
    body: bytes | None = None


def compose_failure_report(report: FailureReport, *, agent: str, now: float, token: str) -> Content:
    """agent: who wrote it.  token: 16 to 64 letters and digits nobody can guess."""
    boundary = f"=_{token}"
    head = b"".join(
        (
            field("From", f"<{report.sender}>"),
            field("To", f"<{report.reader}>"),
            field("Subject", _plain(f"Failure of mail from {report.domain}")),
            field("Date", date_text(now)),
            field("Message-ID", report.message_id),
            field("Auto-Submitted", "auto-generated"),
            field("MIME-Version", "1.0"),
            field("Content-Type", f'multipart/report; report-type=feedback-report; boundary="{boundary}"'),
        )
    )
    told = (("Feedback-Type", "auth-failure"), ("User-Agent", agent), ("Version", VERSION), *report.fields)
    machine = b"Content-Type: message/feedback-report\r\n\r\n" + b"".join(
        field(name, plain) for name, value in told if (plain := _plain(value))
    )
    whole = report.body is not None and len(report.head) + len(report.body) <= WHOLE_LIMIT_BYTES
    returned = returned_part(
        report.head if whole else without_recipients(report.head),
        report.body if whole else None,
        international=False,
        head_limit_bytes=HEAD_LIMIT_BYTES,
    )
    mark = f"--{boundary}".encode("ascii")
    parts = (text_part(report.text), machine, returned.octets)
    body = b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"
    return Content(head=head + b"\r\n", body=body, form=BodyForm(size_bytes=len(body)))


def without_recipients(head: bytes) -> bytes:
    """The header section without the fields that say who got the mail."""
    return b"".join(raw for raw in raw_fields(head) if name_of(raw) not in RECIPIENT_FIELDS) + b"\r\n"


def _plain(value: str) -> str:
    """One line of ASCII whose words fit a line."""
    text = printable(value, VALUE_LIMIT_CHARS).strip()
    return text.encode("ascii", "replace").decode("ascii")
