"""A zone of DMARC records for tests: keeps the promise of standards.dmarc_walk.DnsTexts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatepost.model.fault import WorldFault


@dataclass
class Zone:
    """records: domain -> its DMARC record, or several. silent: names that get no answer. absent: NXDOMAIN."""

    records: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        del timeout_s
        self.asked.append(name)
        domain = name.removeprefix("_dmarc.")
        if domain in self.silent:
            raise WorldFault("no name server answers")
        found = self.records.get(domain, ())
        return tuple(text.encode() for text in ((found,) if isinstance(found, str) else found))

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        del timeout_s
        return name not in self.absent
