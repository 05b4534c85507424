"""The accepted domains of the configuration, in the form every look-up uses."""

from __future__ import annotations

from typing import Final

import idna

from gatepost.config.settings import Settings
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import Address

_NAME_LIMIT_CHARS: Final = 255  # before any conversion: IDNA is slow on long text (threats H26)


def accepted_domains(settings: Settings) -> AcceptedDomains:
    """What [accepted-domains] says. Raises ValueError for a name that is no domain."""
    return AcceptedDomains(
        {
            canonical_pattern(name): DomainType(domain.type)
            for name, domain in settings.accepted_domains.items()
        }
    )


def canonical_pattern(text: str) -> str:
    """A domain, or "*." and a domain: lower-case A-labels without a final dot. Raises ValueError."""
    if text.startswith("*."):
        return "*." + canonical_domain(text[2:])
    return canonical_domain(text)


def sender_key(text: str) -> str:
    """What is kept of an address that an account may send as: its key, or *@ and a pattern. Raises ValueError."""
    local, _, domain = text.rpartition("@")
    if not local:
        raise ValueError(f"{text[:80]!r} is no mail address")
    pattern = canonical_pattern(domain) if local == "*" else canonical_domain(domain)
    return Address(local, pattern).key


def canonical_domain(text: str) -> str:
    """A domain as Address.domain has it. Raises ValueError."""
    name = text.strip().removesuffix(".")
    if not 0 < len(name) <= _NAME_LIMIT_CHARS:
        raise ValueError(f"{text[:80]!r} is not a domain name")
    if name.isascii():
        return name.lower()
    try:
        return idna.encode(name, uts46=True).decode("ascii").lower()
    except idna.IDNAError as error:
        raise ValueError(f"{text[:80]!r} is not a domain name") from error
