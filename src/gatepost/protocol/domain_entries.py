"""Lists of domains as settings write them: "example.com", and "*.example.com" for those below it."""

from __future__ import annotations

from collections.abc import Iterable

from gatepost.model.domain_table import DomainTable
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import canonical_domain


def domain_entries(entries: Iterable[str]) -> DomainTable[bool] | None:
    """For asking whether a domain is in the list; None: it is empty. Raises ValueError as check_domain_entries."""
    named = {domain_entry(entry): True for entry in entries}
    return DomainTable(named, otherwise=False) if named else None


def check_domain_entries(entries: tuple[str, ...]) -> tuple[str, ...]:
    """The same entries. Raises ValueError for one that is no domain: for validators of settings."""
    for entry in entries:
        domain_entry(entry)
    return entries


def domain_entry(entry: str) -> str:
    """One entry as lower-case A-labels. Raises ValueError."""
    star, name = ("*.", entry[2:]) if entry.startswith("*.") else ("", entry)
    try:
        return star + canonical_domain(name)
    except PeerFault as fault:
        raise ValueError(f"{entry[:255]!r} is no domain: {fault.reason}") from fault


def host_domains(entries: Iterable[str]) -> tuple[str, ...]:
    """Domains whose hosts are meant with every host below, as lower-case A-labels. Raises ValueError."""
    found = []
    for entry in entries:
        try:
            found.append(canonical_domain(entry.strip(".")))
        except PeerFault as fault:
            hint = "; the domain alone stands for every host below it" if "*" in entry else ""
            raise ValueError(f"{entry[:255]!r} is no domain: {fault.reason}{hint}") from fault
    return tuple(found)
