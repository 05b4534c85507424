"""Which domains we take mail for, and how (Exchange's accepted domains)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class DomainType(Enum):
    """What an accepted domain means for a recipient nobody knows."""

    AUTHORITATIVE = "authoritative"
    INTERNAL_RELAY = "internal-relay"
    EXTERNAL_RELAY = "external-relay"


_OWN: Final = (DomainType.AUTHORITATIVE, DomainType.INTERNAL_RELAY)


class AcceptedDomains:
    """Looks a domain up: the exact name, else the longest `*.` name above it.

    types: name (lower-case A-labels, or "*." and such a name) -> type.
    """

    def __init__(self, types: Mapping[str, DomainType]) -> None:
        self._types = dict(types)
        self._has_trees = any(name.startswith("*.") for name in self._types)

    def type_of(self, domain: str) -> DomainType | None:
        """domain: as in Address.domain. None when it is not ours. "*.example.com" is not example.com itself."""
        kind = self._types.get(domain)
        if kind is not None or not self._has_trees:
            return kind
        return self._types.get(self.name_for(domain) or "")

    def holds_own(self, domain: str) -> bool:
        """A domain of the organisation: authoritative, or on another system of ours. "": of nobody's sender, too."""
        return not domain or self.type_of(domain) in _OWN

    def name_for(self, domain: str) -> str | None:
        """The entry that matched: "example.com" or "*.example.com"."""
        if domain in self._types:
            return domain
        rest = domain if self._has_trees else ""
        while "." in rest:
            rest = rest.split(".", 1)[1]
            if f"*.{rest}" in self._types:
                return f"*.{rest}"
        return None

    @property
    def own_names(self) -> tuple[str, ...]:
        """The organisation's domains as A-labels; of a wildcard the name below the star."""
        names = (name.removeprefix("*.") for name, kind in self._types.items() if kind in _OWN)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def default_domain(self) -> str:
        """The first authoritative domain without wildcard, for postmaster; "" when there is none."""
        for name, kind in self._types.items():
            if kind is DomainType.AUTHORITATIVE and not name.startswith("*"):
                return name
        return ""
