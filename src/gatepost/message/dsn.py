"""Composing a delivery status notification: multipart/report (RFC 3461-3464, 6522, 6533), bytes from values.

Everything a peer said is cleaned here, and `field` refuses a line break once more: no value
can begin a field, a recipient's group or a part of its own (threats L10).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gatepost.message.dsn_parts import ReturnedPart, returned_part, text_part
from gatepost.message.fields import date_text, field
from gatepost.message.words import printable
from gatepost.model.address import Address

DIAGNOSTIC_LIMIT_BYTES: Final = 500  # threats L10
_ENVID_LIMIT_CHARS: Final = 200  # RFC 3461 §4.4 allows 100 before xtext
_ADDRESS_LIMIT_BYTES: Final = 900  # an address has no blank to fold at: it must fit a line
_REPLY: Final = re.compile(r"([245])[0-9]{2}[ -](?:\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9.]))?")
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,250}>")
_ATOM: Final = re.compile(r"[A-Za-z0-9-]{1,20}", re.ASCII)


class Outcome(Enum):
    """What became of a recipient: the Action field of RFC 3464 §2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRecipient:
    """One group of the machine's part."""

    address: Address
    orcpt: str = ""
    """As in Recipient.orcpt: "type;address"; peer's text."""
    outcome: Outcome
    reply: str = ""
    """The next hop's or our own words: "550 5.1.1 No such user"; peer's text."""
    is_ours: bool = False
    """No server said it to us: not a diagnostic of SMTP (RFC 3464 §2.3.6)."""
    last_attempt_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole notification, as values.

    hostname:  our name (Reporting-MTA).  mail_id: of the mail reported on.  message_id: the peer's text, or "".
    boundary_token: letters and digits nobody can guess, so that no content can end a part.
    """

    to: Address
    sent_from: Address
    subject: str
    text: str
    """For people: lines separated by LF."""
    recipients: tuple[ReportedRecipient, ...]
    hostname: str
    mail_id: str
    arrived_at: float
    envid: str = ""
    message_id: str = ""
    will_retry_until_at: float | None = None
    now: float
    notice_id: str
    boundary_token: str

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("a report has a recipient")
        if not re.fullmatch(r"[A-Za-z0-9]{16,64}", self.boundary_token):
            raise ValueError("a boundary token is 16 to 64 letters and digits")

    @property
    def is_international(self) -> bool:
        """The sender's address needs SMTPUTF8: the forms of RFC 6533 are used."""
        return not self.to.is_ascii


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """The notification's bytes, and what they need of the next hop."""

    head: bytes
    body: bytes
    needs_8bit: bool


def compose(
    report: Report, original_head: bytes, original_body: bytes | None, *, head_limit_bytes: int
) -> Composed:
    """Write a notification.

    original_body: None returns the header section only, of which at most head_limit_bytes.
    """
    returned = returned_part(
        original_head,
        original_body,
        international=report.is_international,
        head_limit_bytes=head_limit_bytes,
    )
    text = text_part(report.text)
    status = _status_part(report)
    boundary = f"=_{report.boundary_token}"
    mark = f"--{boundary}".encode("ascii")
    parts = (text, status, returned.octets)
    body = b"This is a delivery status notification in several parts.\r\n"
    body += b"".join(b"\r\n" + mark + b"\r\n" + part for part in parts) + b"\r\n" + mark + b"--\r\n"
    return Composed(head=_head(report, boundary, returned), body=body, needs_8bit=not body.isascii())


def clean_diagnostic(reply: str) -> str:
    """A reply as it may stand in a notice: one line of printable ASCII, at most 500 octets."""
    return printable(reply, DIAGNOSTIC_LIMIT_BYTES).encode("ascii", "replace").decode("ascii")


def status_of(reply: str, outcome: Outcome) -> str:
    """The Status of RFC 3464 §2.3.4: the reply's enhanced code, else x.0.0 of its class.

    A failure keeps a 4.x.x code (4.4.7: given up after a while); a class that contradicts
    the outcome is not believed.
    """
    match = _REPLY.match(reply)
    likely = {Outcome.FAILED: "5", Outcome.DELAYED: "4", Outcome.DELIVERED: "2", Outcome.RELAYED: "2"}[
        outcome
    ]
    allowed = {Outcome.FAILED: "54", Outcome.DELAYED: "4"}.get(outcome, "2")
    if match and match[2] and match[2][0] in allowed:
        return match[2]
    return f"{likely}.0.0"


def _head(report: Report, boundary: str, returned: ReturnedPart) -> bytes:
    fields = [
        field("From", f"Mail Delivery System <{report.sent_from}>"),
        field("To", f"<{report.to}>"),
        field("Subject", report.subject),
        field("Date", date_text(report.now)),
        field("Message-ID", f"<{report.notice_id}@{report.hostname}>"),
        *_thread_fields(report.message_id),
        field("Auto-Submitted", "auto-replied"),  # RFC 3834 §5
        field("MIME-Version", "1.0"),
        field("Content-Type", f'multipart/report; report-type=delivery-status; boundary="{boundary}"'),
    ]
    if returned.has_8bit or report.is_international:
        fields.append(field("Content-Transfer-Encoding", "8bit"))
    return b"".join(fields) + b"\r\n"


def _thread_fields(message_id: str) -> list[bytes]:
    """So that readers show the notice beside the mail; only for a Message-ID that is plainly one."""
    if not _MESSAGE_ID.fullmatch(message_id):
        return []
    return [field("In-Reply-To", message_id), field("References", message_id)]


def _status_part(report: Report) -> bytes:
    kind = "message/global-delivery-status" if report.is_international else "message/delivery-status"
    head = field("Content-Type", kind)
    if report.is_international:
        head += field("Content-Transfer-Encoding", "8bit")
    per_message = [field("Reporting-MTA", f"dns; {report.hostname}")]
    if report.envid:
        envid = printable(report.envid, _ENVID_LIMIT_CHARS).encode("ascii", "replace").decode("ascii")
        per_message.insert(0, field("Original-Envelope-Id", envid))
    per_message.append(field("Arrival-Date", date_text(report.arrived_at)))
    groups = [b"".join(per_message), *(_group(report, recipient) for recipient in report.recipients)]
    return head + b"\r\n" + b"\r\n".join(groups)


def _group(report: Report, recipient: ReportedRecipient) -> bytes:
    international = report.is_international
    out = _original_recipient(recipient.orcpt, international=international)
    final = _typed_address(str(recipient.address), international=international)
    out += field("Final-Recipient", final)
    out += field("Action", recipient.outcome.value)
    out += field("Status", status_of(recipient.reply, recipient.outcome))
    diagnostic = clean_diagnostic(recipient.reply)
    if diagnostic.strip():
        kind = "smtp" if _REPLY.match(diagnostic) and not recipient.is_ours else "X-Gatepost"
        out += field("Diagnostic-Code", f"{kind}; {diagnostic}")
    if recipient.last_attempt_at is not None:
        out += field("Last-Attempt-Date", date_text(recipient.last_attempt_at))
    out += field("Final-Log-ID", report.mail_id)
    if recipient.outcome is Outcome.DELAYED and report.will_retry_until_at is not None:
        out += field("Will-Retry-Until", date_text(report.will_retry_until_at))
    return out


def _original_recipient(orcpt: str, *, international: bool) -> bytes:
    kind, semicolon, address = orcpt.partition(";")
    if not semicolon or not _ATOM.fullmatch(kind):
        return b""
    shown = printable(address.strip(), _ADDRESS_LIMIT_BYTES)
    if shown.isascii():
        return field("Original-Recipient", f"{kind}; {shown}")
    return field("Original-Recipient", _typed_address(shown, international=international))


def _typed_address(address: str, *, international: bool) -> str:
    """ "rfc822; a@b", or the utf-8 type of RFC 6533 §3: as it is, or in ASCII with \\x{...} escapes."""
    if address.isascii():
        kind, written = "rfc822", address
    elif international:
        kind, written = "utf-8", address
    else:
        kind = "utf-8"
        written = "".join(c if "!" <= c <= "~" and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in address)
    return f"{kind}; {written.encode('utf-8', 'replace')[:_ADDRESS_LIMIT_BYTES].decode('utf-8', 'ignore')}"
