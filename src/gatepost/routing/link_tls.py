"""How safe the link to a next hop must be: by the connector, or by the most specific of its tls-domains."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.config.settings import SendConnector
from gatepost.config.tls_settings import TlsDomain
from gatepost.model.certificate import plain_fingerprint
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.routing.accepted import canonical_pattern
from gatepost.routing.next_hop import NextHop


def link_tls_of(next_hop: NextHop) -> LinkTls:
    """For a next hop with a connector; DNS routing looks at the domain, too. Raises ValueError when unreachable."""
    connector = next_hop.settings
    strict = _of_domain(connector.tls_domains, next_hop.domain) if next_hop.domain else None
    return _link(connector, strict or connector)


def is_set_for_domain(connector: SendConnector, domain: str) -> bool:
    """An administrator has said what TLS towards this domain is: what it publishes does not count."""
    return _of_domain(connector.tls_domains, domain) is not None


def _of_domain(domains: Mapping[str, TlsDomain], domain: str) -> TlsDomain | None:
    """Exact name before the longest "*." name above it. An address literal has no name."""
    if not domains or domain.startswith("["):
        return None
    known = {canonical_pattern(pattern): settings for pattern, settings in domains.items()}
    above = domain
    found = known.get(domain)
    while found is None and "." in above:
        above = above.partition(".")[2]
        found = known.get(f"*.{above}")
    return found


def _link(connector: SendConnector, wanted: SendConnector | TlsDomain) -> LinkTls:
    return LinkTls(
        mode=LinkMode(wanted.tls),
        minimum=connector.tls_minimum,
        fingerprints=frozenset(plain_fingerprint(text) for text in wanted.fingerprints),
        names=tuple(canonical_pattern(text) for text in wanted.certificate_names),
        ca_file=connector.ca_file,
        certificate_file=connector.certificate_file,
        key_file=connector.key_file,
    )
