"""Tries the name servers once at the start: whether they answer, whether they validate, whether DNS lists like them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, Protocol

from gatepost.model.fault import Fault
from gatepost.ports.log import Log
from gatepost.ports.resolver import Lookup, RecordType

PUBLIC: Final = frozenset(
    map(
        ipaddress.ip_network,
        (
            "1.0.0.0/24",
            "1.1.1.0/24",
            "2606:4700:4700::/48",
            "8.8.4.0/24",
            "8.8.8.0/24",
            "2001:4860:4860::/48",
            "9.9.9.0/24",
            "149.112.112.0/24",
            "2620:fe::/48",
            "208.67.220.0/24",
            "208.67.222.0/24",
            "2620:119:35::/48",
            "2620:119:53::/48",
            "4.2.2.0/29",
            "64.6.64.0/23",
            "76.76.2.0/24",
            "76.76.10.0/24",
            "94.140.14.0/24",
            "94.140.15.0/24",
            "185.228.168.0/23",
        ),
    )
)
"""Resolvers that everybody uses: to a DNS list all their users are one, who asks too much."""
_PUBLIC_TEXT: Final = (
    "{server} is a public resolver: most DNS lists refuse its questions or answer them wrongly. "
    "Run a resolver of your own (such as Unbound) and name it in dns.servers"
)
_DEAF_TEXT: Final = (
    "{name} could not be looked up ({reason}): until the servers of dns.servers answer, "
    "what needs the DNS is unknown"
)
_PLAIN_TEXT: Final = (
    "the servers do not validate: {name} is signed, and its answer has no AD bit. "
    "DANE is not possible with them"
)
_DISTRUSTED_TEXT: Final = (
    "no server's word on DNSSEC is believed, since none is on a loopback address (dns.trust-ad): "
    "DANE is not possible"
)


class Servers(Lookup, Protocol):
    """A resolver that says whom it asks."""

    @property
    def hosts(self) -> Sequence[str]:
        """Addresses of its servers."""

    @property
    def trusts_any(self) -> bool:
        """Whether the AD bit of one of them counts."""


async def check_dns(resolver: Servers, log: Log, *, name: str, timeout_s: float) -> None:
    """Write to the log what is wrong. name: of a zone known to be signed; "": nothing is asked."""
    for server in resolver.hosts:
        if is_public(server):
            log.write("warning", "dns-server-is-public", text=_PUBLIC_TEXT.format(server=server))
    if not name:
        return
    try:
        said = await resolver.look_up(name, RecordType.SOA, timeout_s=timeout_s)
    except Fault as fault:
        log.write("warning", "dns-does-not-answer", text=_DEAF_TEXT.format(name=name, reason=fault.reason))
        return
    if said.is_secure:
        log.write("info", "dns-validates", text="the servers answer, and validate by DNSSEC")
    elif not resolver.trusts_any:
        log.write("info", "dns-does-not-validate", text=_DISTRUSTED_TEXT)
    else:
        log.write("info", "dns-does-not-validate", text=_PLAIN_TEXT.format(name=name))


def is_public(server: str) -> bool:
    """Whether the address is one of the known public resolvers."""
    address = ipaddress.ip_address(server.partition("%")[0])
    return any(address in network for network in PUBLIC if network.version == address.version)
