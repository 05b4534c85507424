"""SPF records: which of a name's texts is the record, and its terms (RFC 7208 §4.5, §4.6, §12; RFC 4406 §3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from gatepost.standards.spf_macros import MacroString, RecordError, parse_domain_spec, parse_macro_string

RECORD_LIMIT_BYTES: Final = 16 << 10
_CACHED_RECORDS: Final = 1024
_CACHED_RECORD_LIMIT_CHARS: Final = 1024
_BITS_4: Final = 32
_BITS_6: Final = 128
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*+")
_IP6: Final = re.compile(r"[0-9A-Fa-f:.]+")
_CIDR: Final = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_CIDR_LIMIT_CHARS: Final = len("/32//128")
_ONE_CIDR: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_VERSION_2: Final = re.compile(
    r"spf2\.[0-9]{1,9}/([A-Za-z][A-Za-z0-9_.-]*+(?:,[A-Za-z][A-Za-z0-9_.-]*+)*+)(?= |\Z)", re.IGNORECASE
)


class Result(Enum):
    """What a check came to (RFC 7208 §2.6)."""

    PASS = "pass"  # noqa: S105  # a result, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Identity(Enum):
    """Which records speak about what is checked."""

    SPF = "spf"
    """v=spf1 only: what RFC 7208 knows."""
    MFROM = "mfrom"
    PRA = "pra"
    """Sender ID's: spf2.0 records of that scope; v=spf1 when there is none (RFC 4406 §4.4)."""


class Kind(Enum):
    """The mechanisms."""

    ALL = "all"
    INCLUDE = "include"
    A = "a"
    MX = "mx"
    PTR = "ptr"
    IP4 = "ip4"
    IP6 = "ip6"
    EXISTS = "exists"


QUALIFIERS: Final = {
    "+": Result.PASS,
    "-": Result.FAIL,
    "~": Result.SOFTFAIL,
    "?": Result.NEUTRAL,
}
_KINDS: Final = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One mechanism with its qualifier."""

    text: str
    """As it was written."""
    kind: Kind
    result: Result
    """What it says when it matches."""
    spec: MacroString | None = None
    """None: the domain that is checked."""
    network: int = 0
    """Of ip4 and ip6: the bits that count."""
    mask_4: int = (1 << _BITS_4) - 1
    mask_6: int = (1 << _BITS_6) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record without mistakes."""

    directives: tuple[Directive, ...]
    redirect: MacroString | None = None
    explanation: MacroString | None = None


def select_record(texts: Iterable[bytes], identity: Identity = Identity.SPF) -> bytes | None:
    """The one text that is the record for an identity; None when there is none.

    Raises RecordError when there are several.
    """
    first = [text for text in texts if _is_version_1(text)]
    second = (
        [] if identity is Identity.SPF else [text for text in texts if identity.value in _scopes_of(text)]
    )
    chosen = second or first
    if len(chosen) > 1:
        raise RecordError(f"{len(chosen)} records where one may stand")
    return chosen[0] if chosen else None


def _is_version_1(text: bytes) -> bool:
    return text[:6].lower() == b"v=spf1" and text[6:7] in (b"", b" ")


def _scopes_of(text: bytes) -> frozenset[str]:
    if text[:5].lower() != b"spf2.":
        return frozenset()
    match = _VERSION_2.match(text[:512].decode("latin-1"))
    return frozenset(match[1].lower().split(",")) if match else frozenset()


def parse_record(text: bytes) -> Record:
    """All terms, checked before the first is evaluated (§4.6). Linear in the length. Raises RecordError."""
    if len(text) > RECORD_LIMIT_BYTES:
        raise RecordError(f"the record has {len(text)} octets, the limit is {RECORD_LIMIT_BYTES}")
    try:
        written = text.decode("ascii")
    except UnicodeDecodeError as error:
        raise RecordError("the record has characters that are not ASCII") from error
    return _remembered(written) if len(written) <= _CACHED_RECORD_LIMIT_CHARS else _parse(written)


def _parse(written: str) -> Record:
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in written.split(" ")[1:]:
        if not term:
            continue
        name = _NAME.match(term)
        if name is not None and term.startswith("=", name.end()):
            _add_modifier(modifiers, name[0].lower(), term[name.end() + 1 :])
        else:
            directives.append(_directive(term))
    return Record(
        directives=tuple(directives),
        redirect=modifiers.get("redirect"),
        explanation=modifiers.get("exp"),
    )


_remembered = lru_cache(maxsize=_CACHED_RECORDS)(_parse)


def _add_modifier(modifiers: dict[str, MacroString], name: str, value: str) -> None:
    if name not in ("redirect", "exp"):
        parse_macro_string(value)  # unknown: of no meaning, yet it must be well-formed (§6)
        return
    if name in modifiers:
        raise RecordError(f"{name}= stands twice")
    modifiers[name] = parse_domain_spec(value)


def _directive(term: str) -> Directive:
    result = QUALIFIERS.get(term[0])
    bare = term if result is None else term[1:]
    name = _NAME.match(bare)
    kind = _KINDS.get(name[0].lower()) if name is not None else None
    if name is None or kind is None:
        raise RecordError(f"{term[:100]!r} is no mechanism")
    return _MAKERS[kind](term, kind, result or Result.PASS, bare[name.end() :])


def _make_all(term: str, kind: Kind, result: Result, rest: str) -> Directive:
    if rest:
        raise RecordError(f"{term[:100]!r}: all takes nothing")
    return Directive(text=term, kind=kind, result=result)


def _make_named(term: str, kind: Kind, result: Result, rest: str) -> Directive:
    """include and exists need a name, ptr may have one."""
    if not rest and kind is Kind.PTR:
        return Directive(text=term, kind=kind, result=result)
    if not rest.startswith(":"):
        raise RecordError(f"{term[:100]!r} lacks a domain name")
    return Directive(text=term, kind=kind, result=result, spec=parse_domain_spec(rest[1:]))


def _make_addressed(term: str, kind: Kind, result: Result, rest: str) -> Directive:
    """a and mx: a name or none, then the lengths of both kinds of networks."""
    tail = rest[-_CIDR_LIMIT_CHARS:]
    cidr = _CIDR.search(tail)
    assert cidr is not None  # the pattern matches the end of any text
    rest = rest[: len(rest) - len(tail) + cidr.start()]
    if rest and not rest.startswith(":"):
        raise RecordError(f"{term[:100]!r} is no mechanism")
    return Directive(
        text=term,
        kind=kind,
        result=result,
        spec=parse_domain_spec(rest[1:]) if rest else None,
        mask_4=_mask(cidr[1], _BITS_4),
        mask_6=_mask(cidr[2], _BITS_6),
    )


def _make_network(term: str, kind: Kind, result: Result, rest: str) -> Directive:
    address, slash, length = rest[1:].partition("/")
    if not rest.startswith(":") or (slash and not _ONE_CIDR.fullmatch(length)):
        raise RecordError(f"{term[:100]!r} is no network")
    bits = _BITS_4 if kind is Kind.IP4 else _BITS_6
    mask = _mask(length or None, bits)
    try:
        if kind is Kind.IP4:
            network = int(IPv4Address(address))
        elif _IP6.fullmatch(address):
            network = int(IPv6Address(address))
        else:
            raise AddressValueError
    except AddressValueError as error:
        raise RecordError(f"{term[:100]!r} is no network") from error
    return Directive(text=term, kind=kind, result=result, network=network & mask, mask_4=mask, mask_6=mask)


def _mask(length: str | None, bits: int) -> int:
    count = bits if length is None else int(length)
    if count > bits:
        raise RecordError(f"/{count}: a network has at most {bits} bits")
    return ((1 << count) - 1) << (bits - count)


_MAKERS: Final = {
    Kind.ALL: _make_all,
    Kind.INCLUDE: _make_named,
    Kind.EXISTS: _make_named,
    Kind.PTR: _make_named,
    Kind.A: _make_addressed,
    Kind.MX: _make_addressed,
    Kind.IP4: _make_network,
    Kind.IP6: _make_network,
}
