"""How TLS with other domains went today, counted for the reports they ask for (RFC 8460)."""

from __future__ import annotations

from typing import Final

import msgspec

from gatepost.records.days import DayCounts
from gatepost.standards.tlsrpt import FailureDetail, PolicyResults

POLICIES_LIMIT: Final = 10
"""Policies of one domain in a day; what comes after them is counted with the last."""
DETAILS_LIMIT: Final = 100
"""Kinds of failure of one policy; others are only in the sum."""
WHY_LIMIT_CHARS: Final = 200


class Failures(msgspec.Struct):
    """One kind of failure."""

    result: str
    host: str
    ip: str
    local_ip: str
    why: str
    count: int


class PolicyCounts(msgspec.Struct):
    """One policy of one domain."""

    kind: str
    strings: tuple[str, ...]
    mx: tuple[str, ...]
    successes: int = 0
    failures: int = 0
    details: list[Failures] = msgspec.field(default_factory=list)


class DayResults(msgspec.Struct):
    """One day, "2026-11-27" in UTC."""

    day: str = ""
    domains: dict[str, list[PolicyCounts]] = msgspec.field(default_factory=dict)

    def count(
        self, domain: str, kind: str, strings: tuple[str, ...], mx: tuple[str, ...], failure: Failures | None
    ) -> None:
        """One session, or as many as `failure` says; None went well."""
        policies = self.domains.setdefault(domain, [])
        counts = next((p for p in policies if (p.kind, p.strings, p.mx) == (kind, strings, mx)), None)
        if counts is None:
            if len(policies) < POLICIES_LIMIT:
                policies.append(PolicyCounts(kind, strings, mx))
            counts = policies[-1]
        if failure is None:
            counts.successes += 1
        else:
            counts.failures += failure.count
            _add(counts.details, failure)

    def merge(self, other: DayResults) -> None:
        """Another worker's results of the same day."""
        for domain, policies in other.domains.items():
            for one in policies:
                held = self.domains.setdefault(domain, [])
                same = next(
                    (p for p in held if (p.kind, p.strings, p.mx) == (one.kind, one.strings, one.mx)), None
                )
                if same is None:
                    held.append(one)
                    continue
                same.successes += one.successes
                same.failures += one.failures
                for failure in one.details:
                    _add(same.details, failure)

    def results_of(self, domain: str) -> tuple[PolicyResults, ...]:
        """For the report."""
        return tuple(
            PolicyResults(
                kind=p.kind,
                strings=p.strings,
                mx=p.mx,
                successes=p.successes,
                failures=p.failures,
                details=tuple(
                    FailureDetail(
                        result=f.result, host=f.host, ip=f.ip, local_ip=f.local_ip, why=f.why, count=f.count
                    )
                    for f in p.details
                ),
            )
            for p in self.domains.get(domain, ())
        )


def _add(details: list[Failures], failure: Failures) -> None:
    for held in details:
        if (held.result, held.host, held.ip, held.local_ip) == (
            failure.result,
            failure.host,
            failure.ip,
            failure.local_ip,
        ):
            held.count += failure.count
            return
    if len(details) < DETAILS_LIMIT:
        details.append(failure)


class TlsResults(DayCounts[DayResults]):
    """One worker's. domains_limit: most domains of one day; mail to others is not counted."""

    def __init__(self, domains_limit: int) -> None:
        super().__init__(DayResults, domains_limit)

    def count(
        self,
        domain: str,
        kind: str,
        strings: tuple[str, ...],
        mx: tuple[str, ...],
        failure: Failures | None,
    ) -> None:
        """One session; None went well."""
        if self.admits(domain):
            self.today.count(domain, kind, strings, mx, failure)
