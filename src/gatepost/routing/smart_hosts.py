"""How a smart host is written in the settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gatepost.config.networks import unix_path
from gatepost.routing.accepted import canonical_domain
from gatepost.routing.addresses import canonical_address, literal_address

_BRACKETED: Final = re.compile(r"(\[[^\[\]]{1,255}\])(?::([0-9]{1,5}))?")
_NAMED: Final = re.compile(r"([^\[\]:\s]{1,255})(?::([0-9]{1,5}))?")
_HOST_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_PORTS: Final = range(1, 65536)


@dataclass(frozen=True, slots=True)
class SmartHost:
    """One smart host. port: None for the connector's. by_mx: its MX is asked for first.

    path: of a Unix socket; there is neither address nor port then.
    """

    name: str
    port: int | None = None
    by_mx: bool = False
    is_literal: bool = False
    """`name` is an IP address: used as it is, without DNS."""
    path: str = ""


def parse_smart_host(text: str) -> SmartHost:
    """ "[192.0.2.10]:2525", "mail.example.com", "[mail.example.com]:24", "unix:/run/lmtp". Raises ValueError."""
    stripped = text.strip()
    if (path := unix_path(stripped)) is not None:
        return SmartHost(stripped, path=path)
    bracketed, named = _BRACKETED.fullmatch(stripped), _NAMED.fullmatch(stripped)
    match = bracketed or named
    if match is None:
        raise ValueError(
            f"{text!r} is not a smart host such as [192.0.2.10]:25, mail.example.com or [mail.example.com]"
        )
    port = int(match[2]) if match[2] else None
    if port is not None and port not in _PORTS:
        raise ValueError(f"{text!r}: a port is a number from 1 to 65535")
    inside = match[1].strip("[]")
    ip = literal_address(match[1]) or canonical_address(inside)
    if ip is not None:
        return SmartHost(ip, port, is_literal=True)
    name = canonical_domain(inside)
    if not _HOST_NAME.fullmatch(name):
        raise ValueError(f"{text!r}: {inside!r} is neither an address nor a host name")
    return SmartHost(name, port, by_mx=bracketed is None)
