"""A report of others as it is kept: a stranger's document in, bounded rows with clean texts out (threats J39)."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from gatepost.message.words import printable
from gatepost.model.fault import PeerFault
from gatepost.model.kept_report import FailureRow, KeptReport, Proof, ReportKind, SourceRow
from gatepost.protocol.addresses import canonical_domain
from gatepost.standards.dmarc_report import AggregateReport, ReportRow, read_aggregate
from gatepost.standards.report_files import Pause, UnreadableReport, no_pause
from gatepost.standards.tls_report_reading import PolicyReport, TlsReport, read_tls_report

ROWS_LIMIT: Final = 5000
"""Rows kept of one report, those of most mails; the others are in the sum."""
STEP_ROWS: Final = 2000
"""Rows between two pauses."""
COUNT_LIMIT: Final = 10**9
"""Of one row: so that sums over all reports stay within 64 bits."""
TEXT_LIMIT_CHARS: Final = 255
POLICIES_LIMIT: Final = 100
"""Domains of one TLS report."""
OLDEST_S: Final = 400 * 86400.0
NEWEST_S: Final = 2 * 86400.0
"""A report that claims to be of another time counts for the day it came."""
NO_ADDRESS: Final = "?"
_DISPOSITIONS: Final = frozenset(("none", "pass", "quarantine", "reject"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What is known of a report besides its document. mail_id: or the file's name."""

    received_at: float
    proof: Proof
    is_ours: Callable[[str], bool]
    mail_id: str = ""


def read_reports(document: bytes, arrived: Arrived, *, pause: Pause = no_pause) -> tuple[KeptReport, ...]:
    """One document: a report, or one for each domain of a TLS report. Raises UnreadableReport."""
    if document[:1] == b"{":
        return tuple(_of_tls(read_tls_report(document), document, arrived))
    report = read_aggregate(document, pause=pause)
    if not report.domain:
        raise UnreadableReport("an aggregate report without a domain")
    return (_of_aggregate(report, document, arrived, pause),)


@lru_cache(maxsize=4096)
def domain_of(text: str) -> str:
    """A domain as a report writes it, in the form that we compare; what is none stays text."""
    try:
        return canonical_domain(text.strip())
    except PeerFault:
        return _text(text).lower()


@lru_cache(maxsize=4096)
def ip_of(text: str) -> str:
    """An address in its shortest form; NO_ADDRESS for what is none."""
    try:
        found = ip_address(text.strip()) if "%" not in text else None
    except ValueError:
        found = None
    if found is None:
        return NO_ADDRESS
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


def _of_aggregate(report: AggregateReport, document: bytes, arrived: Arrived, pause: Pause) -> KeptReport:
    domain = domain_of(report.domain)
    sources = _bounded(_sources(report.rows, pause))
    return KeptReport(
        kind=ReportKind.DMARC,
        organization=_text(report.organization),
        email=_text(report.email),
        report_id=_text(report.report_id),
        domain=domain,
        policy=_text(report.policy),
        begin=report.begin,
        end=report.end,
        at=believed(report.end, arrived.received_at),
        received_at=arrived.received_at,
        total=sum(row.mails for row in sources),
        failed=sum(row.mails for row in sources if not (row.dkim or row.spf)),
        proof=arrived.proof,
        is_ours=arrived.is_ours(domain),
        mail_id=_text(arrived.mail_id),
        sources=sources,
        document=document,
    )


def _sources(rows: Sequence[ReportRow], pause: Pause) -> Iterator[SourceRow]:
    for number, row in enumerate(rows):
        if number % STEP_ROWS == 0:
            pause()
        yield _source(row)


def _source(row: ReportRow) -> SourceRow:
    done = row.disposition
    return SourceRow(
        ip=ip_of(row.source_ip),
        mails=min(row.count, COUNT_LIMIT),
        dkim=row.dkim == "pass",
        spf=row.spf == "pass",
        done=done if done in _DISPOSITIONS else "",
        author=domain_of(row.header_from),
        sender=domain_of(row.envelope_from),
        why=_text(" ".join(row.reasons)),
        signers=_text(", ".join(row.dkim_domains)),
    )


def _bounded(rows: Iterable[SourceRow]) -> tuple[SourceRow, ...]:
    """Rows that are alike as one; beyond the limit only their sums by what was proved."""
    together: dict[SourceRow, int] = {}
    for row in rows:
        same = replace(row, mails=0)
        together[same] = min(together.get(same, 0) + row.mails, COUNT_LIMIT)
    ordered = sorted(together.items(), key=lambda item: -item[1])
    rest: dict[tuple[bool, bool], int] = {}
    for row, mails in ordered[ROWS_LIMIT:]:
        rest[row.dkim, row.spf] = min(rest.get((row.dkim, row.spf), 0) + mails, COUNT_LIMIT)
    kept = [replace(row, mails=mails) for row, mails in ordered[:ROWS_LIMIT]]
    kept += [SourceRow(ip="", mails=mails, dkim=dkim, spf=spf) for (dkim, spf), mails in rest.items()]
    return tuple(kept)


def _of_tls(report: TlsReport, document: bytes, arrived: Arrived) -> Iterator[KeptReport]:
    """One for each domain it tells of."""
    of_domain: dict[str, list[PolicyReport]] = {}
    for one in report.policies:
        of_domain.setdefault(domain_of(one.policy.policy_domain), []).append(one)
    if not of_domain:
        raise UnreadableReport("a TLS report without a policy")
    if len(of_domain) > POLICIES_LIMIT:
        raise UnreadableReport(f"a TLS report about more than {POLICIES_LIMIT} domains")
    begin, end = (_moment(t) for t in (report.date_range.start_datetime, report.date_range.end_datetime))
    for domain, policies in of_domain.items():
        good = sum(_count(one.summary.total_successful_session_count) for one in policies)
        failed = sum(_count(one.summary.total_failure_session_count) for one in policies)
        yield KeptReport(
            kind=ReportKind.TLS,
            organization=_text(report.organization_name),
            email=_text(report.contact_info),
            report_id=_text(report.report_id),
            domain=domain,
            policy=_text(" ".join(dict.fromkeys(one.policy.policy_type for one in policies))),
            begin=begin,
            end=end,
            at=believed(end, arrived.received_at),
            received_at=arrived.received_at,
            total=good + failed,
            failed=failed,
            proof=arrived.proof,
            is_ours=arrived.is_ours(domain),
            mail_id=_text(arrived.mail_id),
            failures=_failures(policies),
            document=document,
        )


def _failures(policies: Iterable[PolicyReport]) -> tuple[FailureRow, ...]:
    rows = (
        FailureRow(
            what=_text(detail.result_type),
            host=domain_of(detail.receiving_mx_hostname),
            ip=ip_of(detail.sending_mta_ip) if detail.sending_mta_ip else "",
            reason=_text(detail.failure_reason_code),
            sessions=_count(detail.failed_session_count),
        )
        for one in policies
        for detail in one.failure_details
    )
    return tuple(sorted(rows, key=lambda row: -row.sessions)[:ROWS_LIMIT])


def _count(number: int) -> int:
    return max(0, min(number, COUNT_LIMIT))


def _text(text: str) -> str:
    return printable(text.strip(), TEXT_LIMIT_CHARS)


def believed(end: int, received_at: float) -> float:
    """The time a report counts for: its own, when that makes sense."""
    return float(end) if received_at - OLDEST_S <= end <= received_at + NEWEST_S else received_at


def _moment(text: str) -> int:
    """Seconds since the epoch; 0 for what is no time."""
    try:
        found = datetime.datetime.fromisoformat(text.strip())
        found = found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)
        return max(0, int(found.timestamp()))
    except (ValueError, OverflowError):
        return 0
