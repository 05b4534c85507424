"""Addresses, ports and ranges as the configuration writes them, parsed strictly: nothing is guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator

from gatepost.model.ip_ranges import IpRange
from gatepost.model.reach import may_be_named

IpAddress = IPv4Address | IPv6Address

NAME_LIMIT: Final = 253  # RFC 1035 §2.3.4
UNIX_PATH_LIMIT_BYTES: Final = 107  # sun_path of Linux, with its NUL
_MAILBOX: Final = re.compile(r"[^\s@<>\"\x00-\x1f]{1,64}@([^\s@]{1,253})")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_BITS: Final = {4: 32, 6: 128}
_INTERNAL: Final = {
    4: tuple(
        map(IpRange.parse, ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"))
    ),
    6: tuple(map(IpRange.parse, ("::1", "fc00::/7", "fe80::/10"))),
}
_WITH_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Binding:
    """An address and a port to listen on or to ask: ("0.0.0.0", 25), ("::", 25)."""

    address: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it."""
        return ip_address(self.address).is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Every address of this machine."""
        return ip_address(self.address).is_unspecified


def parse_address(text: str) -> IpAddress:
    """One IP address; an IPv4-mapped IPv6 address is IPv4 (threats F36). Raises ValueError."""
    if "%" in text:
        raise ValueError(f"{text!r} names an interface, which is not possible here")
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_range(text: str) -> IpRange:
    """As IpRange.parse, with words for the administrator. Raises ValueError."""
    if "%" in text:
        raise ValueError(f"{text!r} names an interface, which is not possible here")
    try:
        found = IpRange.parse(text)
    except ValueError as error:
        raise ValueError(
            _meant(text) or f"{text!r} is no address, network or range a-b: {_plain(error)}"
        ) from None
    if found.version == 6 and found.low >> 32 == 0xFFFF and found.high >> 32 == 0xFFFF:
        raise ValueError(f"{text!r}: IPv4 clients are known by their IPv4 addresses: write those")
    return found


def _ranges(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        parse_range(entry)
    return entries


Networks = Annotated[tuple[str, ...], AfterValidator(_ranges)]
"""A setting: addresses, networks and ranges, as parse_range() takes them."""


def is_everybody(addresses: IpRange) -> bool:
    """All of IPv4 or all of IPv6."""
    return addresses.size == 1 << _BITS[addresses.version]


def is_internal(addresses: IpRange) -> bool:
    """Loopback, private or link-local from end to end."""
    return any(
        net.low <= addresses.low and addresses.high <= net.high for net in _INTERNAL[addresses.version]
    )


def is_internal_ip(address: str) -> bool:
    """As is_internal, of one address as the operating system writes it."""
    return is_internal(IpRange.parse(address))


def service_problem(host: str) -> str:
    """Why no service can be at an address; "" for names, too: where they lead is seen when they are looked up."""
    if not is_ip(host) or may_be_named(host):
        return ""
    return f"{host} is no address of a service: link-local, multicast, reserved, or a cloud's own"


def overlap(one: IpRange, other: IpRange) -> bool:
    """Whether an address is in both."""
    return one.version == other.version and one.low <= other.high and other.low <= one.high


def parse_binding(text: str, *, default_port: int | None = None) -> Binding:
    """'0.0.0.0:25', '[::]:25'; the port may lack when there is a default. Raises ValueError."""
    match = _WITH_PORT.fullmatch(text)
    if not match and default_port is not None:  # a bare IPv6 address
        return Binding(str(parse_address(text)), default_port)
    port = int(match[2]) if match and match[2] else default_port
    if not match or port is None or not 1 <= port <= 65535:
        raise ValueError(f'{text!r} is not an address and port, such as "0.0.0.0:25" or "[::]:25"')
    try:
        return Binding(str(ip_address(match[1].strip("[]"))), port)
    except ValueError:
        if match[1] == "*":
            raise ValueError(
                'every address is written "0.0.0.0:PORT" (IPv4) and "[::]:PORT" (IPv6)'
            ) from None
        raise ValueError(f"{match[1]!r} is not an IP address; names are not looked up here") from None


def parse_smart_host(text: str) -> tuple[str, int | None, bool]:
    """'[192.0.2.10]:2525', '[mail.example.com]', 'mail.example.com:587' -> (host, port, in brackets).

    Raises ValueError. A host is a name or, in brackets only, an address.
    """
    match = _WITH_PORT.fullmatch(text)
    port = int(match[2]) if match and match[2] else None
    if not match or (port is not None and not 1 <= port <= 65535):
        raise ValueError(f'{text!r} is not a smart host such as "[192.0.2.10]:2525" or "mail.example.com"')
    host, bracketed = match[1].strip("[]"), match[1].startswith("[")
    if is_ip(host.removeprefix("IPv6:")):
        if not bracketed:
            raise ValueError(f"{text!r}: an address stands in brackets: [{host}]")
        return host.removeprefix("IPv6:"), port, True
    if problem := name_problem(host):
        raise ValueError(f"{text!r}: {problem}")
    return host.lower().rstrip("."), port, bracketed


def unix_path(text: str) -> str | None:
    """'unix:/run/dovecot/lmtp' -> the path; None when it is another kind of smart host. Raises ValueError."""
    if not text.startswith("unix:"):
        return None
    path = text.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path or len(path.encode()) > UNIX_PATH_LIMIT_BYTES:
        raise ValueError(
            f"{text!r}: the path of a Unix socket is absolute and has at most {UNIX_PATH_LIMIT_BYTES} octets, "
            'such as "unix:/run/dovecot/lmtp"'
        )
    return path


def is_ip(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_mail_address(text: str) -> bool:
    """Whether this can be user@domain, as settings write it: no quotes, no literals."""
    match = _MAILBOX.fullmatch(text)
    return match is not None and not name_problem(match[1])


def is_sender(text: str) -> bool:
    """Whether this can be what an account may send as: an address, *@domain, or *@*.domain for its subdomains."""
    return is_mail_address(f"*@{text[4:]}" if text.startswith("*@*.") else text)


def name_problem(name: str) -> str:
    """Why this is no host name or domain; "" when it is one. Non-ASCII names are checked by their A-labels."""
    if is_ip(name.strip("[]")):
        return "an address is not a name"
    try:
        plain = name if name.isascii() else _a_labels(name)
    except ValueError as error:
        return f"not a domain name: {error}"
    labels = plain.removesuffix(".").split(".")
    if len(plain) > NAME_LIMIT or not all(_LABEL.fullmatch(label) for label in labels):
        return "not a domain name: labels of letters, digits and hyphens, joined by dots"
    if _NUMBER.fullmatch(labels[-1]):  # as some resolvers read it, too (threats F19)
        return "a domain name does not end in a number"
    return ""


def _a_labels(name: str) -> str:
    if len(name) > NAME_LIMIT:  # before the conversion, whose time is not linear (H26)
        raise ValueError("it is too long")
    import idna  # only names beyond ASCII pay for it

    return idna.encode(name, uts46=True).decode("ascii")


def _meant(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return ""
    return f"{text!r} has host bits set: write {network} for the network or {text.partition('/')[0]} for the host"


def _plain(error: ValueError) -> str:
    return str(error).replace("\n", " ")[:120]
