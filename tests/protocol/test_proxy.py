"""What a proxy says before anything else: taken only as its specification has it, at whatever cut of the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.protocol.proxy import (
    V1_LIMIT_BYTES,
    V2_LIMIT_BYTES,
    Endpoint,
    ProxyHeader,
    crc32c,
    read_proxy_header,
)

START: Final = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, SERVER = "192.0.2.7", "198.51.100.25"
CLIENT6, SERVER6 = "2001:db8::7", "2001:db8::25"


def v2(block: bytes = b"", *, command: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    size = len(block) if length is None else length
    return START + bytes([command, family]) + size.to_bytes(2, "big") + block


def block_of(client: str, server: str, client_port: int = 4711, server_port: int = 25) -> bytes:
    ports = client_port.to_bytes(2, "big") + server_port.to_bytes(2, "big")
    return ip_address(client).packed + ip_address(server).packed + ports


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def with_sum(block: bytes, *, wrong: int = 0, width: int = 4) -> bytes:
    """A header whose last extension is its CRC32c."""
    blank = v2(block + tlv(0x03, bytes(width)))
    summed = (crc32c(blank) ^ wrong).to_bytes(4, "big")
    return blank[: len(blank) - width] + (summed + bytes(width))[:width]


V4: Final = block_of(CLIENT, SERVER)
V6: Final = block_of(CLIENT6, SERVER6)
FROM_TO = (Endpoint(CLIENT, 4711), Endpoint(SERVER, 25))
FROM_TO6 = (Endpoint(CLIENT6, 4711), Endpoint(SERVER6, 25))
ITSELF = (None, None)
SSL_TLV: Final = tlv(0x20, b"\x01\x00\x00\x00\x00" + tlv(0x21, b"TLSv1.3"))


@dataclass(frozen=True)
class Good:
    name: str
    header: bytes
    then: tuple[Endpoint | None, Endpoint | None]


GOOD = [
    Good("1: IPv4", b"PROXY TCP4 192.0.2.7 198.51.100.25 4711 25\r\n", FROM_TO),
    Good("1: IPv6", b"PROXY TCP6 2001:db8::7 2001:DB8::25 4711 25\r\n", FROM_TO6),
    Good("1: IPv4 written as IPv6", b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.25 4711 25\r\n", FROM_TO),
    Good(
        "1: the lowest and the highest port",
        b"PROXY TCP4 192.0.2.7 198.51.100.25 1 65535\r\n",
        (Endpoint(CLIENT, 1), Endpoint(SERVER, 65535)),
    ),
    Good("1: unknown", b"PROXY UNKNOWN\r\n", ITSELF),
    Good("1: unknown, with addresses", b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", ITSELF),
    Good("1: as long as it may be", b"PROXY UNKNOWN".ljust(V1_LIMIT_BYTES - 2) + b"\r\n", ITSELF),
    Good("2: IPv4", v2(V4), FROM_TO),
    Good("2: IPv6", v2(V6, family=0x21), FROM_TO6),
    Good("2: LOCAL", v2(command=0x20, family=0), ITSELF),
    Good("2: LOCAL with addresses: they are not looked at", v2(V4, command=0x20), ITSELF),
    Good("2: unspecified", v2(family=0), ITSELF),
    Good("2: unspecified with an extension", v2(tlv(0x04, b"pad"), family=0), ITSELF),
    Good("2: what it tells of TLS is skipped", v2(V4 + SSL_TLV + tlv(0x05, b"id")), FROM_TO),
    Good("2: an extension that loops into itself is skipped", v2(V4 + tlv(0x20, b"\x20\0\x03" * 5)), FROM_TO),
    Good("2: with a right checksum", with_sum(V4 + SSL_TLV), FROM_TO),
    Good("2: as long as it may be", v2(V4 + tlv(0x04, b"\xff" * (V2_LIMIT_BYTES - 15))), FROM_TO),
]


@pytest.mark.parametrize("case", GOOD, ids=lambda c: c.name)
def test_a_header_says_who_the_client_is(case: Good) -> None:
    client, server = case.then
    wanted = ProxyHeader(size_bytes=len(case.header), client=client, server=server)
    assert read_proxy_header(case.header) == wanted
    # And what follows is not part of it
    assert read_proxy_header(case.header + b"\r\nEHLO x\r\nPROXY ") == wanted


@pytest.mark.threat("Q02")
@pytest.mark.parametrize("case", GOOD, ids=lambda c: c.name)
def test_half_a_header_is_waited_for_at_every_cut(case: Good) -> None:
    assert [read_proxy_header(case.header[:cut]) for cut in range(len(case.header))] == [None] * len(
        case.header
    )


BAD = {
    "nothing of the kind": b"EHLO client.example\r\n",
    "a handshake": b"\x16\x03\x01\x02\x00\x01\x00",
    "lower case": b"proxy TCP4 192.0.2.7 198.51.100.25 4711 25\r\n",
    "1: an unknown family": b"PROXY TCP5 192.0.2.7 198.51.100.25 4711 25\r\n",
    "1: datagrams": b"PROXY UDP4 192.0.2.7 198.51.100.25 4711 25\r\n",
    "1: the other family": b"PROXY TCP4 2001:db8::7 2001:db8::25 4711 25\r\n",
    "1: IPv4 for IPv6": b"PROXY TCP6 192.0.2.7 198.51.100.25 4711 25\r\n",
    "1: port 0": b"PROXY TCP4 192.0.2.7 198.51.100.25 0 25\r\n",
    "1: port 65536": b"PROXY TCP4 192.0.2.7 198.51.100.25 4711 65536\r\n",
    "1: port -1": b"PROXY TCP4 192.0.2.7 198.51.100.25 -1 25\r\n",
    "1: port with a zero in front": b"PROXY TCP4 192.0.2.7 198.51.100.25 04711 25\r\n",
    "1: a zone": b"PROXY TCP6 fe80::7%eth0 fe80::25 4711 25\r\n",
    "1: an octal address": b"PROXY TCP4 192.0.2.07 198.51.100.25 4711 25\r\n",
    "1: a short address": b"PROXY TCP4 192.0.2 198.51.100.25 4711 25\r\n",
    "1: a name": b"PROXY TCP4 localhost 198.51.100.25 4711 25\r\n",
    "1: two blanks": b"PROXY TCP4  192.0.2.7 198.51.100.25 4711 25\r\n",
    "1: one word more": b"PROXY TCP4 192.0.2.7 198.51.100.25 4711 25 x\r\n",
    "1: one word less": b"PROXY TCP4 192.0.2.7 198.51.100.25 4711\r\n",
    "1: nobody's address": b"PROXY TCP4 0.0.0.0 198.51.100.25 4711 25\r\n",
    "1: everybody's address": b"PROXY TCP4 255.255.255.255 198.51.100.25 4711 25\r\n",
    "1: a group's address": b"PROXY TCP6 ff02::1 2001:db8::25 4711 25\r\n",
    "1: ends in LF": b"PROXY UNKNOWN\n",
    "1: a bare CR": b"PROXY UNKNOWN \r x\r\n",
    "1: a NUL": b"PROXY UNKNOWN \0\r\n",
    "1: one octet too long": b"PROXY UNKNOWN".ljust(V1_LIMIT_BYTES - 1) + b"\r\n",
    "1: no end": b"PROXY UNKNOWN".ljust(V1_LIMIT_BYTES),
    "2: version 1": v2(V4, command=0x11),
    "2: an unknown command": v2(V4, command=0x22),
    "2: 65535 octets": v2(V4, length=65535),
    "2: one octet too long": v2(V4, length=V2_LIMIT_BYTES + 1),
    "2: 65535 octets of LOCAL": v2(command=0x20, family=0, length=65535),
    "2: datagrams": v2(V4, family=0x12),
    "2: Unix sockets": v2(bytes(216), family=0x31),
    "2: an unknown family": v2(V4, family=0x41),
    "2: no addresses": v2(),
    "2: too short for its addresses": v2(V4[:-1]),
    "2: half its last port": v2(block_of(CLIENT, SERVER, server_port=6425)[:-1]),
    "2: IPv6 in IPv4's room": v2(V4, family=0x21),
    "2: port 0": v2(block_of(CLIENT, SERVER, client_port=0)),
    "2: nobody's address": v2(block_of("0.0.0.0", SERVER)),
    "2: an extension goes beyond the end": v2(V4 + b"\x04\0\x02x"),
    "2: half an extension": v2(V4 + b"\x04\0"),
    "2: unspecified, an extension beyond the end": v2(b"\x04\xff\xff", family=0),
    "2: a wrong checksum": with_sum(V4, wrong=1),
    "2: a checksum of three octets": with_sum(V4, width=3),
    "2: a checksum of five octets": with_sum(V4, width=5),
    "2: five octets that are right as a number": v2(V4 + b"\x03\0\x05", length=len(V4) + 8)
    + crc32c(v2(V4 + b"\x03\0\x05", length=len(V4) + 8) + bytes(4)).to_bytes(5, "big"),
}


@pytest.mark.threat("Q02", "Q03")
@pytest.mark.parametrize("header", BAD.values(), ids=BAD.keys())
def test_what_is_no_header_is_told_and_never_guessed_at(header: bytes) -> None:
    with pytest.raises(ValueError, match=r"\A(it|its|an?) "):
        read_proxy_header(header)
    with pytest.raises(ValueError):
        read_proxy_header(header + b"\r\nEHLO x\r\n")


def test_the_limits_are_the_specifications_and_ours() -> None:
    assert (V1_LIMIT_BYTES, V2_LIMIT_BYTES) == (107, 4096)


def test_the_checksum_is_the_castagnoli_one() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


def outcome(data: bytes) -> ProxyHeader | str | None:
    try:
        return read_proxy_header(data)
    except ValueError:
        return "refused"


SCRAPS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [*(case.header for case in GOOD[:12]), *BAD.values(), START, b"PROXY ", b"\r\n", b"TCP4 "]
    ),
)


@given(st.lists(SCRAPS, max_size=4).map(b"".join))
def test_the_cut_of_the_bytes_does_not_matter(data: bytes) -> None:
    # What is known once stays so, whatever comes behind it
    known = None
    for cut in range(len(data) + 1):
        now = outcome(data[:cut])
        assert known is None or now == known
        known = now


@given(
    st.ip_addresses(v=4),
    st.ip_addresses(v=4),
    st.integers(0, 65535),
    st.lists(st.binary(max_size=9), max_size=3),
)
def test_both_versions_say_the_same(
    client: object, server: object, port: int, extensions: list[bytes]
) -> None:
    first = outcome(f"PROXY TCP4 {client} {server} {port} 25\r\n".encode())
    more = b"".join(tlv(0xE0, value) for value in extensions)
    second = outcome(v2(block_of(str(client), str(server), client_port=port) + more))
    if isinstance(first, ProxyHeader):
        assert isinstance(second, ProxyHeader)
        assert (first.client, first.server) == (second.client, second.server)
    else:
        assert first == second == "refused"
