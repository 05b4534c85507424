"""Recipients that settings name: single addresses, and whole domains."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gatepost.model.address import Address


class ExemptRecipients:
    """entries: "user@example.com" or "@example.com". key_of: an entry as it is looked up; raises ValueError."""

    def __init__(self, entries: Iterable[str], key_of: Callable[[str], str]) -> None:
        self._keys = frozenset(key_of(entry) for entry in entries)

    def __contains__(self, address: Address) -> bool:
        return bool(self._keys) and (address.key in self._keys or f"@{address.domain}" in self._keys)
