"""The words by which a client's certificate is known, such as dns:relay.example.org or sha256:AB:CD:..."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gatepost.model.certificate import PeerCertificate, plain_fingerprint


@dataclass(frozen=True, slots=True)
class CertificateMatch:
    """One word of `match`: kind is "dns", "email", "subject" or "sha256"; the value is as certificates are compared."""

    kind: str
    value: str

    def fits(self, shown: PeerCertificate) -> bool:
        """Whether it is this certificate. A name with a star in a certificate stands for itself only."""
        match self.kind:
            case "dns":
                return self.value in shown.dns_names
            case "email":
                return self.value in {_folded(email) for email in shown.emails}
            case "subject":
                return self.value == shown.subject
            case _:
                return self.value in shown.fingerprints


def parse_match(text: str) -> CertificateMatch:
    """One word of `match`. Raises ValueError with what would do."""
    kind, _, value = text.partition(":")
    value = value.strip()
    match kind:
        case "dns" if value:
            return CertificateMatch(kind, value.lower())
        case "email" if "@" in value:
            return CertificateMatch(kind, _folded(value))
        case "subject" if "=" in value:
            return CertificateMatch(kind, value)
        case "sha256":
            return CertificateMatch(kind, plain_fingerprint(value))
        case _:
            raise ValueError(f"{text!r} is not one of dns:NAME, email:ADDRESS, subject:DN, sha256:HEX")


def readable_matches(texts: Iterable[str]) -> tuple[CertificateMatch, ...]:
    """The ones that can be read; the others are refused with the configuration."""
    found = []
    for text in texts:
        try:
            found.append(parse_match(text))
        except ValueError:
            continue
    return tuple(found)


def _folded(email: str) -> str:
    """The local part as it stands, the domain without regard to case (RFC 5280 §7.5)."""
    local, at, domain = email.rpartition("@")
    return f"{local}{at}{domain.lower()}"
