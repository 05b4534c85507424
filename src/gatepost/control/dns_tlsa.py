"""TLSA records of our own certificates: 3 1 1, the SHA-256 of the key, which may outlive its certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cryptography.hazmat.primitives import serialization

from gatepost.config.certificates import dns_names, first_certificate


def tlsa_of(files: Iterable[str], hosts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Mail server and record, for each of our mail servers that a certificate is for. Raises ValueError."""
    wanted = set(hosts)
    found: dict[str, str] = {}
    for path in files:
        try:
            certificate = first_certificate(path)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for name in dns_names(certificate):
            if name in wanted:
                found[name] = f"3 1 1 {hashlib.sha256(spki).hexdigest()}"
    if not found:
        raise ValueError("no certificate of ours is for one of the domain's mail servers (MX)")
    return tuple(sorted(found.items()))
