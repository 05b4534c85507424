"""The settings of TLS that form groups: certificates by name, clients that show one, domains of their own."""

from __future__ import annotations

from typing import Literal

from gatepost.config.rights import Right
from gatepost.config.schema import Table, setting

TlsVersion = Literal["1.2", "1.3"]
OutgoingTls = Literal["none", "opportunistic", "required", "verified", "fingerprint"]


class Certificate(Table):
    """[receive-connectors.NAME.certificates.LABEL]: one more certificate, for the names that stand in it."""

    certificate_file: str = setting(
        "PEM file with the certificate chain; clients that ask for one of its DNS names are shown it",
        example="/etc/gatepost/mail.example.org.pem",
    )
    key_file: str = setting("PEM file with the private key; empty: it is in certificate-file", default="")


class CertificateIdentity(Table):
    """[receive-connectors.NAME.client-certificates.identities.WHO]: a client known by its certificate."""

    match: tuple[str, ...] = setting(
        "What the certificate must be, one of these: dns:NAME or email:ADDRESS among its alternative names, "
        "subject:DN (RFC 4514), sha256:HEX of the certificate or of its public key",
        example='["dns:relay.example.org"]',
    )
    rights: tuple[Right, ...] = setting(
        "What this client may do, instead of the rights of its address",
        default=("submit", "any-sender", "own-domain-sender", "routing-headers"),
    )
    bare_newlines: Literal["refuse", "normalize"] = setting(
        "normalize: a bare LF in the text of this client becomes CR LF", default="refuse"
    )
    user: str = setting("The account it may log in to with AUTH EXTERNAL; empty: none", default="")


class ClientCertificates(Table):
    """[receive-connectors.NAME.client-certificates]: certificates that clients show."""

    ask: Literal["no", "optional", "required"] = setting(
        "optional: a client without a certificate is let in as any other; required: it is not; in both a "
        "certificate that ca-file does not vouch for ends the handshake",
        default="no",
    )
    ca_file: str = setting(
        "PEM file with the authorities whose certificates count; a client's own certificate may stand here, too",
        default="",
    )
    identities: dict[str, CertificateIdentity] = setting("Clients known by their certificates", default={})


class TlsDomain(Table):
    """[send-connectors.NAME.tls-domains."example.com"]: TLS towards one domain. "*.example.com" is its subdomains."""

    tls: OutgoingTls = setting("As the connector's tls, for this domain", example='"verified"')
    fingerprints: tuple[str, ...] = setting(
        "For tls = fingerprint: SHA-256 of the certificates or public keys that count, in hex", default=()
    )
    certificate_names: tuple[str, ...] = setting(
        "For tls = verified: names one of which the certificate must be for, instead of the mail server's that DNS "
        'gave; "*.example.com" is all names below',
        default=(),
    )
