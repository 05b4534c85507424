"""What [outbound-tls] and [dns-monitor] must make sense of: domains, mail servers, addresses and files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gatepost.config.check_delivery import domain_names
from gatepost.config.errors import Complaint
from gatepost.config.files import authorities_problem
from gatepost.config.networks import is_ip, name_problem
from gatepost.config.settings import Settings

_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
"""What needs no quotes."""


def check_outbound_tls(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [outbound-tls]."""
    outbound = settings.outbound_tls
    if problem := name_problem(outbound.dane_probe):
        yield Complaint(at=("outbound-tls", "dane-probe"), message=problem)
    path = outbound.mta_sts_ca_file
    if path and (problem := authorities_problem(path)):
        yield Complaint(at=("outbound-tls", "mta-sts-ca-file"), message=f"{path} {problem}")
    yield from report_sender(outbound.reports.sender, ("outbound-tls", "reports"), "tls-reports@example.com")
    for complaint in domain_names("domains", outbound.domains):
        yield Complaint(
            at=("outbound-tls", *complaint.at), message=complaint.message, is_warning=complaint.is_warning
        )
    for name, domain in outbound.domains.items():
        at = ("outbound-tls", "domains", name)
        if domain.mta_sts == "enforce" and not domain.mx:
            yield Complaint(at=(*at, "mta-sts"), message="enforce needs mx: the mail servers that count")
        if domain.mx and domain.mta_sts != "enforce":
            yield Complaint(at=(*at, "mx"), message=f"has no meaning with mta-sts = {domain.mta_sts}")
        for number, pattern in enumerate(domain.mx):
            bare = pattern.removeprefix("*.")
            if (problem := name_problem(bare)) or "." not in bare.strip("."):
                yield Complaint(
                    at=(*at, "mx", number),
                    message=f"{pattern!r}: {problem or 'has no dot'}",
                    accepted=('"mail.example.com"', '"*.example.com"'),
                )
        if domain.dane == "required" and outbound.dane == "off":
            yield Complaint(at=(*at, "dane"), message="required, and outbound-tls.dane is off")


def report_sender(sender: str, at: tuple[str, ...], example: str) -> Iterator[Complaint]:
    """What is wrong with the address that reports are sent from; "": none are."""
    local_part, _, domain = sender.rpartition("@")
    if sender and (_LOCAL_PART.fullmatch(local_part) is None or name_problem(domain)):
        yield Complaint(
            at=(*at, "sender"), message=f"{sender!r} is not an address", accepted=(f'such as "{example}"',)
        )


def check_dns_monitor(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [dns-monitor]."""
    monitor = settings.dns_monitor
    for number, name in enumerate(monitor.domains):
        if problem := name_problem(name):
            yield Complaint(at=("dns-monitor", "domains", number), message=f"{name!r}: {problem}")
    for number, address in enumerate(monitor.addresses):
        if not is_ip(address):
            yield Complaint(
                at=("dns-monitor", "addresses", number), message=f"{address!r} is not an IP address"
            )
    for number, selector in enumerate(monitor.dkim_selectors):
        if problem := name_problem(selector):
            yield Complaint(at=("dns-monitor", "dkim-selectors", number), message=f"{selector!r}: {problem}")
