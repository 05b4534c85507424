"""Recipients as administrators list them: "user@example.com", or "@example.com" for a whole domain."""

from __future__ import annotations

from collections.abc import Iterable

from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import canonical_domain, parse_mailbox


class RecipientEntries:
    """Finds an address among them. Raises ValueError for an entry that is none."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._keys = frozenset(map(_key, entries))

    def __contains__(self, address: Address) -> bool:
        return bool(self._keys) and (address.key in self._keys or f"@{address.domain}" in self._keys)


def _key(entry: str) -> str:
    try:
        is_domain = entry.startswith("@")
        return f"@{canonical_domain(entry[1:])}" if is_domain else parse_mailbox(entry).key
    except PeerFault as fault:
        raise ValueError(f"{entry[:320]!r} is no address: {fault.reason}") from fault
