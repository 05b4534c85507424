"""Where the gateway may connect to because a configuration names a host: never where no service is (threats R11)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_NOWHERE: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network, unspecified
        "169.254.0.0/16",  # link-local; 169.254.169.254 is a cloud's metadata service
        "100.100.100.200/32",  # another cloud's
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/128",
        "fd00:ec2::254/128",  # a cloud's metadata service by IPv6
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


def may_be_named(ip: str) -> bool:
    """Whether an administrator may name a service there: on any machine, public or internal.

    False for link-local, multicast, reserved and unspecified addresses, where clouds keep their keys, also inside
    an IPv6 address; and for what is no address.
    """
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return False
    return not any(
        a in network for a in _forms(address) for network in _NOWHERE if a.version == network.version
    )


def _forms(address: IPv4Address | IPv6Address) -> tuple[IPv4Address | IPv6Address, ...]:
    if isinstance(address, IPv4Address):
        return (address,)
    embedded = (address.ipv4_mapped, address.sixtofour)
    return (address, *(a for a in embedded if a is not None))
