"""Key records: what a domain publishes for a selector, and whether a signature may be checked with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gatepost.standards.tag_list import BadTagList, base64_of, list_of, parse_tags

RECORDS_LIMIT: Final = 3
"""Key records of one name that are tried (RFC 6376 §6.1.2 leaves the choice to us)."""
RECORD_LIMIT_BYTES: Final = 8 * 1024
DER_LIMIT_BYTES: Final = 2 * 1024
RSA_LOW_BITS: Final = 1024
RSA_HIGH_BITS: Final = 4096
EXPONENT_LIMIT_BITS: Final = 64
_CACHED_KEYS: Final = 512
_PKCS1: Final = PKCS1v15()
_SHA256: Final = SHA256()

PublicKey = RSAPublicKey | Ed25519PublicKey


class BadKey(Exception):
    """A key that no signature can be checked with. result: as RFC 8601 §2.7.1 names it."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One usable key, and what its record says of its use (RFC 6376 §3.6.1)."""

    key: PublicKey
    bits: int
    testing: bool = False
    """t=y: the domain only tries DKIM out."""
    strict_identity: bool = False
    """t=s: the domain of i= must be d= itself."""

    def proves(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature was made over these octets with this key's other half."""
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(signature, data, _PKCS1, _SHA256)
            else:
                self.key.verify(signature, hashlib.sha256(data).digest())
        except InvalidSignature:
            return False
        return True


def usable_keys(records: Sequence[bytes], algorithm: str, *, low_bits: int = RSA_LOW_BITS) -> list[KeyRecord]:
    """The keys of a name that fit an algorithm, at most RECORDS_LIMIT.

    Raises BadKey when there is none: with what is wrong with the first.
    """
    if not records:
        raise BadKey("permerror", "its key is not published")
    first: BadKey | None = None
    found = []
    for record in records[:RECORDS_LIMIT]:
        try:
            found.append(read_key(record, algorithm, low_bits=low_bits))
        except BadKey as bad:
            first = first or bad
    if not found and first is not None:
        raise first
    return found


def read_key(record: bytes, algorithm: str, *, low_bits: int = RSA_LOW_BITS) -> KeyRecord:
    """Good ones are remembered: a sender's key is looked at for each of its mails. Raises BadKey."""
    if len(record) > RECORD_LIMIT_BYTES:
        raise BadKey("permerror", f"its key record is larger than {RECORD_LIMIT_BYTES} octets")
    return _read_key(record, algorithm, low_bits)


@lru_cache(maxsize=_CACHED_KEYS)
def _read_key(record: bytes, algorithm: str, low_bits: int) -> KeyRecord:
    try:
        tags = parse_tags(record)
        _check_use(tags, algorithm)
        if tags.get("p") == "":
            raise BadKey("permerror", "its key is revoked")
        der = base64_of(tags, "p")
    except BadTagList as error:
        raise BadKey("permerror", f"its key record is malformed: {error}") from None
    if len(der) > DER_LIMIT_BYTES:
        raise BadKey("policy", f"its key is larger than {RSA_HIGH_BITS} bits")
    key = _loaded(der, is_rsa=algorithm.startswith("rsa"))
    bits = key.key_size if isinstance(key, RSAPublicKey) else 256
    if isinstance(key, RSAPublicKey):
        if bits < low_bits:
            raise BadKey("policy", f"its key of {bits} bits is shorter than {low_bits}")
        if bits > RSA_HIGH_BITS:
            raise BadKey("policy", f"its key of {bits} bits is longer than {RSA_HIGH_BITS}")
        exponent = key.public_numbers().e
        if exponent.bit_length() > EXPONENT_LIMIT_BITS:
            raise BadKey("policy", f"its key's exponent is longer than {EXPONENT_LIMIT_BITS} bits")
    flags = list_of(tags.get("t", ""))
    return KeyRecord(key=key, bits=bits, testing="y" in flags, strict_identity="s" in flags)


def _check_use(tags: dict[str, str], algorithm: str) -> None:
    if "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"):
        raise BadKey("permerror", "its key record is of another version")
    kind, _, hash_name = algorithm.partition("-")
    if tags.get("k", "rsa") != kind:
        raise BadKey("permerror", f"its key is not for {kind}")
    if "h" in tags and hash_name not in list_of(tags["h"]):
        raise BadKey("permerror", f"its key is not for {hash_name}")
    if not {"*", "email"} & set(list_of(tags.get("s", "*"))):
        raise BadKey("permerror", "its key is not for mail")


def _loaded(der: bytes, *, is_rsa: bool) -> PublicKey:
    """Raises BadKey. RSA as SubjectPublicKeyInfo or bare (RFC 6376 erratum 3017), Ed25519 as 32 octets (RFC 8463)."""
    try:
        if not is_rsa:
            return Ed25519PublicKey.from_public_bytes(der)
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("permerror", "its key cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise BadKey("permerror", "its key is no RSA key")
    numbers = key.public_numbers()
    if numbers.e < 3 or not numbers.e & 1 or not numbers.n & 1:
        raise BadKey("permerror", "its key is no RSA key")
    return key
