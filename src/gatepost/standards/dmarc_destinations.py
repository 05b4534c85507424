"""Whether reports about a domain may go to an address elsewhere: its host must want them (RFC 9990, threats J39)."""

from __future__ import annotations

from gatepost.model.fault import PeerFault
from gatepost.standards.dmarc_record import ReportAddress, is_dmarc, parse_record
from gatepost.standards.dmarc_walk import DnsTexts, TreeWalker


def consent_name(domain: str, host: str) -> str:
    """Where the host says that it wants reports about the domain."""
    return f"{domain}._report._dmarc.{host}"


async def accepted_address(
    domain: str,
    host: str,
    address: ReportAddress,
    dns: DnsTexts,
    *,
    timeout_s: float,
    of_failures: bool = False,
) -> ReportAddress | None:
    """Where reports about a domain go that asks for them at an address: there, elsewhere at its host, or nowhere.

    domain: where the record stands.  host: the address's domain; both lower-case A-labels.
    of_failures: reports of single failures (ruf), not aggregate reports (rua).
    Raises WorldFault when the DNS does not answer.
    """
    if host == domain:
        return address
    walker = TreeWalker(dns, timeout_s=timeout_s)
    if (await walker.walk(host)).organization == (await walker.walk(domain)).organization:
        return address
    try:
        texts = await dns.texts(consent_name(domain, host), timeout_s=timeout_s)
    except PeerFault:
        return None  # a name that cannot be asked
    found = [text for text in texts if is_dmarc(text)]
    if len(found) != 1:
        return None
    consent = parse_record(found[0])
    others = consent.ruf if of_failures else consent.rua
    if not others:
        return address
    # The host may lead reports to another of its own addresses, and nowhere else.
    return next((one for one in others if one.domain == address.domain), None)
