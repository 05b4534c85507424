"""Recipients as administrators list them: "user@example.com", or "@example.com" for a whole domain."""

from __future__ import annotations

from collections.abc import Iterable

from gatepost.model.address import Address
from gatepost.protocol.addresses import address_key


class RecipientEntries:
    """Finds an address among them. Raises ValueError for an entry that is none."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._keys = frozenset(map(address_key, entries))

    def __contains__(self, address: Address) -> bool:
        return bool(self._keys) and (address.key in self._keys or f"@{address.domain}" in self._keys)
