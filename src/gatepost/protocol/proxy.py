"""The PROXY protocol, versions 1 and 2: for whom a proxy in front of us speaks (its specification: haproxy.org).

The header comes before everything else on a connection, before TLS and before our banner. Who may send
one is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from gatepost.model.ip_ranges import is_of_one_host, plain_ip

V1_LIMIT_BYTES: Final = 107
"""The longest line of version 1, with CR LF (specification, section 2.1)."""
V2_LIMIT_BYTES: Final = 4096
"""The most that may follow the 16 octets of version 2: addresses and what a proxy tells of TLS, with room."""

_V1_START: Final = b"PROXY "
_V1: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [ -~]*)?|"
    rb"(TCP4|TCP6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) ([1-9][0-9]{0,4}) ([1-9][0-9]{0,4}))"
)
_V2_START: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED_BYTES: Final = 16
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_UNSPECIFIED: Final = 0x00
_ADDRESS_BYTES: Final = {0x11: 4, 0x21: 16}
"""TCP over IPv4 and over IPv6, by the octet that says so. Datagrams and Unix sockets bring no mail."""
_TLV_BYTES: Final = 3
_TLV_CRC32C: Final = 0x03
_CRC32C_POLYNOMIAL: Final = 0x82F63B78
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a connection; an IPv4-mapped address is written as IPv4 (threats F36)."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyHeader:
    """What a proxy said.

    size_bytes: octets of the header; what follows is the client's.
    client, server: the two sides of the connection the proxy took; None: it speaks for itself (LOCAL,
                    UNKNOWN), and the addresses of the connection itself count.
    """

    size_bytes: int
    client: Endpoint | None = None
    server: Endpoint | None = None


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of a connection; None when its end has not come yet.

    data: everything that came so far. Raises ValueError, with the rule that was broken, as soon as no
    octets to come could make it a header (threats Q02, Q03).
    """
    if data.startswith(_V1_START) or _V1_START.startswith(data):
        return _read_v1(data)
    if data.startswith(_V2_START) or _V2_START.startswith(data):
        return _read_v2(data)
    raise ValueError("it is no PROXY header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, V1_LIMIT_BYTES)
    if end < 0:
        if b"\n" in data[:V1_LIMIT_BYTES]:
            raise ValueError("its line does not end in CR LF")
        if len(data) >= V1_LIMIT_BYTES:
            raise ValueError(f"its line has more than {V1_LIMIT_BYTES} octets")
        return None
    match = _V1.fullmatch(data, 0, end)
    if match is None:
        raise ValueError("its line is not as version 1 has it")
    size_bytes = end + 2
    if match[1] is None:
        return ProxyHeader(size_bytes=size_bytes)
    kind = IPv4Address if match[1] == b"TCP4" else IPv6Address
    try:
        client, server = kind(match[2].decode()), kind(match[3].decode())
    except ValueError:
        raise ValueError("an address is none of its family") from None
    return ProxyHeader(
        size_bytes=size_bytes,
        client=_endpoint(client, int(match[4])),
        server=_endpoint(server, int(match[5])),
    )


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED_BYTES:
        return None
    command, family, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise ValueError("its version or command is unknown")
    if length > V2_LIMIT_BYTES:
        raise ValueError(f"it announces more than {V2_LIMIT_BYTES} octets")
    size_bytes = _V2_FIXED_BYTES + length
    if len(data) < size_bytes:
        return None
    if command == _LOCAL:  # "discard the protocol block including the family": nothing in it is believed
        return ProxyHeader(size_bytes=size_bytes)
    header = data[:size_bytes]
    if family == _UNSPECIFIED:
        _check_extensions(header, _V2_FIXED_BYTES)
        return ProxyHeader(size_bytes=size_bytes)
    width = _ADDRESS_BYTES.get(family)
    if width is None:
        raise ValueError("its addresses are not of TCP over IPv4 or IPv6")
    client_at, server_at = _V2_FIXED_BYTES, _V2_FIXED_BYTES + width
    ports_at = server_at + width
    if size_bytes < ports_at + 4:
        raise ValueError("it is too short for its addresses")
    _check_extensions(header, ports_at + 4)
    client_port, server_port = (int.from_bytes(header[at : at + 2], "big") for at in (ports_at, ports_at + 2))
    return ProxyHeader(
        size_bytes=size_bytes,
        client=_endpoint(ip_address(header[client_at:server_at]), client_port),
        server=_endpoint(ip_address(header[server_at:ports_at]), server_port),
    )


def _endpoint(address: IPv4Address | IPv6Address, port: int) -> Endpoint:
    """Raises ValueError for what no connection can have."""
    if not 1 <= port <= _HIGHEST_PORT:
        raise ValueError("a port is none")
    plain = plain_ip(str(address))
    if not is_of_one_host(plain):
        raise ValueError("an address is of nobody in particular")
    return Endpoint(plain, port)


def _check_extensions(header: bytes, at: int) -> None:
    """Walk over the TLVs behind the addresses, which must fill the rest exactly. The checksum is checked.

    None of the others is for us. Those inside one of them are not looked at.
    """
    while at < len(header):
        value_at = at + _TLV_BYTES
        next_at = value_at + int.from_bytes(header[at + 1 : value_at], "big")
        if value_at > len(header) or next_at > len(header):
            raise ValueError("an extension goes beyond its end")
        if header[at] == _TLV_CRC32C:
            _check_sum(header, value_at, next_at)
        at = next_at


def _check_sum(header: bytes, value_at: int, end_at: int) -> None:
    """CRC32c over the whole header, with zeros where the sum itself stands (specification, section 2.2.3)."""
    if end_at - value_at != 4:
        raise ValueError("its checksum has not four octets")
    blanked = header[:value_at] + bytes(4) + header[end_at:]
    if crc32c(blanked) != int.from_bytes(header[value_at:end_at], "big"):
        raise ValueError("its checksum is wrong")


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC (RFC 3309): a header has some sixty octets, so a table in Python is fast enough."""
    remainder = 0xFFFFFFFF
    for octet in data:
        remainder = _CRC32C_TABLE[(remainder ^ octet) & 0xFF] ^ (remainder >> 8)
    return remainder ^ 0xFFFFFFFF


def _crc32c_row(number: int) -> int:
    for _ in range(8):
        number = number >> 1 ^ (_CRC32C_POLYNOMIAL if number & 1 else 0)
    return number


_CRC32C_TABLE: Final = tuple(_crc32c_row(number) for number in range(256))
