"""Settings of signatures: how DKIM and ARC are checked, and what we sign ourselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import field_validator

from gatepost.config.schema import Duration, Size, Table, setting, size

DEFAULT_FIELDS = (
    "From",
    "Reply-To",
    "Subject",
    "Date",
    "To",
    "Cc",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
)
DEFAULT_OVERSIGNED = (
    "From",
    "Reply-To",
    "Subject",
    "Date",
    "To",
    "Cc",
    "Message-ID",
    "Content-Type",
    "MIME-Version",
)


class Dkim(Table):
    """[dkim]: how signatures of incoming mail are checked."""

    signatures: int = setting(
        "How many signatures of a mail are looked at, those in line with the author first",
        default=10,
        low=1,
        high=50,
    )
    body_limit_bytes: Size = setting(
        "The largest mail whose body is hashed; signatures of a larger one are neither good nor bad (neutral)",
        default=size(150, "MiB"),
        low=1,
    )
    minimum_key_bits: int = setting(
        "RSA keys below it prove nothing; RFC 8301 forbids less than 1024", default=1024, low=1024, high=4096
    )
    clock_skew_s: Duration = setting(
        "How far the signer's clock may be ahead of ours or behind", default=3600.0, low=0, high=86400
    )


class Arc(Table):
    """[arc]: whose word about a mail's past is believed, and whether we give ours."""

    trusted_sealers: tuple[str, ...] = setting(
        "Domains (d= of ARC-Seal) whose results are believed when the chain is intact; mailing lists and "
        "forwarders that you know. Empty: nobody's",
        default=(),
        example='["lists.example.org"]',
    )

    seal: bool = setting(
        "Seal mail of others that passes through, with our Authentication-Results in it", default=False
    )
    seal_domain: str = setting(
        "The d= of our seals: a domain of dkim-signing.domains, whose active key seals, RSA first", default=""
    )

    @field_validator("trusted_sealers")
    @classmethod
    def _are_domains(cls, domains: tuple[str, ...]) -> tuple[str, ...]:
        for domain in domains:
            _check_domain(domain)
        return domains


class SigningSelector(Table):
    """[dkim-signing.domains.DOMAIN.selectors.SELECTOR]: one key."""

    key_file: str = setting(
        "PEM file with the private key (RSA of 1024 to 4096 bits, or Ed25519), which only we may read; "
        "gatepost dkim keygen makes one"
    )
    state: Literal["next", "active", "retired"] = setting(
        "next: published and not used yet; active: signs; retired: signs no more, and stays published until mail "
        "signed with it has arrived. At most one RSA and one Ed25519 key of a domain are active",
        default="active",
    )


class SigningDomain(Table):
    """[dkim-signing.domains."example.com"]: a domain whose mail we sign."""

    selectors: dict[str, SigningSelector] = setting("Its keys by selector", default={})
    subdomains: bool = setting(
        "Sign for authors in its subdomains, too, with this domain's key", default=False
    )
    identity: str = setting(
        'The i= of its signatures: "@example.com" or an address in the domain or below; empty: none',
        default="",
    )


class DkimSigning(Table):
    """[dkim-signing]: what we sign: mail of authenticated and internal clients, and our own notices."""

    enabled: bool = setting("Whether anything is signed", default=True)
    domains: dict[str, SigningDomain] = setting("The domains with keys", default={})
    fields: tuple[str, ...] = setting(
        "Header fields that are signed where they stand; From always is", default=DEFAULT_FIELDS
    )
    oversigned_fields: tuple[str, ...] = setting(
        "Fields that nobody may add after us: they are signed once more than they stand",
        default=DEFAULT_OVERSIGNED,
    )
    expiry_s: Duration = setting("How long a signature is good (x=)", default=14 * 86400.0, low=3600)
    body_limit_bytes: Size = setting(
        "The largest mail that is signed; a larger one leaves without a signature",
        default=size(150, "MiB"),
        low=1,
    )

    @field_validator("domains")
    @classmethod
    def _are_signing_domains(cls, domains: dict[str, SigningDomain]) -> dict[str, SigningDomain]:
        _check_once(domains)
        for name, domain in domains.items():
            _check_domain(name)
            _check_once(domain.selectors)
            for selector in domain.selectors:
                _check_domain(selector)
            host = domain.identity.rpartition("@")[2].lower()
            if domain.identity and (
                "@" not in domain.identity
                or not domain.identity.isprintable()
                or set(domain.identity) & set("; ")
                or not f".{host}".endswith(f".{name.lower()}")
            ):
                raise ValueError(f"identity {domain.identity!r} is no address in {name} or below it")
        return domains

    @field_validator("fields", "oversigned_fields")
    @classmethod
    def _are_fields(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not name.isascii() or not name.replace("-", "").isalnum() or len(name) > 100:
                raise ValueError(f"{name!r} is no name of a header field")
            if name.lower() in ("received", "return-path", "dkim-signature", "bcc"):
                raise ValueError(f"{name} changes on the way: it cannot be signed")
        return names


def _check_once(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ValueError(f"{name!r} stands twice: case makes no difference")
        seen.add(name.lower())


def _check_domain(name: str) -> None:
    labels = name.lower().split(".")
    if len(name) > 253 or not all(
        0 < len(label) <= 63 and label.isascii() and label.replace("-", "").replace("_", "").isalnum()
        for label in labels
    ):
        raise ValueError(f"{name!r} is no domain name in A-labels")
