"""Checks DKIM signatures (RFC 6376, 8301, 8463): pure, given the fields, the body's hash and the key records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gatepost.standards.dkim_canon import BodyHash, SignedFields, unsigned_form
from gatepost.standards.dkim_key import RSA_LOW_BITS, BadKey, KeyRecord, usable_keys
from gatepost.standards.dkim_signature import Signature, oversigned_names

CLOCK_SKEW_S: Final = 3600.0
OWN_NAME: Final = b"dkim-signature"


class NoAnswer(NamedTuple):
    """The DNS did not say what a domain publishes: neither a key nor none."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a signature is measured by. now: seconds since the epoch."""

    now: float
    clock_skew_s: float = CLOCK_SKEW_S
    low_bits: int = RSA_LOW_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of one signature; result as RFC 8601 §2.7.1 names it, reason "" for a pass."""

    result: str
    reason: str = ""
    key_bits: int = 0
    testing: bool = False
    covers_whole_body: bool = False
    oversigned: tuple[str, ...] = ()


def check(
    signature: Signature,
    fields: SignedFields,
    body: BodyHash,
    records: Sequence[bytes] | NoAnswer,
    terms: Terms,
) -> Checked:
    """Check one signature, the cheap questions first. Raises nothing."""
    if (late := _out_of_time(signature, terms)) is not None:
        return late
    if fields.count(b"from") > signature.names.count(b"from"):
        return Checked(result="policy", reason="a From field is not signed")
    if isinstance(records, NoAnswer):
        return Checked(result="temperror", reason=records.reason)
    try:
        keys = usable_keys(records, signature.algorithm, low_bits=terms.low_bits)
    except BadKey as bad:
        return Checked(result=bad.result, reason=bad.reason)
    if signature.length is not None and signature.length > body.size_bytes:
        return Checked(result="permerror", reason="l= is larger than the body", key_bits=keys[0].bits)
    if body.digest != signature.body_hash:
        return Checked(
            result="fail", reason="the body was changed", key_bits=keys[0].bits, testing=keys[0].testing
        )
    return _by_keys(signature, fields, keys)


def _by_keys(signature: Signature, fields: SignedFields, keys: Sequence[KeyRecord]) -> Checked:
    data = signed_data(signature, fields)
    for key in keys:
        if not key.proves(signature.signature, data):
            continue
        if key.strict_identity and signature.identity_domain != signature.domain:
            return Checked(
                result="permerror", reason="its key is for d= itself, not for i= below it", key_bits=key.bits
            )
        return Checked(
            result="pass",
            key_bits=key.bits,
            testing=key.testing,
            covers_whole_body=signature.length is None,
            oversigned=oversigned_names(signature, fields),
        )
    return Checked(
        result="fail",
        reason="the signed fields were changed, or another key made it",
        key_bits=keys[0].bits,
        testing=keys[0].testing,
    )


def _out_of_time(signature: Signature, terms: Terms) -> Checked | None:
    if signature.expires_at is not None and signature.expires_at + terms.clock_skew_s < terms.now:
        return Checked(result="fail", reason="it has expired")
    if signature.signed_at is not None and signature.signed_at - terms.clock_skew_s > terms.now:
        return Checked(result="policy", reason="it is dated in the future")
    return None


def signed_data(signature: Signature, fields: SignedFields) -> bytes:
    """The octets that were signed: the fields of h=, then the signature's own without its b= (§3.7)."""
    if OWN_NAME in signature.names:
        fields = fields.without(OWN_NAME, signature.field)
    picked = fields.picked(signature.names, relaxed=signature.relaxed_header)
    return picked + unsigned_form(signature.field, relaxed=signature.relaxed_header)
