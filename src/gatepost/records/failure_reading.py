"""A failure report of others (RFC 9991, RFC 6591) as it is kept: what a machine said of one mail, without the mail."""

from __future__ import annotations

import datetime
import re
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Final

from gatepost.message.headers import HeaderIndex
from gatepost.message.leaves import leaves
from gatepost.message.words import printable, text_of
from gatepost.model.kept_report import KeptReport, ReportKind, SourceRow
from gatepost.records.report_reading import COUNT_LIMIT, Arrived, believed, domain_of, ip_of
from gatepost.standards.report_files import UnreadableReport

FIELDS_LIMIT: Final = 60
FIELDS_LIMIT_BYTES: Final = 32 << 10
VALUE_LIMIT_CHARS: Final = 255
_NEWLINE: Final = re.compile(rb"\r?\n")
_DATE_LIMIT_CHARS: Final = 80
_DONE: Final = {"reject": "reject", "policy": "quarantine", "spam": "quarantine", "delivered": "none"}


def read_failure(mail: bytes, arrived: Arrived) -> KeptReport | None:
    """None when the mail holds none. Raises UnreadableReport for one of another kind, or about nobody."""
    told, about = b"", b""
    for leaf in leaves(mail):
        if leaf.media_type == "message/feedback-report" and not told:
            told = leaf.decoded()[:FIELDS_LIMIT_BYTES]
        elif told:
            about = leaf.decoded()[:FIELDS_LIMIT_BYTES]
            break
    if not told:
        return None
    fields = fields_of(told)
    of: dict[str, str] = {}
    for name, value in fields:
        of.setdefault(name, value)
    kind = of.get("feedback-type", "").lower()
    if kind != "auth-failure":
        raise UnreadableReport(f"a feedback report of type {kind[:40]!r}: only auth-failure is kept")
    sender = of.get("original-mail-from", "").strip("<> ").rpartition("@")[2]
    domain = domain_of(of.get("reported-domain") or of.get("dkim-domain") or sender)
    if not domain:
        raise UnreadableReport("a failure report that names no domain")
    at = _moment(of.get("arrival-date", ""))
    mails = _incidents(of.get("incidents", ""))
    return KeptReport(
        kind=ReportKind.FAILURE,
        organization=of.get("reporting-mta", "").rpartition(";")[2].strip() or arrived.proof.name,
        email="",
        report_id=sha256(told + about).hexdigest()[:16],
        domain=domain,
        policy=of.get("auth-failure", ""),
        begin=at,
        end=at,
        at=believed(at, arrived.received_at),
        received_at=arrived.received_at,
        total=mails,
        failed=mails,
        proof=arrived.proof,
        is_ours=arrived.is_ours(domain),
        mail_id=printable(arrived.mail_id, VALUE_LIMIT_CHARS),
        sources=(_source(of, domain, sender, mails),),
        document=told,
    )


def fields_of(told: bytes) -> tuple[tuple[str, str], ...]:
    """The machine's part: names in lower case, values as one clean line."""
    index = HeaderIndex.parse(
        _NEWLINE.sub(b"\r\n", told.strip(b"\r\n")) + b"\r\n\r\n", fields_limit=FIELDS_LIMIT
    )
    return tuple(
        (printable(field.name.decode("ascii", "replace"), 80), text_of(field.value, VALUE_LIMIT_CHARS))
        for field in index.fields
        if field.name
    )


def _source(of: dict[str, str], domain: str, sender: str, mails: int) -> SourceRow:
    aligned = {word.strip().lower() for word in of.get("identity-alignment", "").split(",")}
    return SourceRow(
        ip=ip_of(of.get("source-ip", "").partition(" ")[0]),  # a comment may follow
        mails=mails,
        dkim="dkim" in aligned,
        spf="spf" in aligned,
        done=_DONE.get(of.get("delivery-result", "").lower(), ""),
        author=domain,
        sender=domain_of(sender),
        why=of.get("auth-failure", ""),
        signers=of.get("dkim-domain", ""),
    )


def _incidents(text: str) -> int:
    return min(max(int(text), 1), COUNT_LIMIT) if text.isascii() and text.isdigit() and len(text) < 20 else 1


def _moment(text: str) -> int:
    """Seconds since the epoch; 0 for what is no time."""
    try:
        found = parsedate_to_datetime(text[:_DATE_LIMIT_CHARS])
        found = found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)
        return max(0, int(found.timestamp()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0
