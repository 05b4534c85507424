"""Recipients that settings name: single addresses, and whole domains."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gatepost.model.address import Address
from gatepost.model.known import MailView


class ExemptRecipients:
    """entries: "user@example.com" or "@example.com". key_of: an entry as it is looked up; raises ValueError."""

    def __init__(self, entries: Iterable[str], key_of: Callable[[str], str]) -> None:
        self._keys = frozenset(key_of(entry) for entry in entries)

    def __contains__(self, address: Address) -> bool:
        return bool(self._keys) and (address.key in self._keys or f"@{address.domain}" in self._keys)

    def others_of(self, mail: MailView) -> tuple[Address, ...] | None:
        """Whom a verdict about the client is for at mail's stage; None: everybody; (): they are all exempt."""
        if not self._keys:
            return None
        if mail.recipient is not None:
            return () if mail.recipient.address in self else None
        if mail.envelope is None or not mail.envelope.recipients:
            return None
        addresses = [recipient.address for recipient in mail.envelope.recipients]
        others = tuple(address for address in addresses if address not in self)
        return None if len(others) == len(addresses) else others
