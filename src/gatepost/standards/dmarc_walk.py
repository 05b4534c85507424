"""The DNS tree walk: which record speaks for a domain, and which domain is its organisation's (RFC 9989 §4.10)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Protocol

import msgspec

from gatepost.model.fault import PeerFault
from gatepost.standards.dmarc_record import DmarcRecord, Policy, is_dmarc, parse_record

QUERIES_LIMIT: Final = 8
LABELS_KEPT: Final = 7
_NAME_LIMIT_CHARS: Final = 253 - len("_dmarc.")


class DnsTexts(Protocol):
    """What is asked: the part of ports.resolver.Resolver that is needed here."""

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        """TXT; () for none. Raises WorldFault when nobody knows."""

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        """False for NXDOMAIN only."""


class Walk(msgspec.Struct, frozen=True, gc=False):
    """The records on the way from a domain up to its top level, the domain's own first."""

    start: str
    records: tuple[tuple[str, DmarcRecord], ...] = ()

    @property
    def organization(self) -> str:
        """The Organizational Domain (RFC 9989 §4.10.2)."""
        for domain, record in self.records:
            if record.psd == "n":
                return domain
            if record.psd == "y" and domain != self.start:
                depth = domain.count(".") + 2
                return ".".join(self.start.split(".")[-depth:])
        return self.records[-1][0] if self.records else self.start

    @property
    def governing(self) -> tuple[str, DmarcRecord] | None:
        """Whose record applies: the domain's own, else its organisation's, else its public suffix's."""
        found = dict(self.records)
        wanted = (self.start, self.organization, self.records[-1][0] if self.records else "")
        return next(((domain, found[domain]) for domain in wanted if domain in found), None)


class TreeWalker:
    """Walks for one mail: no name is asked twice. Raises WorldFault when the DNS does not answer."""

    def __init__(self, dns: DnsTexts, *, timeout_s: float) -> None:
        self._dns = dns
        self._timeout_s = timeout_s
        self._records: dict[str, DmarcRecord | None] = {}
        self._walks: dict[str, Walk] = {}

    async def walk(self, domain: str) -> Walk:
        """domain: lower-case A-labels. At most eight questions."""
        known = self._walks.get(domain)
        if known is None:
            known = self._walks[domain] = await self._walk(domain)
        return known

    async def policy_of(self, walk: Walk) -> tuple[str, DmarcRecord, Policy] | None:
        """The governing record, where it stands, and what it asks for mail of walk.start."""
        governing = walk.governing if walk.records else None
        if governing is None:
            return None
        domain, record = governing
        if domain == walk.start:
            return domain, record, record.p
        if record.np != record.sp and not await self._exists(walk.start):
            return domain, record, record.np
        return domain, record, record.sp

    async def _walk(self, start: str) -> Walk:
        found, records = [], self._records
        for name in names_to_ask(start):
            if name not in records:
                records[name] = await self._ask(name)
            record = records[name]
            if record is not None:
                found.append((name, record))
                if record.psd != "u":
                    break
        return Walk(start, tuple(found))

    async def _exists(self, name: str) -> bool:
        try:
            return await self._dns.exists(name, timeout_s=self._timeout_s)
        except PeerFault:
            return False

    async def _ask(self, domain: str) -> DmarcRecord | None:
        try:
            texts = await self._dns.texts(f"_dmarc.{domain}", timeout_s=self._timeout_s)
        except PeerFault:
            return None  # a name that cannot be asked has no record
        found = [text for text in texts if is_dmarc(text)] if texts else []
        return parse_record(found[0]) if len(found) == 1 else None


@lru_cache(maxsize=1024)
def names_to_ask(domain: str) -> tuple[str, ...]:
    """In order: the domain, then its parents; of a name of more than eight labels the last seven and up.

    A domain that is too long to be asked is left out, its parents are not: nobody gets round their policy by length.
    """
    if not domain or domain.startswith("["):
        return ()
    labels = domain.split(".")
    above = labels[-LABELS_KEPT:] if len(labels) > QUERIES_LIMIT else labels[1:]
    names = (domain, *(".".join(above[n:]) for n in range(len(above))))
    # No name as long as that can have a record; those above it can.
    return tuple([name for name in names if len(name) <= _NAME_LIMIT_CHARS])
