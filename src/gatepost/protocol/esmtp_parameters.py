"""The words behind the address in MAIL and RCPT: SIZE, BODY, NOTIFY and their kind, checked and typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from gatepost.model.envelope import BodyType, Notify, Ret
from gatepost.model.fault import PeerFault
from gatepost.protocol import refusals
from gatepost.protocol.events import Offer
from gatepost.protocol.xtext import decode_xtext

ENVID_LIMIT_BYTES: Final = 100  # RFC 3461 §4.4
ORCPT_LIMIT_BYTES: Final = 500  # RFC 3461 §4.2
_AUTH_LIMIT_BYTES: Final = 500  # RFC 4954 §5 adds so much to the line

# RFC 5321 §4.1.2; a value beyond ASCII: RFC 6531 §3.3
_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([^\x00-\x20=\x7f]++))?")
_SIZE: Final = re.compile(r"[0-9]{1,20}")  # RFC 1870 §4
_ADDRESS_TYPE: Final = re.compile(r"[A-Za-z0-9-]+")

_BODIES: Final = {body.value: body for body in BodyType}
_OF_MAIL: Final[Mapping[str, Callable[[Offer], bool]]] = {
    "SIZE": lambda _: True,
    "BODY": lambda offer: offer.eight_bit_mime or offer.chunking,
    "SMTPUTF8": lambda offer: offer.smtputf8,
    "RET": lambda offer: offer.dsn,
    "ENVID": lambda offer: offer.dsn,
    "AUTH": lambda offer: bool(offer.auth) or offer.is_logged_in,
    "REQUIRETLS": lambda offer: offer.require_tls,
}
_OF_RCPT: Final = frozenset({"NOTIFY", "ORCPT"})

Parameters = Mapping[str, str | None]
"""Keyword in capitals -> value; None when there was no "="."""

NO_PARAMETERS: Final[Parameters] = {}


def split_parameters(text: str) -> Parameters:
    """`SIZE=1 BODY=7BIT` as a mapping. Raises PeerFault (501) for bad syntax and repetition (threats B18)."""
    found: dict[str, str | None] = {}
    for word in text.split(" "):
        if not word:
            continue
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None:
            raise _invalid("a malformed parameter")
        keyword = parameter[1].upper()
        if keyword in found:
            raise _invalid("a repeated parameter")
        found[keyword] = parameter[2]
    return found


def check_mail_parameters(given: Parameters, offer: Offer, *, tls: bool) -> None:
    """Raises PeerFault (555) for a parameter of MAIL that we did not announce."""
    for keyword in given:
        offered = _OF_MAIL.get(keyword)
        if offered is None or not offered(offer) or (keyword == "REQUIRETLS" and not tls):
            raise PeerFault(refusals.PARAMETER_UNKNOWN, "a parameter that was not offered")


def check_rcpt_parameters(given: Parameters, offer: Offer) -> None:
    """Raises PeerFault (555) for a parameter of RCPT that we did not announce."""
    if not all(offer.dsn and keyword in _OF_RCPT for keyword in given):
        raise PeerFault(refusals.PARAMETER_UNKNOWN, "a parameter that was not offered")


def flag_of(given: Parameters, keyword: str) -> bool:
    """Whether a parameter without value is there. Raises PeerFault (501) when it has one."""
    if given.get(keyword) is not None:
        raise _invalid(f"{keyword} with a value")
    return keyword in given


def size_of(given: Parameters, offer: Offer) -> int | None:
    """SIZE= in octets (RFC 1870). Raises PeerFault: 501, or 552 above the limit."""
    value = _value_of(given, "SIZE")
    if value is None:
        return None
    if not _SIZE.fullmatch(value):
        raise _invalid("SIZE that is not a number")
    size_bytes = int(value)
    if offer.size_bytes and size_bytes > offer.size_bytes:
        raise PeerFault(refusals.TOO_LARGE, "SIZE above the limit")
    return size_bytes


def body_of(given: Parameters, offer: Offer) -> BodyType:
    """BODY= (RFC 6152, RFC 3030). Raises PeerFault: 501, or 555 for a kind we did not announce."""
    value = _value_of(given, "BODY")
    if value is None:
        return BodyType.SEVEN_BIT
    body = _BODIES.get(value.upper())
    if body is None:
        raise _invalid("an unknown BODY")
    if body is BodyType.BINARY_MIME and not (offer.chunking and offer.binary_mime):
        raise PeerFault(refusals.PARAMETER_UNKNOWN, "BODY=BINARYMIME not offered")
    return body


def ret_of(given: Parameters) -> Ret | None:
    """RET= (RFC 3461 §4.3). Raises PeerFault (501)."""
    value = _value_of(given, "RET")
    if value is None:
        return None
    try:
        return Ret(value.upper())
    except ValueError as error:
        raise _invalid("an unknown RET") from error


def envid_of(given: Parameters) -> str:
    """ENVID= decoded, "" when absent (RFC 3461 §4.4). Raises PeerFault (501)."""
    value = _value_of(given, "ENVID")
    return "" if value is None else _decoded(value, ENVID_LIMIT_BYTES)


def auth_of(given: Parameters) -> str | None:
    """AUTH= decoded, "<>" as it is (RFC 4954 §5). Raises PeerFault (501)."""
    value = _value_of(given, "AUTH")
    return None if value is None else _decoded(value, _AUTH_LIMIT_BYTES)


def notify_of(given: Parameters) -> Notify:
    """NOTIFY= (RFC 3461 §4.1). Raises PeerFault (501), also for NEVER beside others (threats B22)."""
    value = _value_of(given, "NOTIFY")
    if value is None:
        return Notify.DEFAULT
    notify = Notify.DEFAULT
    for word in value.upper().split(","):
        if word not in Notify.__members__ or word == "DEFAULT":
            raise _invalid("an unknown NOTIFY")
        notify |= Notify[word]
    if Notify.NEVER in notify and notify != Notify.NEVER:
        raise _invalid("NOTIFY=NEVER beside others")
    return notify


def orcpt_of(given: Parameters, *, utf8: bool) -> str:
    """ORCPT= as "type;address", decoded; "" when absent (RFC 3461 §4.2, RFC 6533 §3). Raises PeerFault (501)."""
    value = _value_of(given, "ORCPT")
    if value is None:
        return ""
    address_type, semicolon, address = value.partition(";")
    if not semicolon or not address or not _ADDRESS_TYPE.fullmatch(address_type):
        raise _invalid("ORCPT without type or address")
    return f"{address_type};{_decoded(address, ORCPT_LIMIT_BYTES - len(address_type) - 1, utf8=utf8)}"


def _value_of(given: Parameters, keyword: str) -> str | None:
    value = given.get(keyword)
    if value is None and keyword in given:
        raise _invalid(f"{keyword} without a value")
    return value


def _decoded(value: str, limit_bytes: int, *, utf8: bool = False) -> str:
    if len(value) > limit_bytes:
        raise _invalid("a parameter value too long")
    try:
        return decode_xtext(value, utf8=utf8)
    except ValueError as error:
        raise _invalid("a parameter value that is not xtext") from error


def _invalid(reason: str) -> PeerFault:
    return PeerFault(refusals.PARAMETER_INVALID, reason)
