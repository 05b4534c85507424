"""What may be written to a sender's domain: the table of remote domains, looked up. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.config.notice_settings import RemoteDomain
from gatepost.model.domain_table import DomainTable
from gatepost.notices.policy import Kind

_ANYBODY = RemoteDomain()


class RemoteDomains(DomainTable[RemoteDomain]):
    """Finds the entry for a sender's domain; one without an entry may be sent anything."""

    def __init__(self, entries: Mapping[str, RemoteDomain]) -> None:
        super().__init__(entries, otherwise=_ANYBODY)


def refused_kinds(entry: RemoteDomain) -> frozenset[Kind]:
    """The notices that do not go to this domain."""
    may = {
        Kind.FAILURE: entry.failure_notices,
        Kind.DELAY: entry.delay_notices,
        Kind.SUCCESS: entry.success_notices,
    }
    return frozenset(kind for kind, allowed in may.items() if not allowed)
