"""XCLIENT, Postfix's extension: a trusted peer says who its client is (XCLIENT_README of Postfix)."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from gatepost.model.fault import PeerFault
from gatepost.model.ip_ranges import is_of_one_host, plain_ip
from gatepost.protocol import refusals
from gatepost.protocol.events import Offer, XClient
from gatepost.protocol.xtext import decode_xtext

ATTRIBUTES: Final = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
VALUE_LIMIT_CHARACTERS: Final = 255

_UNKNOWN: Final = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_IPV6: Final = "IPV6:"


def read_xclient(argument: str, offer: Offer) -> XClient:
    """XCLIENT name=value ... with values in xtext. Raises PeerFault (501).

    ADDR must be an address: without one there is no client to have rights and limits (threats Q07).
    """
    found: dict[str, Any] = {}
    for word in argument.split(" "):
        name, equals, value = word.partition("=")
        name = name.upper()
        if not equals or name not in offer.xclient or name in found:
            raise PeerFault(refusals.XCLIENT_INVALID, "an XCLIENT attribute that is unknown or repeated")
        try:
            found[name] = _value_of(name, value)
        except ValueError as error:
            raise PeerFault(refusals.XCLIENT_INVALID, f"XCLIENT {name}: {error}") from None
    return XClient(**{_FIELDS[name]: value for name, value in found.items()})


def _value_of(name: str, text: str) -> object:
    """The attribute's value as the event has it. Raises ValueError."""
    if text.upper() in _UNKNOWN:
        if name in _NEEDED:
            raise ValueError("must be known")
        return None if name == "NAME" and text.upper() == "[TEMPUNAVAIL]" else _NOT_KNOWN[name]
    value = decode_xtext(text)
    if not 0 < len(value) <= VALUE_LIMIT_CHARACTERS:
        raise ValueError("empty or too long")
    return _READERS[name](value)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text.lower()):
        raise ValueError("no host name")
    return text.lower()


def _address(text: str) -> str:
    """ "192.0.2.1" or "IPV6:2001:db8::1"."""
    try:
        if text.upper().startswith(_IPV6) and "%" not in text:
            found = plain_ip(str(IPv6Address(text[len(_IPV6) :])))
        else:
            found = str(IPv4Address(text))
    except ValueError:
        raise ValueError("no address") from None
    if not is_of_one_host(found):
        raise ValueError("an address of nobody in particular")
    return found


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError("no port")
    return int(text)


def _is_esmtp(text: str) -> bool:
    if text.upper() not in ("SMTP", "ESMTP"):
        raise ValueError("neither SMTP nor ESMTP")
    return text.upper() == "ESMTP"


_FIELDS: Final = {
    "NAME": "name",
    "ADDR": "ip",
    "PORT": "port",
    "PROTO": "esmtp",
    "HELO": "helo",
    "LOGIN": "login",
    "DESTADDR": "server_ip",
    "DESTPORT": "server_port",
}
_READERS: Final[dict[str, Callable[[str], object]]] = {
    "NAME": _name,
    "ADDR": _address,
    "PORT": _port,
    "PROTO": _is_esmtp,
    "HELO": str,
    "LOGIN": str,
    "DESTADDR": _address,
    "DESTPORT": _port,
}
_NEEDED: Final = frozenset({"ADDR", "PROTO"})
_NOT_KNOWN: Final[dict[str, object]] = {
    "NAME": "",
    "PORT": 0,
    "HELO": "",
    "LOGIN": "",
    "DESTADDR": None,
    "DESTPORT": None,
}
