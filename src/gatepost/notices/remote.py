"""What may be written to a sender's domain: the table of remote domains, looked up. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.config.notice_settings import RemoteDomain
from gatepost.notices.policy import Kind

_ANYBODY = RemoteDomain()


class RemoteDomains:
    """Finds the entry for a domain: the exact name, else the longest "*." name above it, else "*"."""

    def __init__(self, entries: Mapping[str, RemoteDomain]) -> None:
        self._entries = {name.lower().rstrip("."): entry for name, entry in entries.items()}

    def entry_for(self, domain: str) -> RemoteDomain:
        """domain: as in Address.domain. "*.example.com" is not example.com itself."""
        if domain in self._entries:
            return self._entries[domain]
        rest = domain
        while "." in rest:
            rest = rest.partition(".")[2]
            if f"*.{rest}" in self._entries:
                return self._entries[f"*.{rest}"]
        return self._entries.get("*", _ANYBODY)


def refused_kinds(entry: RemoteDomain) -> frozenset[Kind]:
    """The notices that do not go to this domain."""
    may = {
        Kind.FAILURE: entry.failure_notices,
        Kind.DELAY: entry.delay_notices,
        Kind.SUCCESS: entry.success_notices,
    }
    return frozenset(kind for kind, allowed in may.items() if not allowed)
