"""Sets of IP addresses as administrators write them: an address, a network, or a range a-b."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, Self

_MAPPED: Final = 0xFFFF
"""The upper 96 bits of an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2)."""
_IPV4_BITS: Final = 0xFFFFFFFF
_BROADCAST: Final = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True, order=True)
class IpRange:
    """One range, both ends included; `version` is 4 or 6."""

    version: int
    low: int
    high: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """ "192.0.2.1", "192.0.2.0/24", "192.0.2.1-192.0.2.9", and IPv6 alike. Raises ValueError.

        A network with host bits set is refused (threats F37): it hides what was meant. IPv4 mapped into IPv6 is
        the IPv4 it maps, as clients' addresses are (threats F36).
        """
        if "-" in text:
            low, high = (ip_address(part.strip()) for part in text.split("-", 1))
            if low.version != high.version or int(low) > int(high):
                raise ValueError(f"{text!r} is not a range from a lower to a higher address")
            return cls._of(low.version, int(low), int(high))
        network = ip_network(text.strip())
        return cls._of(network.version, int(network.network_address), int(network.broadcast_address))

    @classmethod
    def _of(cls, version: int, low: int, high: int) -> Self:
        if version == 6 and low >> 32 == _MAPPED and high >> 32 == _MAPPED:
            return cls(4, low & _IPV4_BITS, high & _IPV4_BITS)
        return cls(version, low, high)

    @property
    def size(self) -> int:
        """How many addresses: the smaller, the more specific."""
        return self.high - self.low + 1


class IpRanges:
    """Several ranges; finds the most specific that holds an address."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises ValueError for a text that is no range."""
        self._ranges = tuple(sorted((IpRange.parse(text) for text in texts), key=lambda r: r.size))

    def most_specific(self, address: str) -> IpRange | None:
        """address: a valid IP address as text. None when no range holds it."""
        version, number = number_of(address)
        for found in self._ranges:
            if found.version == version and found.low <= number <= found.high:
                return found
        return None

    def __contains__(self, address: str) -> bool:
        return self.most_specific(address) is not None

    def __bool__(self) -> bool:
        return bool(self._ranges)


@lru_cache(maxsize=4096)
def number_of(address: str) -> tuple[int, int]:
    """Version and number; of an IPv4-mapped IPv6 address, those of the IPv4 address. Raises ValueError."""
    parts = address.split(".")
    if len(parts) == 4:
        try:
            a, b, c, d = map(int, parts)
        except ValueError:
            pass
        else:  # what is not written as usual is read, or refused, below
            if f"{a}.{b}.{c}.{d}" == address and not (a | b | c | d) >> 8:
                return 4, a << 24 | b << 16 | c << 8 | d
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.version, int(parsed)


def address_text(version: int, number: int) -> str:
    """The address in its shortest form."""
    return str(IPv4Address(number) if version == 4 else IPv6Address(number))


def range_text(addresses: IpRange) -> str:
    """As parse() reads it: an address, a network where it is one, else a-b."""
    low = address_text(addresses.version, addresses.low)
    bits = 32 if addresses.version == 4 else 128
    length = (addresses.size).bit_length() - 1
    if addresses.size == 1:
        return low
    if addresses.size == 1 << length and addresses.low % addresses.size == 0:
        return f"{low}/{bits - length}"
    return f"{low}-{address_text(addresses.version, addresses.high)}"


def is_of_one_host(address: str) -> bool:
    """Whether a connection can come from it: not for an unspecified, a multicast or the broadcast address."""
    parsed = ip_address(address)
    return not (parsed.is_unspecified or parsed.is_multicast or parsed == _BROADCAST)


@lru_cache(maxsize=4096)
def plain_ip(address: str) -> str:
    """An IPv4-mapped IPv6 address as IPv4, a zone removed, else unchanged (threats F36).

    address: as the operating system gives it. Raises ValueError when it is none.
    """
    parsed = ip_address(address.split("%", 1)[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)
