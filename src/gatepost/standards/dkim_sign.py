"""Makes DKIM signatures: relaxed/relaxed, RSA and Ed25519 (RFC 6376 §5, RFC 8463)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gatepost.standards.dkim_canon import BodyHash, SignedFields, relaxed_field
from gatepost.standards.dkim_key import RSA_HIGH_BITS, RSA_LOW_BITS

_PKCS1: Final = PKCS1v15()
_SHA256: Final = SHA256()
_LINE_AIM_CHARS: Final = 72
STRING_LIMIT_BYTES: Final = 255
"""One character-string of a TXT record (RFC 1035 §3.3.14)."""

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One private key, and the name that its other half is published under."""

    domain: str
    selector: str
    key: PrivateKey

    @property
    def algorithm(self) -> str:
        """As a= has it."""
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"

    @property
    def name(self) -> str:
        """Where the key record belongs."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The key record (RFC 6376 §3.6.1)."""
        public = self.key.public_key()
        if isinstance(self.key, RSAPrivateKey):
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return f"v=DKIM1; k=rsa; h=sha256; p={base64.b64encode(octets).decode()}"
        octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; h=sha256; p={base64.b64encode(octets).decode()}"

    def sign(self, data: bytes) -> bytes:
        """Octets in, signature out."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(data, _PKCS1, _SHA256)
        return self.key.sign(hashlib.sha256(data).digest())


def load_key(pem: bytes) -> PrivateKey:
    """A private key without a password. Raises ValueError with what is wrong with it."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is no PEM file with a private key without a password") from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("is neither an RSA nor an Ed25519 key")
    if not RSA_LOW_BITS <= key.key_size <= RSA_HIGH_BITS:
        raise ValueError(f"is an RSA key of {key.key_size} bits; {RSA_LOW_BITS} to {RSA_HIGH_BITS} are used")
    return key


def pem_of(key: PrivateKey) -> bytes:
    """The private key as a file has it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def names_to_sign(
    fields: SignedFields, wanted: Iterable[bytes], oversigned: frozenset[bytes]
) -> tuple[bytes, ...]:
    """h=: each wanted field as often as it stands, and once more where nobody may add one (§8.15)."""
    names: list[bytes] = []
    for name in wanted:
        names += [name] * (fields.count(name) + (name in oversigned))
    return tuple(names)


def dkim_signature(
    key: SigningKey,
    fields: SignedFields,
    body: BodyHash,
    *,
    names: tuple[bytes, ...],
    at: int,
    expires_at: int | None = None,
    identity: str = "",
) -> bytes:
    """A DKIM-Signature field with its CR LF. body: of the whole body in relaxed form; names: h=, with from."""
    tags = [
        ("v", "1"),
        ("a", key.algorithm),
        ("c", "relaxed/relaxed"),
        ("d", key.domain),
        ("s", key.selector),
        ("t", str(at)),
        *([("x", str(expires_at))] if expires_at is not None else []),
        *([("i", identity)] if identity else []),
    ]
    tags += [
        ("h", ":".join(one.decode("ascii") for one in names)),
        ("bh", base64.b64encode(body.digest).decode()),
    ]
    empty = f"DKIM-Signature: {_folded(tags)} b=".encode()
    data = fields.picked(names, relaxed=True) + relaxed_field(empty).removesuffix(b"\r\n")
    return empty + wrapped_base64(key.sign(data)) + b"\r\n"


def wrapped_base64(octets: bytes) -> bytes:
    """On lines of some 72 characters."""
    text = base64.b64encode(octets).decode()
    lines = [text[at : at + _LINE_AIM_CHARS] for at in range(0, len(text), _LINE_AIM_CHARS)]
    return "\r\n\t".join(lines).encode()


def _folded(tags: list[tuple[str, str]]) -> str:
    """Tags with a semicolon behind each, on lines of some 72 characters; only h= is broken inside."""
    lines, line = [], ""
    for name, value in tags:
        pieces = _pieces(value) if name == "h" else [value]
        for number, piece in enumerate(pieces):
            end = ";" if number == len(pieces) - 1 else ""
            text = (f"{name}=" if not number else "") + piece + end
            if line and (number or len(line) + 1 + len(text) > _LINE_AIM_CHARS):
                lines.append(line)
                line = text
            else:
                line = f"{line} {text}" if line else text
    lines.append(line)
    return "\r\n\t".join(lines) + "\r\n\t"


def _pieces(names: str) -> list[str]:
    """ "a:b:c" in pieces of some 72 characters that end in a colon, but for the last."""
    pieces, piece = [], ""
    for word in names.split(":"):
        if piece and len(piece) + len(word) > _LINE_AIM_CHARS - 8:
            pieces.append(piece)
            piece = ""
        piece += word + ":"
    return [*pieces, piece.removesuffix(":")]


def txt_strings(record: str) -> list[str]:
    """A record as the strings of at most 255 octets that a TXT record is made of."""
    return [record[at : at + STRING_LIMIT_BYTES] for at in range(0, len(record), STRING_LIMIT_BYTES)]
