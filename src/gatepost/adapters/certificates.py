"""Certificates as TLS uses them: ours in contexts, the peer's as the value we decide by."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatepost.config.certificates import dns_names, emails, first_certificate, issuer_of
from gatepost.config.files import secret_problem
from gatepost.model.certificate import PeerCertificate
from gatepost.model.fault import WorldFault

_MINIMA: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_ASKS: Final = {"no": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its key; key_file "": both are in one file."""

    certificate_file: str
    key_file: str = ""

    @property
    def secret_file(self) -> str:
        """Where the key is."""
        return self.key_file or self.certificate_file


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a receive connector wants of TLS. minimum: "1.2" or "1.3". ask, ca_file: client certificates."""

    minimum: str = "1.2"
    ask: Literal["no", "optional", "required"] = "no"
    ca_file: str = ""


class ServerContext(ssl.SSLContext):
    """A context that knows its certificate."""

    end_point: bytes = b""
    """What a login is bound to (`end_point_of`)."""
    names: tuple[str, ...] = ()
    """The DNS names it is for, lower case, "*.example.com" among them."""
    issuer: str = ""
    expires_at: float = 0.0
    """Seconds since the epoch."""


def server_context(pair: Pair, options: ServerOptions) -> ServerContext:
    """Load it. Raises WorldFault with the file's name when it cannot be used."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    harden(context, options.minimum)
    # Each connector has contexts of its own and hands out no tickets: a session of one
    # door is never resumed at another (threats D19).
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.num_tickets = 0
    file = pair.certificate_file
    try:
        if problem := secret_problem(pair.secret_file):
            raise WorldFault(f"{pair.secret_file} {problem}", file=pair.secret_file)
        # An empty password instead of a question at the terminal.
        context.load_cert_chain(file, pair.key_file or None, password=lambda: b"")
        certificate = first_certificate(file)
        context.end_point = end_point_of(certificate)
        context.names = dns_names(certificate)
        context.issuer = issuer_of(certificate)
        context.expires_at = certificate.not_valid_after_utc.timestamp()
        if options.ask != "no":
            file = options.ca_file
            _ask_for_certificates(context, options)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise WorldFault(f"certificate {file} cannot be used: {error}", file=file) from error
    return context


def _ask_for_certificates(context: ssl.SSLContext, options: ServerOptions) -> None:
    context.load_verify_locations(cafile=options.ca_file)
    # A client's own certificate may stand in the file: what is in it is believed, whoever signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = _ASKS[options.ask]


def harden(context: ssl.SSLContext, minimum: str) -> None:
    """What every context of ours has: no old version, no compression (D14), no renegotiation (D13)."""
    context.minimum_version = _MINIMA[minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def end_point_of(certificate: x509.Certificate) -> bytes:
    """tls-server-end-point (RFC 5929 §4.1); b"" for a signature without a hash of its own, such as Ed25519's."""
    try:
        chosen = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return b""
    if chosen is None:
        return b""
    weak = chosen.name in ("md5", "sha1")
    return certificate.fingerprint(hashes.SHA256() if weak else chosen)


def peer_certificate(certificate: x509.Certificate) -> PeerCertificate:
    """What we decide by. A name that nobody can read is as good as none; the fingerprints are always there."""
    try:
        return PeerCertificate(
            subject=certificate.subject.rfc4514_string(),
            dns_names=dns_names(certificate),
            emails=emails(certificate),
            fingerprints=fingerprints_of(certificate),
        )
    except ValueError:
        return PeerCertificate(subject="", fingerprints=fingerprints_of(certificate))


def fingerprints_of(certificate: x509.Certificate) -> frozenset[str]:
    """SHA-256 of the certificate, and of its public key unless nobody here knows its kind."""
    found = {certificate.fingerprint(hashes.SHA256()).hex()}
    try:
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return frozenset(found)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    return frozenset((*found, digest.finalize().hex()))
