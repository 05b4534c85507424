"""Entries for domains and the domains below them, looked up by the most specific name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class DomainTable(Generic[T]):
    """Finds the entry for a domain: the exact name, else the longest "*." name above it, else "*"."""

    def __init__(self, entries: Mapping[str, T], *, otherwise: T) -> None:
        """entries: names in any case, with or without a final dot.  otherwise: for domains without an entry."""
        self._entries = {name.lower().rstrip("."): entry for name, entry in entries.items()}
        self._otherwise = otherwise

    def entry_for(self, domain: str) -> T:
        """domain: as in Address.domain. "*.example.com" is not example.com itself."""
        if domain in self._entries:
            return self._entries[domain]
        rest = domain
        while "." in rest:
            rest = rest.partition(".")[2]
            if f"*.{rest}" in self._entries:
                return self._entries[f"*.{rest}"]
        return self._entries.get("*", self._otherwise)
