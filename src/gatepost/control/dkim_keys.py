"""Keys for signing: making one, what must be published of it, and whether the DNS says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from gatepost.standards.dkim import NoAnswer
from gatepost.standards.dkim_key import RECORD_LIMIT_BYTES, BadKey, read_key
from gatepost.standards.dkim_sign import PrivateKey, SigningKey, txt_strings
from gatepost.standards.dkim_signature import host_name
from gatepost.standards.tag_list import BadTagList, base64_of, parse_tags

KeyKind = Literal["rsa", "ed25519"]
PUBLIC_EXPONENT = 65537


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the DNS says of one key. problem: "" when it says what it should."""

    name: str
    problem: str = ""
    unknown: bool = False
    """Nobody answered: that is no mistake of the record."""


def new_key(domain: str, selector: str, kind: KeyKind, *, bits: int) -> SigningKey:
    """Raises ValueError for what is no domain or selector."""
    domain, selector = checked_name(domain, "the domain"), checked_name(selector, "the selector")
    return SigningKey(domain, selector, private_key(kind, bits))


def private_key(kind: KeyKind, bits: int) -> PrivateKey:
    """A new one. bits: of an RSA key."""
    return generate_private_key(PUBLIC_EXPONENT, bits) if kind == "rsa" else Ed25519PrivateKey.generate()


def checked_name(text: str, what: str) -> str:
    """In lower case, as A-labels. Raises ValueError."""
    try:
        return host_name(text.removesuffix("."), what)
    except BadTagList:
        raise ValueError(f"{what} {text!r} is no domain name") from None


def zone_lines(key: SigningKey) -> str:
    """The record as a zone file has it, in strings of at most 255 octets."""
    strings = " ".join(f'"{string}"' for string in txt_strings(key.record))
    return f"{key.name}. IN TXT ( {strings} )"


def compared(key: SigningKey, records: Sequence[bytes] | NoAnswer) -> Published:
    """What is published against what should be."""
    if isinstance(records, NoAnswer):
        return Published(name=key.name, problem=f"cannot be looked up: {records.reason}", unknown=True)
    if not records:
        return Published(name=key.name, problem="is not published")
    if len(records) > 1:
        return Published(name=key.name, problem=f"has {len(records)} TXT records instead of one")
    record = records[0]
    try:
        found = parse_tags(record[:RECORD_LIMIT_BYTES])
        if found.get("p") == "":
            return Published(name=key.name, problem="is revoked (p= is empty)")
        other = base64_of(found, "p") != base64_of(parse_tags(key.record.encode()), "p")
    except BadTagList as error:
        return Published(name=key.name, problem=f"is no key record: {error}")
    if other:
        return Published(name=key.name, problem="is another key")
    try:
        usable = read_key(record, key.algorithm)
    except BadKey as bad:
        return Published(name=key.name, problem=bad.reason)
    if usable.testing:
        return Published(name=key.name, problem="says t=y: receivers treat the mail as unsigned")
    return Published(name=key.name)
