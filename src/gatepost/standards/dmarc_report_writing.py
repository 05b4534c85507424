"""Writes DMARC aggregate reports (RFC 9990): what was seen of a domain's mail in a day, as XML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

NAMESPACE: Final = "urn:ietf:params:xml:ns:dmarc-2.0"
VERSION: Final = "1.0"
GENERATOR: Final = "Gatepost"
TEXT_LIMIT_CHARS: Final = 300
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""
_PUBLISHED: Final = ("p", "sp", "np", "adkim", "aspf", "fo", "testing")
"""The order of facts.dmarc.DmarcResult.published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMail:
    """What is the same for all mails of a row. Texts are a stranger's.

    disposition: none, pass, quarantine or reject.  dkim, spf: whether each proved the author domain.
    reasons:     why less was done than the domain asks for: (type, comment).
    signatures:  (d=, s=, result) of each DKIM signature.
    """

    source_ip: str
    disposition: str
    dkim: bool
    spf: bool
    header_from: str
    envelope_from: str
    reasons: tuple[tuple[str, str], ...] = ()
    signatures: tuple[tuple[str, str, str], ...] = ()
    spf_domain: str = ""
    spf_result: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportHead:
    """Who reports what about whom. begin, end: seconds since the epoch, both within the time told of.

    published: the record's p, sp, np, adkim, aspf, fo and t.
    """

    organization: str
    email: str
    contact: str
    report_id: str
    begin: int
    end: int
    domain: str
    published: tuple[str, ...]


def write_aggregate(head: ReportHead, rows: Sequence[tuple[SeenMail, int]], *, left_out: int = 0) -> bytes:
    """The document. rows: each with its mails. left_out: mails that are in no row.

    Raises ValueError without rows: a report has one at least.
    """
    if not rows:
        raise ValueError("a report without rows is none")
    parts = [f'<?xml version="1.0" encoding="UTF-8"?>\n<feedback xmlns="{NAMESPACE}">\n']
    parts.append(_element("version", VERSION))
    parts += _group("report_metadata", _metadata(head, left_out))
    parts += _group("policy_published", _policy(head))
    for seen, count in rows:
        parts += _group("record", _record(seen, count))
    parts.append("</feedback>\n")
    return "".join(parts).encode("utf-8")


def file_name(receiver: str, domain: str, begin: int, end: int) -> str:
    """As RFC 9990 wants it for what gzip packed."""
    return f"{receiver}!{domain}!{begin}!{end}.xml.gz"


def subject(domain: str, submitter: str, report_id: str) -> str:
    """The Subject field of the mail. submitter: a domain name."""
    return f"Report Domain: {domain} Submitter: {submitter} Report-ID: <{report_id}>"


def _metadata(head: ReportHead, left_out: int) -> Iterator[str]:
    yield _element("org_name", head.organization)
    yield _element("email", head.email)
    if head.contact:
        yield _element("extra_contact_info", head.contact)
    yield _element("report_id", head.report_id)
    yield from _group(
        "date_range", iter((_element("begin", str(head.begin)), _element("end", str(head.end))))
    )
    if left_out:
        yield _element("error", f"{left_out} more mails are in no record, to keep the report small")
    yield _element("generator", GENERATOR)


def _policy(head: ReportHead) -> Iterator[str]:
    yield _element("domain", head.domain)
    published = dict(zip(_PUBLISHED, head.published, strict=False))
    yield _element("p", published.pop("p", "none"))
    testing = published.pop("testing", "n")
    for name in ("sp", "np", "adkim", "aspf"):
        if value := published.get(name):
            yield _element(name, value)
    yield _element("discovery_method", "treewalk")
    if value := published.get("fo"):
        yield _element("fo", value)
    yield _element("testing", testing)


def _record(seen: SeenMail, count: int) -> Iterator[str]:
    yield from _group("row", _row(seen, count))
    yield from _group("identifiers", _identifiers(seen))
    yield from _group("auth_results", _auth_results(seen))


def _row(seen: SeenMail, count: int) -> Iterator[str]:
    yield _element("source_ip", seen.source_ip)
    yield _element("count", str(count))
    yield from _group("policy_evaluated", _evaluated(seen))


def _evaluated(seen: SeenMail) -> Iterator[str]:
    yield _element("disposition", seen.disposition)
    yield _element("dkim", "pass" if seen.dkim else "fail")
    yield _element("spf", "pass" if seen.spf else "fail")
    for kind, comment in seen.reasons:
        told = (_element("type", kind), _element("comment", comment) if comment else "")
        yield from _group("reason", iter(told))


def _identifiers(seen: SeenMail) -> Iterator[str]:
    yield _element("header_from", seen.header_from)
    yield _element("envelope_from", seen.envelope_from)


def _auth_results(seen: SeenMail) -> Iterator[str]:
    for domain, selector, result in seen.signatures:
        told = (_element("domain", domain), _element("selector", selector), _element("result", result))
        yield from _group("dkim", iter(told))
    if seen.spf_domain:
        told = (
            _element("domain", seen.spf_domain),
            _element("scope", "mfrom"),
            _element("result", seen.spf_result),
        )
        yield from _group("spf", iter(told))


def _group(name: str, inner: Iterator[str]) -> Iterator[str]:
    yield f"<{name}>\n"
    yield from inner
    yield f"</{name}>\n"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_UNWRITABLE.sub('?', text[:TEXT_LIMIT_CHARS]))}</{name}>\n"
