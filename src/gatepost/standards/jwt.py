"""Signed tokens (JWT, RFC 7519, as access tokens): the issuer's keys, the signature, the claims. No I/O, no clock."""

from __future__ import annotations

import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

TOKEN_LIMIT_BYTES: Final = 8192  # threats E14
KEYS_LIMIT: Final = 64
RSA_LEAST_BITS: Final = 2048
_RSA_MOST_BITS: Final = 8192

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_HASHES: Final[Mapping[str, HashAlgorithm]] = {"256": SHA256(), "384": SHA384(), "512": SHA512()}
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_CURVE_OF: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


class TokenRefused(ValueError):
    """The token does not count; the text says why, without its content."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key of the issuer. algorithm: the only one it is for; "" when it does not say."""

    key: PublicKey
    key_id: str
    algorithm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What a token must show. now, leeway_s: seconds. issuer, audience, scope: "" asks for none."""

    issuer: str
    audience: str
    scope: str = ""
    algorithms: tuple[str, ...]
    now: float
    leeway_s: float


def parse_keys(data: bytes) -> tuple[SigningKey, ...]:
    """The keys of a JWKS (RFC 7517) that can verify signatures; others are skipped (§5). Raises ValueError."""
    entries = _object(data, "the key set").get("keys")
    if not isinstance(entries, list) or len(entries) > KEYS_LIMIT:
        raise ValueError(f'the key set has no list "keys" of at most {KEYS_LIMIT}')
    found = tuple(key for entry in entries if (key := _signing_key(entry)) is not None)
    if not found:
        raise ValueError("the key set holds no key that can verify signatures")
    return found


def verified_claims(token: str, keys: Sequence[SigningKey], demands: Demands) -> Mapping[str, Any]:
    """The claims of a token that is signed by one of the keys, for us, and valid now. Raises TokenRefused."""
    if len(token) > TOKEN_LIMIT_BYTES:
        raise TokenRefused("it is too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenRefused("it has not three parts")
    header = _part(parts[0])
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in demands.algorithms:
        raise TokenRefused("its algorithm is not believed")  # "none" and HS256 among them
    if "crit" in header:
        raise TokenRefused("it demands an extension")  # RFC 7515 §4.1.11
    signed, signature = ".".join(parts[:2]).encode(), _decoded(parts[2])
    candidates = _candidates(keys, algorithm, header.get("kid"))
    if not any(_is_signed(key.key, algorithm, signed, signature) for key in candidates):
        raise TokenRefused("none of the issuer's keys signed it")
    claims = _part(parts[1])
    if time_of(claims, "exp") is None:
        raise TokenRefused("it never expires")
    check_claims(claims, demands)
    return claims


def read_introspection(answer: bytes) -> Mapping[str, Any] | None:
    """What a token's issuer says of it (RFC 7662 §2.2); None: it does not count. Raises ValueError."""
    said = _object(answer, "the answer")
    if not isinstance(said.get("active"), bool):
        raise ValueError('the answer has no "active"')
    return said if said["active"] else None


def check_claims(claims: Mapping[str, Any], demands: Demands) -> None:
    """Whether they are for us and for now; a token without `exp` does not expire. Raises TokenRefused."""
    if demands.issuer and claims.get("iss") != demands.issuer:
        raise TokenRefused("it is from another issuer")
    audience = claims.get("aud")
    meant = audience if isinstance(audience, list) else [audience]
    if demands.audience and demands.audience not in meant:
        raise TokenRefused("it is for somebody else")
    if demands.scope and demands.scope not in _words(claims.get("scope")):
        raise TokenRefused("it has not the scope that is needed")
    expires_at = time_of(claims, "exp")
    if expires_at is not None and demands.now >= expires_at + demands.leeway_s:
        raise TokenRefused("it has expired")
    for name in ("nbf", "iat"):
        begins_at = time_of(claims, name)
        if begins_at is not None and begins_at > demands.now + demands.leeway_s:
            raise TokenRefused("it is not valid yet")


def _words(scope: object) -> list[object]:
    """Words in one text (RFC 8693 §4.2), or a list of them, as some issuers write it."""
    if isinstance(scope, str):
        return list(scope.split(" "))
    return scope if isinstance(scope, list) else []


def time_of(claims: Mapping[str, Any], name: str) -> float | None:
    """Seconds since the epoch; None when the claim is not there. Raises TokenRefused."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenRefused("one of its times is no number")
    return value


def _candidates(keys: Sequence[SigningKey], algorithm: str, key_id: object) -> list[SigningKey]:
    """By the token's key id when it has one; never a key of another kind than the algorithm's."""
    return [
        key
        for key in keys
        if (key_id is None or key.key_id == key_id)
        and key.algorithm in ("", algorithm)
        and _fits(key.key, algorithm)
    ]


def _fits(key: PublicKey, algorithm: str) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return algorithm[:2] in ("RS", "PS")
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVE_OF.get(algorithm) == key.curve.name
    return algorithm == "EdDSA"


def _is_signed(key: PublicKey, algorithm: str, signed: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            chosen = _HASHES[algorithm[2:]]
            pad: padding.AsymmetricPadding = padding.PKCS1v15()
            if algorithm.startswith("PS"):
                pad = padding.PSS(padding.MGF1(chosen), chosen.digest_size)
            key.verify(signature, signed, pad, chosen)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            half = (key.curve.key_size + 7) // 8
            if len(signature) != 2 * half:  # RFC 7518 §3.4
                return False
            numbers = (int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
            key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(_HASHES[algorithm[2:]]))
        else:
            key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _signing_key(entry: object) -> SigningKey | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    make = _MAKERS.get(str(entry.get("kty")))
    if make is None:
        return None
    try:
        key = make(entry)
    except (KeyError, TypeError, ValueError):
        return None
    key_id, algorithm = entry.get("kid", ""), entry.get("alg", "")
    if key is None or not isinstance(key_id, str) or not isinstance(algorithm, str):
        return None
    return SigningKey(key, key_id, algorithm)


def _rsa_key(entry: Mapping[str, Any]) -> PublicKey | None:
    key = rsa.RSAPublicNumbers(_number(entry["e"]), _number(entry["n"])).public_key()
    return key if RSA_LEAST_BITS <= key.key_size <= _RSA_MOST_BITS else None


def _ec_key(entry: Mapping[str, Any]) -> PublicKey | None:
    curve = _CURVES[entry["crv"]]
    return ec.EllipticCurvePublicNumbers(_number(entry["x"]), _number(entry["y"]), curve).public_key()


def _ed_key(entry: Mapping[str, Any]) -> PublicKey | None:
    return (
        ed25519.Ed25519PublicKey.from_public_bytes(_decoded(entry["x"]))
        if entry["crv"] == "Ed25519"
        else None
    )


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any]], PublicKey | None]]] = {
    "RSA": _rsa_key,
    "EC": _ec_key,
    "OKP": _ed_key,
}


def _number(text: str) -> int:
    return int.from_bytes(_decoded(text))


def _part(text: str) -> Mapping[str, Any]:
    return _object(_decoded(text), "it")


def _object(data: bytes, what: str) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise TokenRefused(f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise TokenRefused(f"{what} is not a JSON object")
    return value


def _decoded(text: str) -> bytes:
    """base64url without padding (RFC 7515 §2)."""
    if "=" in text or "+" in text or "/" in text:
        raise TokenRefused("a part is not base64url")
    try:
        padded = (text + "=" * (-len(text) % 4)).translate(_TO_BASE64)
        return binascii.a2b_base64(padded.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise TokenRefused("a part is not base64url") from error


_TO_BASE64: Final = str.maketrans("-_", "+/")
