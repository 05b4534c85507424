"""Where a client is counted: as a source, with its network, with its site."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import Final

SOURCE_BITS: Final = 64
"""One source of IPv6 is a /64: a client owns all of it (threats G15). Of IPv4 it is the address."""
NETWORK_BITS: Final = {4: 24, 6: 56}
SITE_BITS: Final = 48
"""What one customer may have of IPv6."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a client is counted."""

    source: str
    network: str
    site: str = ""
    """"" for IPv4."""


@lru_cache(maxsize=4096)
def origin_of(client_ip: str) -> Origin:
    """client_ip: IPv4-mapped addresses as IPv4; a zone does not count."""
    client_ip = client_ip.partition("%")[0]
    if ":" not in client_ip:
        return Origin(client_ip, _block(client_ip, NETWORK_BITS[4]))
    return Origin(
        _block(client_ip, SOURCE_BITS), _block(client_ip, NETWORK_BITS[6]), _block(client_ip, SITE_BITS)
    )


def _block(client_ip: str, bits: int) -> str:
    return str(ip_network(f"{client_ip}/{bits}", strict=False))
