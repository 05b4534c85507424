"""DANE for SMTP (RFC 7672, RFC 7671): which TLSA records count, and whether a chain of certificates fits one."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from gatepost.config.certificates import certificate_of, dns_names
from gatepost.model.link_tls import Association

RECORDS_LIMIT: Final = 32
"""Records that are looked at; the rest are as if they were not there (threats D25)."""
CHAIN_LIMIT: Final = 10
"""Certificates of a chain that are looked at."""
TRUST_ANCHOR: Final = 2
END_ENTITY: Final = 3
_WHOLE: Final = 0
_KEY: Final = 1
_SHA256: Final = 1
_SHA512: Final = 2
_DIGEST_BYTES: Final = {_SHA256: 32, _SHA512: 64}


class DaneFault(ValueError):
    """The chain fits none of the records. result: the word of RFC 8460 §4.3 for it."""

    def __init__(self, why: str, result: str = "validation-failure") -> None:
        super().__init__(why)
        self.result = result


def usable(records: Iterable[Association]) -> tuple[Association, ...]:
    """Those that may prove a mail server: usages 2 and 3 (RFC 7672 §3.1.3), parameters we know, data that can fit."""
    kept = [r for r in list(records)[:RECORDS_LIMIT] if _is_usable(r)]
    return tuple(sorted(set(kept), key=lambda r: (-r.usage, r)))


def _is_usable(record: Association) -> bool:
    if record.usage not in (TRUST_ANCHOR, END_ENTITY) or record.selector not in (_WHOLE, _KEY):
        return False
    if record.matching in _DIGEST_BYTES:
        return len(record.data) == _DIGEST_BYTES[record.matching]
    return record.matching == 0 and _can_be_read(record)


def _can_be_read(record: Association) -> bool:
    """Whole data must at least be a certificate or a key: what no server can ever show is no usable record."""
    try:
        if record.selector == _WHOLE:
            certificate_of(record.data)
        else:
            serialization.load_der_public_key(record.data)
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def verify(
    chain: Sequence[bytes],
    associations: Iterable[Association],
    names: Collection[str],
    *,
    now: datetime.datetime,
) -> Association:
    """The record that proves this chain. Raises DaneFault.

    chain: DER as the server showed it, its own certificate first.  associations: usable ones.
    names: one of which the certificate must be for with usage 2, lower case. With usage 3 neither
    names nor dates count (RFC 7672 §3.1.1).
    """
    if not chain:
        raise DaneFault("the server showed no certificate")
    records = tuple(associations)
    for record in records:
        if record.usage == END_ENTITY and _fits(record, chain[0]):
            return record
    fault = DaneFault("the certificate is none of those that the TLSA records name")
    for record in records:
        if record.usage != TRUST_ANCHOR:
            continue
        try:
            _check_chain(chain, record, names, now)
        except DaneFault as found:
            if found.result != "validation-failure" or fault.result == "validation-failure":
                fault = found
            continue
        return record
    raise fault


def _fits(record: Association, der: bytes) -> bool:
    try:
        shown = _selected(der, record.selector)
    except ValueError:
        return False
    if record.matching == _SHA256:
        shown = hashlib.sha256(shown).digest()
    elif record.matching == _SHA512:
        shown = hashlib.sha512(shown).digest()
    return shown == record.data


def _selected(der: bytes, selector: int) -> bytes:
    """The certificate, or its public key. Raises ValueError."""
    if selector == _WHOLE:
        return der
    certificate = certificate_of(der)
    try:
        return certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error


def _check_chain(
    chain: Sequence[bytes], record: Association, names: Collection[str], now: datetime.datetime
) -> None:
    """From the server's certificate to the anchor that the record names. Raises DaneFault."""
    shown = _certificates(chain)
    anchor = next((n for n, der in enumerate(chain[:CHAIN_LIMIT]) if _fits(record, der)), None)
    if anchor is None:
        # The record may hold the anchor itself, which a server need not send (RFC 7671 §5.2).
        given = _anchor_in(record)
        if given is None:
            raise DaneFault("no certificate of the chain is one that the TLSA records name")
        path, end = shown, given
    else:
        path, end = shown[:anchor], shown[anchor]
    leaf = shown[0]
    for certificate in path:
        _check_dates(certificate, now)
    if isinstance(end, x509.Certificate):
        _check_dates(end, now)
    # The record may name the server's own certificate: then nobody signs it, and its name and dates still count.
    issuers = [*path[1:], end] if path else []
    for below, (certificate, issuer) in enumerate(zip(path, issuers, strict=True)):
        if _is_issued_by(certificate, issuer, below):
            continue
        if end is not issuer and _is_issued_by(certificate, end, below):
            break  # what else the server sent is beside the path
        raise DaneFault("the chain does not lead to the certificate that the TLSA records name")
    _check_name(leaf, names)


def _certificates(chain: Sequence[bytes]) -> list[x509.Certificate]:
    try:
        return [certificate_of(der) for der in chain[:CHAIN_LIMIT]]
    except ValueError as error:
        raise DaneFault(f"a certificate of the chain cannot be read: {error}") from error


def _anchor_in(record: Association) -> x509.Certificate | bytes | None:
    """The whole certificate, or key, that a record with matching type 0 holds."""
    if record.matching != 0:
        return None
    return certificate_of(record.data) if record.selector == _WHOLE else record.data


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate | bytes, below: int) -> bool:
    """Name and signature fit, and the issuer may sign certificates. issuer: a certificate, or a bare key.

    below: authorities between it and the server's own certificate.
    """
    try:
        if isinstance(issuer, x509.Certificate):
            certificate.verify_directly_issued_by(issuer)
            return _may_issue(issuer, below)
        return _is_signed_with(certificate, issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False


def _may_issue(issuer: x509.Certificate, below: int) -> bool:
    """RFC 5280 §4.2.1.9, §4.2.1.3; old authorities without extensions are of version 1. Raises ValueError."""
    if issuer.version is x509.Version.v1:
        return True
    extensions = issuer.extensions
    try:
        basic = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    if not basic.ca or (basic.path_length is not None and below > basic.path_length):
        return False
    try:
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _is_signed_with(certificate: x509.Certificate, key: bytes) -> bool:
    """A bare key has no name: a stand-in certificate cannot be made for it, so the signature is checked by kind."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    public = serialization.load_der_public_key(key)
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    if isinstance(public, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        public.verify(signature, signed)
        return True
    algorithm = certificate.signature_hash_algorithm
    parameters = certificate.signature_algorithm_parameters
    if algorithm is None or algorithm.name in ("md5", "sha1"):
        return False
    if isinstance(public, rsa.RSAPublicKey) and not isinstance(parameters, (ec.ECDSA, type(None))):
        public.verify(signature, signed, parameters, algorithm)
        return True
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
        public.verify(signature, signed, parameters)
        return True
    return False


def _check_dates(certificate: x509.Certificate, now: datetime.datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise DaneFault("a certificate of the chain has expired, or is not valid yet", "certificate-expired")


def _check_name(leaf: x509.Certificate, names: Collection[str]) -> None:
    try:
        shown = dns_names(leaf)
    except ValueError:
        shown = ()
    for name in names:
        if name in shown or "*." + name.partition(".")[2] in shown:
            return
    raise DaneFault(f"the certificate is not for {' or '.join(names)}", "certificate-host-mismatch")
