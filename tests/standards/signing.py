"""Signs messages for tests: keys made once, signatures with tags of one's own."""

from __future__ import annotations

import base64
import functools
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from gatepost.message.headers import split
from gatepost.standards.dkim_canon import BodyHasher, BodyWish, SignedFields, relaxed_field
from gatepost.standards.dkim_sign import SigningKey
from gatepost.standards.dkim_signature import fields_of

NOW = 1_800_000_000
MAIL = (
    b"From: Ann <ann@sender.test>\r\nTo: bob@gate.test\r\nSubject:  hello\r\n\tyou\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\nHi  Bob \r\n\r\nBye\r\n\r\n\r\n"
)


@functools.cache
def rsa_key(selector: str = "rsa", domain: str = "sender.test", bits: int = 2048) -> SigningKey:
    return SigningKey(domain, selector, generate_private_key(65537, bits))


@functools.cache
def ed25519_key(selector: str = "ed", domain: str = "sender.test") -> SigningKey:
    return SigningKey(domain, selector, Ed25519PrivateKey.generate())


def dns_of(*keys: SigningKey) -> dict[str, bytes]:
    return {key.name: key.record.encode() for key in keys}


def signed(content: bytes = MAIL, key: SigningKey | None = None, *, without: str = "", **tags: Any) -> bytes:
    """The message with a signature on top; tags replace those it would have, _ at the end is not part of a name."""
    key = key or rsa_key()
    head, body = split(content)
    wish = BodyWish(relaxed=True, length=int(tags["l"]) if str(tags.get("l", "")).isdigit() else None)
    hasher = BodyHasher([wish])
    hasher.feed(body)
    given = {
        "v": "1",
        "a": key.algorithm,
        "c": "relaxed/relaxed",
        "d": key.domain,
        "s": key.selector,
        "h": "from:to:subject",
        "bh": base64.b64encode(hasher.finish()[wish].digest).decode(),
        **{name.removesuffix("_"): str(value) for name, value in tags.items()},
    }
    given.pop(without, None)
    text = "; ".join(f"{name}={value}" for name, value in given.items())
    field = f"DKIM-Signature: {text}; b=".encode("utf-8", "surrogateescape")
    names = [name.strip().lower().encode() for name in given.get("h", "").split(":")]
    data = SignedFields(fields_of(head)).picked(names, relaxed=True) + relaxed_field(field).removesuffix(
        b"\r\n"
    )
    return field + base64.b64encode(key.sign(data)) + b"\r\n" + content
