"""What stands in a certificate file: the names it is for, when it ends."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509


def first_certificate(path: str) -> x509.Certificate:
    """The one that is shown; the others are its chain. Raises OSError, ValueError."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Its DNS names, lower case; the subject's common name does not count (RFC 9525 §2). Raises ValueError."""
    names = _alternative_names(certificate)
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName)) if names else ()


def emails(certificate: x509.Certificate) -> tuple[str, ...]:
    """Its mail addresses. Raises ValueError."""
    names = _alternative_names(certificate)
    return tuple(names.get_values_for_type(x509.RFC822Name)) if names else ()


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
