"""Which send connector carries a domain: the most specific address space, then cost, then name (Exchange 13.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """The ways out, compiled once: for each address space its connectors, the one that wins it first."""

    def __init__(self, connectors: Mapping[str, SendConnector], accepted: AcceptedDomains) -> None:
        """Raises ValueError for an address space nobody can read."""
        self._accepted = accepted
        self._ranked: dict[str, list[tuple[int, str]]] = {}
        self._limits = {n: c.message_size_bytes for n, c in connectors.items() if c.message_size_bytes}
        for name, connector in connectors.items():
            if connector.enabled:
                for text in connector.address_spaces:
                    space = parse_address_space(text)
                    self._ranked.setdefault(space.pattern, []).append((space.cost, name))
        for ranked in self._ranked.values():
            ranked.sort()

    @property
    def weighs(self) -> bool:
        """The size of a mail may decide."""
        return bool(self._limits)

    def connector_for(self, domain: str, size_bytes: int = 0) -> str | None:
        """The name of the connector for a domain (as in Address.domain); None when nothing matches.

        exact name > longest "*." name above it > "--" when the domain is accepted > "*".
        An address literal matches "*" only.

        size_bytes: of the mail. Connectors that take none so large are passed over (Exchange 13.2); when
        that leaves none, the answer is the one that a smaller mail would take.
        """
        first: str | None = None
        for pattern in self._patterns_for(domain):
            for _, name in self._ranked[pattern]:
                if not self._limits or size_bytes <= self._limits.get(name, size_bytes):
                    return name
                first = first or name
        return first

    def _patterns_for(self, domain: str) -> Iterator[str]:
        """Those that hold it, the most specific first."""
        if not domain.startswith("["):
            if domain in self._ranked:
                yield domain
            rest = domain
            while "." in rest:
                rest = rest.split(".", 1)[1]
                if f"*.{rest}" in self._ranked:
                    yield f"*.{rest}"
            if ACCEPTED_DOMAINS in self._ranked and self._accepted.name_for(domain):
                yield ACCEPTED_DOMAINS
        if ANY_DOMAIN in self._ranked:
            yield ANY_DOMAIN
