"""Which send connector carries a domain: the most specific address space, then cost, then name (Exchange 13.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gatepost.config.settings import SendConnector
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.routing.accepted import canonical_pattern

ANY_DOMAIN: Final = "*"
ACCEPTED_DOMAINS: Final = "--"
_COSTS: Final = range(1, 101)


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """One entry of address-spaces: a domain, "*.domain", "--" or "*", and its cost (1 to 100)."""

    pattern: str
    cost: int = 1


def parse_address_space(text: str) -> AddressSpace:
    """ "example.com;10" -> AddressSpace("example.com", 10). Raises ValueError."""
    pattern, semicolon, cost_text = text.strip().partition(";")
    pattern, cost_text = pattern.strip(), cost_text.strip()
    if semicolon and not (cost_text.isascii() and cost_text.isdigit() and len(cost_text) <= 3):
        raise ValueError(f"{text!r}: the cost behind ; is a number from 1 to 100")
    cost = int(cost_text) if semicolon else 1
    if cost not in _COSTS:
        raise ValueError(f"{text!r}: the cost behind ; is a number from 1 to 100")
    if pattern not in (ANY_DOMAIN, ACCEPTED_DOMAINS):
        pattern = canonical_pattern(pattern)
    return AddressSpace(pattern, cost)


class ConnectorChoice:
    """The ways out, compiled once: for each address space the connector that wins it."""

    def __init__(self, connectors: Mapping[str, SendConnector], accepted: AcceptedDomains) -> None:
        """Raises ValueError for an address space nobody can read."""
        self._accepted = accepted
        self._winners: dict[str, tuple[int, str]] = {}
        for name, connector in connectors.items():
            if connector.enabled:
                for text in connector.address_spaces:
                    self._offer(parse_address_space(text), name)

    def _offer(self, space: AddressSpace, name: str) -> None:
        ranked = (space.cost, name)
        standing = self._winners.get(space.pattern)
        if standing is None or ranked < standing:
            self._winners[space.pattern] = ranked

    def connector_for(self, domain: str) -> str | None:
        """The name of the connector for a domain (as in Address.domain); None when nothing matches.

        exact name > longest "*." name above it > "--" when the domain is accepted > "*".
        An address literal matches "*" only.
        """
        pattern = self._pattern_for(domain)
        return self._winners[pattern][1] if pattern else None

    def _pattern_for(self, domain: str) -> str | None:
        if not domain.startswith("["):
            if domain in self._winners:
                return domain
            rest = domain
            while "." in rest:
                rest = rest.split(".", 1)[1]
                if f"*.{rest}" in self._winners:
                    return f"*.{rest}"
            if ACCEPTED_DOMAINS in self._winners and self._accepted.name_for(domain):
                return ACCEPTED_DOMAINS
        return ANY_DOMAIN if ANY_DOMAIN in self._winners else None
