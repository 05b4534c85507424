"""What stands in a certificate: the names and addresses it is for. A peer may show us anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509


def first_certificate(path: str) -> x509.Certificate:
    """The one that is shown; the others are its chain. Raises OSError, ValueError."""
    from cryptography import x509  # only who has several certificates pays for it at the check

    try:
        return x509.load_pem_x509_certificate(Path(path).read_bytes())
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def certificate_of(der: bytes) -> x509.Certificate:
    """As a peer shows it. Raises ValueError."""
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Its DNS names, lower case; the subject's common name does not count (RFC 9525 §2). Raises ValueError."""
    from cryptography import x509

    names = _alternative_names(certificate)
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName)) if names else ()


def issuer_of(certificate: x509.Certificate) -> str:
    """Who signed it, for people: "Let's Encrypt, R11"; "" when that cannot be read."""
    from cryptography.x509.oid import NameOID

    try:
        names = certificate.issuer
        found = [
            str(one.value)
            for kind in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
            for one in names.get_attributes_for_oid(kind)
        ]
        return ", ".join(found) or names.rfc4514_string()
    except ValueError:
        return ""


def emails(certificate: x509.Certificate) -> tuple[str, ...]:
    """Its mail addresses. Raises ValueError."""
    from cryptography import x509

    names = _alternative_names(certificate)
    return tuple(names.get_values_for_type(x509.RFC822Name)) if names else ()


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error
