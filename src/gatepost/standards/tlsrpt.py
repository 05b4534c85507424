"""TLS reports (RFC 8460): where a domain wants them, what stands in one."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from gatepost.standards.mta_sts import record_fields

URIS_LIMIT: Final = 5
"""Places a domain may name; more are not looked at."""
_RECORD_LIMIT_BYTES: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureDetail:
    """Connections that failed alike."""

    result: str
    host: str
    ip: str
    local_ip: str
    why: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResults:
    """What came of one policy of one domain in a day. kind: "tlsa", "sts" or "no-policy-found"."""

    kind: str
    strings: tuple[str, ...]
    mx: tuple[str, ...]
    successes: int
    failures: int
    details: tuple[FailureDetail, ...]


def record_name(domain: str) -> str:
    """Where the TXT record of a domain stands."""
    return f"_smtp._tls.{domain}"


def uris_of(texts: Iterable[bytes]) -> tuple[str, ...]:
    """Where reports go: mailto: and https: URIs of the one record (RFC 8460 §3); () when there is none that counts."""
    ours = [text for text in texts if text.startswith(b"v=TLSRPTv1")]
    if len(ours) != 1 or len(ours[0]) > _RECORD_LIMIT_BYTES:
        return ()
    fields = record_fields(ours[0])
    if not fields or fields[0] != ("v", "TLSRPTv1"):
        return ()
    found = [value for name, value in fields if name == "rua"]
    if len(found) != 1:
        return ()
    uris = [uri.strip(" \t") for uri in found[0].split(",")]
    return tuple(uri for uri in uris if uri.lower().startswith(("mailto:", "https:")))[:URIS_LIMIT]


def mailbox_of(uri: str) -> str:
    """The address of a mailto: URI, as text that is still to be checked."""
    return unquote(uri[len("mailto:") :].partition("?")[0])


def report_of(
    domain: str,
    results: Sequence[PolicyResults],
    *,
    organization: str,
    contact: str,
    report_id: str,
    day: datetime.date,
) -> dict[str, Any]:
    """The report as JSON has it (RFC 8460 §4.4)."""
    return {
        "organization-name": organization,
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "contact-info": contact,
        "report-id": report_id,
        "policies": [_policy(domain, one) for one in results],
    }


def _policy(domain: str, results: PolicyResults) -> dict[str, Any]:
    policy: dict[str, Any] = {"policy-type": results.kind, "policy-domain": domain}
    if results.strings:
        policy["policy-string"] = list(results.strings)
    if results.mx:
        policy["mx-host"] = list(results.mx)
    made: dict[str, Any] = {
        "policy": policy,
        "summary": {
            "total-successful-session-count": results.successes,
            "total-failure-session-count": results.failures,
        },
    }
    if results.details:
        made["failure-details"] = [_detail(one) for one in results.details]
    return made


def _detail(one: FailureDetail) -> dict[str, Any]:
    found = {
        "result-type": one.result,
        "sending-mta-ip": one.local_ip,
        "receiving-mx-hostname": one.host,
        "receiving-ip": one.ip,
        "failed-session-count": one.count,
        "failure-reason-code": one.why,
    }
    return {name: value for name, value in found.items() if value != ""}
