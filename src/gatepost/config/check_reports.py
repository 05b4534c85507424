"""What [reports] must make sense of: addresses in domains that we take mail for."""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.config.check_outbound_tls import report_sender
from gatepost.config.errors import Complaint
from gatepost.config.networks import name_problem
from gatepost.config.settings import Settings


def check_reports(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [reports]."""
    reports = settings.reports
    for number, address in enumerate(reports.addresses):
        at = ("reports", "addresses", number)
        if not address or list(report_sender(address, ("reports",), "")):
            yield Complaint(
                at=at,
                message=f"{address[:320]!r} is not an address",
                accepted=('such as "dmarc@example.com"',),
            )
        elif not _is_accepted(settings, address.rpartition("@")[2].lower().rstrip(".")):
            domain = address.rpartition("@")[2]
            yield Complaint(at=at, message=f"{domain} is none of accepted-domains: no mail for it is taken")
    for number, name in enumerate(reports.domains):
        if problem := name_problem(name):
            yield Complaint(at=("reports", "domains", number), message=f"{name[:320]!r}: {problem}")


def _is_accepted(settings: Settings, domain: str) -> bool:
    names = {name.lower().rstrip(".") for name in settings.accepted_domains}
    labels = domain.split(".")
    above = (f"*.{'.'.join(labels[n:])}" for n in range(1, len(labels)))
    return domain in names or any(name in names for name in above)
