"""Which IP addresses may be dialled: not ours, and not the inside of our network because DNS says so (SSRF)."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_INSIDE: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network, unspecified
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; 169.254.169.254 is a cloud's metadata service
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "fc00::/7",  # unique local
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_TRANSLATED: Final = (
    IPv6Network("64:ff9b::/96"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("::ffff:0:0:0/96"),
)
"""NAT64 (RFC 6052), NAT64 of a network's own (RFC 8215), which leads to private addresses as well, and SIIT."""
_LITERAL: Final = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\]", re.IGNORECASE)


def canonical_address(text: str) -> str | None:
    """The one way an address is written here; IPv4-mapped IPv6 becomes IPv4. None when it is no address."""
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return str(mapped or ip)


def is_address(text: str) -> bool:
    """An IP address, where a name was expected."""
    return canonical_address(text) is not None


def literal_address(domain: str) -> str | None:
    """ "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3) -> the address; None for anything else."""
    match = _LITERAL.fullmatch(domain)
    return canonical_address(match[1]) if match else None


def may_be_dialled(ip: str) -> bool:
    """False for loopback, private, link-local, multicast, reserved addresses, also those inside an IPv6 address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    embedded = _embedded(address)
    return not any(
        a in network for a in (address, *embedded) for network in _INSIDE if a.version == network.version
    )


def _embedded(address: IPv4Address | IPv6Address) -> tuple[IPv4Address, ...]:
    """IPv4 addresses that an IPv6 address leads to: mapped, 6to4, translated."""
    if isinstance(address, IPv4Address):
        return ()
    is_translated = any(address in network for network in _TRANSLATED)
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if is_translated else None
    return tuple(a for a in (address.ipv4_mapped, address.sixtofour, translated) if a is not None)


def is_own(ip: str, port: int, own: Collection[tuple[str, int]]) -> bool:
    """Whether we listen there ourselves. A wildcard in `own` stands for the loopback and unspecified addresses."""
    address = canonical_address(ip)
    if address is None:
        return False
    if (address, port) in own:
        return True
    here = ip_address(address).is_loopback or ip_address(address).is_unspecified
    return here and any((wildcard, port) in own for wildcard in ("0.0.0.0", "::"))  # noqa: S104  # compared only
