"""What [dmarc-reports] must make sense of: an address whose mail is signed, and an agent that finds something."""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.config.check_outbound_tls import report_sender
from gatepost.config.errors import Complaint
from gatepost.config.settings import Settings


def check_dmarc_reports(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [dmarc-reports]."""
    reports = settings.dmarc_reports
    at = ("dmarc-reports",)
    mistakes = list(report_sender(reports.sender, at, "dmarc-reports@example.com"))
    yield from mistakes
    for name in ("organization", "contact"):
        if not getattr(reports, name).isprintable():
            yield Complaint(at=(*at, name), message="is more than one line of text")
    if not reports.sender and reports.failure_reports != "off":
        yield Complaint(
            at=(*at, "failure-reports"), message="needs dmarc-reports.sender, which they are sent from"
        )
    if not reports.sender or mistakes:
        return
    domain = reports.sender.rpartition("@")[2].lower()
    if not _is_signed(settings, domain):
        yield Complaint(
            at=(*at, "sender"),
            message=f"{domain} has no active key in dkim-signing.domains: many refuse reports without signature",
            is_warning=True,
        )


def _is_signed(settings: Settings, domain: str) -> bool:
    """Whether mail from an author in this domain leaves with a signature of ours."""
    for name, one in settings.dkim_signing.domains.items():
        is_ours = domain == name.lower() or (one.subdomains and domain.endswith(f".{name.lower()}"))
        if is_ours and any(key.state == "active" for key in one.selectors.values()):
            return settings.dkim_signing.enabled
    return False
