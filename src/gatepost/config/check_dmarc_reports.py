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
    if not reports.sender or mistakes:
        return
    signing, domain = settings.dkim_signing, reports.sender.rpartition("@")[2].lower()
    names = tuple(name.lower() for name in signing.domains)
    if not signing.enabled or not any(domain == name or domain.endswith(f".{name}") for name in names):
        yield Complaint(
            at=(*at, "sender"),
            message=f"{domain} is none of dkim-signing.domains: reports without signature are refused by many",
            is_warning=True,
        )
