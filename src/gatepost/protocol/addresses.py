"""Mail addresses as they stand in MAIL and RCPT, in settings and in lists: text to Address, or a refusal."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

import idna

from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.fault import PeerFault
from gatepost.model.reply import Reply
from gatepost.protocol import refusals

LOCAL_LIMIT_BYTES: Final = 64  # RFC 5321 §4.5.3.1.1
DOMAIN_LIMIT_BYTES: Final = 255  # RFC 5321 §4.5.3.1.2
LABEL_LIMIT_BYTES: Final = 63  # RFC 1035 §2.3.4

# Control characters (C0, DEL, C1) and the line separators some software splits at are in no address.
_UTF8: Final = "[^\\x00-\\x9f\u2028\u2029\ud800-\udfff]"
_ATOM: Final = rf"(?:[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]|{_UTF8})++"
_DOT_STRING: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*+")
_QUOTED: Final = re.compile(rf'"((?:[ !#-\[\]-~]|{_UTF8}|\\(?:[ -~]|{_UTF8}))*+)"')
_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_PATH: Final = re.compile(r'<((?:[^"<>\\]++|"(?:[^"\\]++|\\.)*+")*+)>')
_TORN: Final = re.compile(r'<?(?:[^"<>\\]++|"(?:[^"\\]++|\\.)*+")*+"(?:[^"\\]++|\\.)*+\\?')
_ROUTE: Final = re.compile(r'@(?:\[[^\]@,"]*+\]|[^\[\]:@,"]++)(?:,@(?:\[[^\]@,"]*+\]|[^\[\]:@,"]++))*+:')
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_IPV4: Final = re.compile(r"[0-9.]{7,15}")
_IPV6: Final = re.compile(r"[Ii][Pp][Vv]6:([0-9A-Fa-f:.]{2,45})")
_ORDINARY: Final = re.compile(
    r"([A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*+)@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)++"
    r"[A-Za-z]{2,63})"
)
_ORDINARY_LIMIT: Final = 64
_DOTS: Final = re.compile("[.\u3002\uff0e\uff61]")
"""What UTS #46 takes for a dot between labels."""
_CACHED_ADDRESSES: Final = 4096
"""Ordinary addresses whose reading is remembered: correspondents come back."""


def split_path(text: str, syntax: Reply) -> tuple[str, str]:
    """`<path> rest` as path without brackets and rest; quoted brackets do not count.

    Raises PeerFault with `syntax` when there is no path or something other than a blank follows
    it; BrokenFraming when a quoted string has no end: somebody tries to smuggle a line (F25).
    """
    match = _PATH.match(text)
    if match is None:
        if _TORN.fullmatch(text):
            raise refusals.BrokenFraming(refusals.ADDRESS_TORN, "a quoted string without end")
        raise PeerFault(syntax, "no address in angle brackets")
    rest = text[match.end() :]
    if rest and rest[0] != " ":
        raise PeerFault(syntax, "text behind the closing bracket")
    return match[1], rest


def parse_sender(path: str, *, utf8: bool) -> Address:
    """The reverse path between the brackets; "" is the null sender (RFC 5321 §4.1.2).

    utf8: SMTPUTF8 was asked for. Raises PeerFault: 501 5.1.7, or 553 5.6.7 without SMTPUTF8.
    """
    return _parse(path, refusals.SENDER_INVALID, utf8=utf8) if path else NULL_SENDER


def parse_recipient(path: str, *, utf8: bool) -> Address:
    """The forward path between the brackets; "postmaster" needs no domain (RFC 5321 §4.5.1).

    utf8: as in parse_sender. Raises PeerFault: 553 5.1.3, or 553 5.6.7 without SMTPUTF8.
    """
    if path.lower() == "postmaster" and path.isascii():
        return Address(path, "")
    return _parse(path, refusals.RECIPIENT_INVALID, utf8=utf8)


def parse_mailbox(text: str) -> Address:
    """`user@example.com` as settings and lists write it; no brackets, no route. Raises PeerFault (553)."""
    if text.startswith("@"):
        raise PeerFault(refusals.RECIPIENT_INVALID, "a mailbox has a local part")
    return _parse(text, refusals.RECIPIENT_INVALID, utf8=True)


def canonical_domain(text: str, refusal: Reply = refusals.RECIPIENT_INVALID) -> str:
    """A domain as lower-case A-labels without final dot, or an address literal in its shortest form.

    Raises PeerFault with `refusal`. Lengths are checked before the conversion of an
    IDN, whose time grows with the square of the length (threats H26); numbers that some
    resolvers take for addresses are no domains (threats F19).
    """
    if text.startswith("["):
        return _literal(text, refusal)
    domain = (text.lower() if text.isascii() else _a_labels(text, refusal)).removesuffix(".")
    labels = domain.split(".")
    if len(domain) > DOMAIN_LIMIT_BYTES or any(len(label) > LABEL_LIMIT_BYTES for label in labels):
        raise PeerFault(refusal, "domain or label too long")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise PeerFault(refusal, "not a domain name")
    if _NUMBER.fullmatch(labels[-1]):
        raise PeerFault(refusal, "a number is not a domain")
    return domain


def _parse(text: str, refusal: Reply, *, utf8: bool) -> Address:
    if len(text) <= _ORDINARY_LIMIT and (ordinary := _ordinary(text)) is not None:
        return ordinary
    if not utf8 and not text.isascii():
        raise PeerFault(refusals.ADDRESS_NEEDS_SMTPUTF8, "non-ASCII address without SMTPUTF8")
    if text.startswith("@") and (route := _ROUTE.match(text)):
        text = text[route.end() :]  # RFC 5321 §3.6.1: a source route means its last mailbox
    local, rest = _split_local(text, refusal)
    if not rest.startswith("@"):
        raise PeerFault(refusal, "an address has a local part, @ and a domain")
    if not 0 < len(local.encode()) <= LOCAL_LIMIT_BYTES:
        raise PeerFault(refusal, "local part empty or too long")
    return Address(local, canonical_domain(rest[1:], refusal))


@lru_cache(maxsize=_CACHED_ADDRESSES)
def _ordinary(text: str) -> Address | None:
    """Nearly every address is of this form: nothing to dequote, convert or refuse."""
    match = _ORDINARY.fullmatch(text)
    return None if match is None else Address(match[1], match[2].lower())


def _split_local(text: str, refusal: Reply) -> tuple[str, str]:
    """The local part, dequoted once, and what follows it."""
    if quoted := _QUOTED.match(text):
        return _QUOTED_PAIR.sub(r"\1", quoted[1]), text[quoted.end() :]
    if plain := _DOT_STRING.match(text):
        return plain[0], text[plain.end() :]
    raise PeerFault(refusal, "not a local part")


def _literal(text: str, refusal: Reply) -> str:
    inner = text[1:-1] if text.endswith("]") else ""
    try:
        if _IPV4.fullmatch(inner):
            return f"[{IPv4Address(inner)}]"
        if six := _IPV6.fullmatch(inner):
            return f"[IPv6:{_ipv6_text(IPv6Address(six[1]))}]"
    except AddressValueError:
        pass
    raise PeerFault(refusal, "not an address literal")


def _ipv6_text(address: IPv6Address) -> str:
    """As RFC 5952 §5 writes it: one form on every Python (up to 3.12 str() spells a mapped address in hex)."""
    mapped = address.ipv4_mapped
    return str(address) if mapped is None else f"::ffff:{mapped}"


def _a_labels(text: str, refusal: Reply) -> str:
    if len(text) > DOMAIN_LIMIT_BYTES or any(len(label) > LABEL_LIMIT_BYTES for label in text.split(".")):
        raise PeerFault(refusal, "domain or label too long")
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError as error:  # idna.IDNAError is one
        raise PeerFault(refusal, "not an internationalized domain name") from error


def a_labels_of(text: str) -> str:
    """A domain, or a pattern of one with *, as it is kept: labels beyond ASCII as A-labels, all in lower case.

    What is no label stays as it is, for whoever looks at it next. Raises nothing.
    """
    if text.isascii():
        return text
    labels = _DOTS.split(text[:DOMAIN_LIMIT_BYTES])
    return ".".join(map(_a_label, labels)) + text[DOMAIN_LIMIT_BYTES:]


def _a_label(label: str) -> str:
    if label.isascii() or len(label) > LABEL_LIMIT_BYTES:
        return label
    try:
        return idna.encode(label, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:
        return label


def searched_address(pattern: str) -> str:
    """What somebody looks for, an address with * in any place, as addresses are kept (threats K07)."""
    local, at, domain = pattern.rpartition("@")
    return f"{local}{at}{a_labels_of(domain).removesuffix('.') if at else a_labels_of(domain)}"


def address_key(entry: str) -> str:
    """What "user@example.com" or "@example.com" of a setting is looked up by. Raises ValueError when it is neither."""
    try:
        if entry.startswith("@"):
            return f"@{canonical_domain(entry[1:])}"
        return parse_mailbox(entry).key
    except PeerFault as fault:
        raise ValueError(f"{entry[:320]!r} is no address: {fault.reason}") from fault
