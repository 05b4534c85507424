"""Signed tokens: which count, and every way in which one does not (threats E14)."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from gatepost.standards.jwt import (
    KEYS_LIMIT,
    TOKEN_LIMIT_BYTES,
    Demands,
    TokenRefused,
    parse_keys,
    verified_claims,
)

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
NOW = 1_800_000_000.0
DEMANDS = Demands(
    issuer="https://login.example",
    audience="mail",
    algorithms=("RS256", "PS256", "ES256", "EdDSA"),
    now=NOW,
    leeway_s=60.0,
)
GOOD = {"iss": "https://login.example", "aud": "mail", "exp": NOW + 600, "email": "ann@ours.example"}


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8))


def jwks(*more: object) -> bytes:
    public, point = RSA_KEY.public_key().public_numbers(), EC_KEY.public_key().public_numbers()
    return json.dumps(
        {
            "keys": [
                {"kty": "RSA", "kid": "r", "use": "sig", "n": number(public.n), "e": number(public.e)},
                {"kty": "EC", "kid": "e", "crv": "P-256", "x": number(point.x), "y": number(point.y)},
                {
                    "kty": "OKP",
                    "kid": "o",
                    "alg": "EdDSA",
                    "crv": "Ed25519",
                    "x": b64(ED_KEY.public_key().public_bytes_raw()),
                },
                *more,
            ]
        }
    ).encode()


KEYS = parse_keys(jwks())


def sign(algorithm: str, data: bytes) -> bytes:
    match algorithm:
        case "RS256":
            return RSA_KEY.sign(data, padding.PKCS1v15(), hashes.SHA256())
        case "PS256":
            return RSA_KEY.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        case "ES256":
            r, s = decode_dss_signature(EC_KEY.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32) + s.to_bytes(32)
        case "EdDSA":
            return ED_KEY.sign(data)
        case _:
            return b""


def token(
    claims: dict[str, Any] | None = None, *, algorithm: str = "RS256", by: str = "", **header: Any
) -> str:
    """A token; by: signed in truth with this algorithm."""
    parts = [json.dumps({"alg": algorithm, **header}), json.dumps(GOOD if claims is None else claims)]
    head = ".".join(b64(part.encode()) for part in parts)
    return f"{head}.{b64(sign(by or algorithm, head.encode()))}"


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_good_token(algorithm: str) -> None:
    assert verified_claims(token(algorithm=algorithm), KEYS, DEMANDS)["email"] == "ann@ours.example"


@pytest.mark.parametrize(
    "claims",
    [
        {**GOOD, "aud": ["other", "mail"]},
        {**GOOD, "exp": NOW - 59},
        {**GOOD, "nbf": NOW + 60, "iat": NOW + 60},
    ],
    ids=["among other audiences", "within the leeway", "its clock is a little ahead"],
)
def test_good_claims(claims: dict[str, Any]) -> None:
    assert verified_claims(token(claims), KEYS, DEMANDS)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def changed(part: int, text: str) -> str:
    parts = token().split(".")
    parts[part] = text
    return ".".join(parts)


REFUSED = [
    ("expired", token({**GOOD, "exp": NOW - 60})),
    ("without an end", token(without("exp"))),
    ("an end that is no number", token({**GOOD, "exp": "tomorrow"})),
    ("an end that is a truth", token({**GOOD, "exp": True})),
    ("a beginning that is a truth", token({**GOOD, "nbf": True})),
    ("not valid yet", token({**GOOD, "nbf": NOW + 61})),
    ("made in the future", token({**GOOD, "iat": NOW + 61})),
    ("another audience", token({**GOOD, "aud": "calendar"})),
    ("other audiences", token({**GOOD, "aud": ["calendar", "web"]})),
    ("no audience", token(without("aud"))),
    ("another issuer", token({**GOOD, "iss": "https://evil.example"})),
    ("no issuer", token(without("iss"))),
    ("alg none", token(algorithm="none")),
    ("alg None", token(algorithm="None")),
    ("the public key as a shared secret", token(algorithm="HS256")),
    ("an algorithm we do not believe", token(algorithm="RS512", by="RS256")),
    ("a key of another kind", token(algorithm="ES256", by="RS256")),
    ("signed with PSS, said to be PKCS1", token(algorithm="RS256", by="PS256")),
    ("an unknown key", token(kid="x")),
    ("a key for something else", token(kid="o")),
    ("a demand we do not know", token(crit=["b64"], b64=False)),
    ("claims of somebody else", changed(1, b64(json.dumps({**GOOD, "email": "boss@ours.example"}).encode()))),
    ("no signature", changed(2, "")),
    ("half a signature", changed(2, b64(b"x" * 10))),
    ("a header that is no object", changed(0, b64(b"[]"))),
    ("a header that is no JSON", changed(0, b64(b"{"))),
    ("nothing but brackets", changed(0, b64(b"[" * 5000))),
    ("a header that is not base64url", changed(0, "a+b/")),
    ("two parts", "a.b"),
    ("four parts", "a.b.c.d"),
    ("encrypted", "a.b.c.d.e"),
    ("empty", ""),
    ("not ASCII", "\u00e4.\u00e4.\u00e4"),
    ("huge, and good otherwise", token({**GOOD, "more": "x" * TOKEN_LIMIT_BYTES})),
]


@pytest.mark.threat("E14")
@pytest.mark.parametrize(("name", "said"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_token_that_does_not_count(name: str, said: str) -> None:
    with pytest.raises(TokenRefused):
        verified_claims(said, KEYS, DEMANDS)


@pytest.mark.threat("E14")
def test_an_algorithm_counts_only_when_it_is_named() -> None:
    with pytest.raises(TokenRefused):
        verified_claims(token(algorithm="EdDSA"), KEYS, replace(DEMANDS, algorithms=("RS256",)))


@pytest.mark.threat("E14")
@given(st.text(alphabet="aA0-_.=", max_size=60))
def test_anything_else_is_refused(said: str) -> None:
    with pytest.raises(TokenRefused):
        verified_claims(said, KEYS, DEMANDS)


def test_keys_that_cannot_be_used_are_left_out() -> None:
    small = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    odd: list[object] = [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA", "n": number(small.n), "e": number(small.e)},
        {"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        7,
    ]
    assert len(parse_keys(jwks(*odd))) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 1}',
        b'{"keys": []}',
        json.dumps({"keys": [{}] * (KEYS_LIMIT + 1)}).encode(),
    ],
)
def test_a_key_set_without_a_key_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="key set"):
        parse_keys(data)
