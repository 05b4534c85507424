"""DKIM in the world: strangers sign what they send, well or badly; next hops look at the signatures of the gateway."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatepost.standards.dkim import Terms, check
from gatepost.standards.dkim_canon import BodyHash, BodyHasher, BodyWish, SignedFields
from gatepost.standards.dkim_sign import SigningKey, dkim_signature, pem_of
from gatepost.standards.dkim_signature import Signature, fields_of, read_signature
from sim.plan import AWAY

THEIRS: Final = SigningKey(AWAY, "s1", Ed25519PrivateKey.from_private_bytes(b"away" * 8))
OURS: Final = SigningKey("ours.example", "s1", Ed25519PrivateKey.from_private_bytes(b"ours" * 8))
OURS_PEM: Final = pem_of(OURS.key)
_WHOLE: Final = BodyWish(relaxed=True)
_FIELD: Final = b"DKIM-Signature: "


def signature_of(head: bytes, body: bytes, *, at: float) -> bytes:
    """Theirs, as a field."""
    fields = SignedFields(fields_of(head))
    names = (b"from", b"subject", b"to", b"date", b"message-id")
    return dkim_signature(THEIRS, fields, _hash_of(body), names=names, at=int(at))


def without_our_signature(content: bytes, *, now: float) -> tuple[bytes, str]:
    """The mail as it was before the gateway signed it, and what is to be said of the signature; "" without one."""
    if not content.startswith(_FIELD):
        return content, ""
    end = content.index(b"\r\n") + 2
    while content[end : end + 1] in (b" ", b"\t"):
        end = content.index(b"\r\n", end) + 2
    read = read_signature(content[:end])
    if not isinstance(read, Signature) or read.domain != OURS.domain:
        return content, ""
    head, _, body = content.partition(b"\r\n\r\n")
    fields = SignedFields(fields_of(head + b"\r\n\r\n"))
    terms = Terms(now=now)
    return content[end:], check(read, fields, _hash_of(body), [OURS.record.encode()], terms).result


def _hash_of(body: bytes) -> BodyHash:
    hasher = BodyHasher([_WHOLE])
    hasher.feed(body)
    return hasher.finish()[_WHOLE]
