"""Which TLSA records a mail server has, and whether the DNS has proven them (RFC 7672 §2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.link_tls import Association
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import LookedUp, Lookup, RecordType, Tlsa
from gatepost.ports.world import Clock
from gatepost.standards.dane import usable

ALIASES_LIMIT: Final = 8
PROBE_AGAIN_S: Final = 3600.0
"""How long the outcome of a probe counts; one that failed is repeated after a minute."""
PROBE_RETRY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecords:
    """What the DNS says of one mail server. base: the name the records stand at, "" when it has none.

    associations: the usable ones; () with a base: TLS is demanded, and nobody can be proven (RFC 7672 §2.2).
    """

    base: str = ""
    associations: tuple[Association, ...] = ()
    strings: tuple[str, ...] = ()
    """As a report writes them (RFC 8460 §4.4)."""


NONE: Final = HostRecords()


class ResolverProof:
    """Whether the resolver validates: it must call a signed name authentic. Looked at again every hour."""

    def __init__(
        self,
        lookup: Lookup,
        probe: str,
        *,
        clock: Clock,
        timeout_s: float,
        log: Log,
        counters: Counters,
    ) -> None:
        self._lookup = lookup
        self._probe = probe
        self._clock = clock
        self._timeout_s = timeout_s
        self._log = log
        self._counters = counters
        self._again_at = 0.0
        self._probing: asyncio.Task[None] | None = None
        self._why: str | None = None
        self.holds = False
        """By the last probe."""

    def look(self) -> None:
        """Begin a probe in the background when it is time."""
        if self._probing is None and self._clock.monotonic() >= self._again_at:
            self._probing = asyncio.get_running_loop().create_task(self._look())

    async def ready(self) -> bool:
        """`holds`, after the first probe."""
        if self._why is None:
            self.look()
            if self._probing is not None:
                await asyncio.shield(self._probing)
        return self.holds

    async def _look(self) -> None:
        """A resolver that is silent proves nothing against itself: what it said last counts, and mail waits for it."""
        try:
            found = await self._lookup.look_up(self._probe, RecordType.SOA, timeout_s=self._timeout_s)
        except (WorldFault, PeerFault) as fault:
            self._concluded(self.holds, f"{self._probe} could not be looked up: {fault.reason}")
            self._again_at = self._clock.monotonic() + PROBE_RETRY_S
            return
        why = f"no server of dns.servers that dns.trust-ad believes calls {self._probe} authentic"
        self._concluded(found.is_secure, "" if found.is_secure else why)

    def _concluded(self, holds: bool, why: str) -> None:
        if why != self._why and holds:
            self._log.write("info", "dane-proven", why=why)
        elif why != self._why:
            self._log.write("warning" if self.holds else "info", "dane-unavailable", why=why)
        self.holds, self._why, self._probing = holds, why, None
        self._again_at = self._clock.monotonic() + (PROBE_AGAIN_S if holds else PROBE_RETRY_S)
        self._counters.set("dane_resolver_proven", float(holds))


class DaneRecords:
    """Asks for them. An answer that is unknown raises WorldFault, it is never "none"."""

    def __init__(self, lookup: Lookup, *, timeout_s: float) -> None:
        self._lookup = lookup
        self._timeout_s = timeout_s

    async def is_secure(self, domain: str) -> bool:
        """Whether the list of the domain's mail servers is proven, also the proof that it has none."""
        return (await self._ask(domain, RecordType.MX)).is_secure

    async def of(self, host: str, ip: str, port: int) -> HostRecords:
        """The records of a mail server that is at this address. Raises WorldFault."""
        kind = RecordType.AAAA if ":" in ip else RecordType.A
        address = await self._ask(host, kind)
        if not address.is_secure:
            # RFC 7672 §2.2.2: an alias that is proven may still lead into a zone that is not signed.
            alias = await self._ask(host, RecordType.CNAME)
            bases = [host] if alias.is_secure and alias.records else []
        else:
            bases = list(dict.fromkeys((await self._expanded(host), host)))
        for base in bases:
            found = await self._ask(f"_{port}._tcp.{base}", RecordType.TLSA)
            if found.is_secure and found.records:
                records = [
                    Association(r.usage, r.selector, r.matching, r.data)
                    for r in found.records
                    if isinstance(r, Tlsa)
                ]
                kept = usable(records)
                return HostRecords(base=base, associations=kept, strings=tuple(_shown(r) for r in kept))
        return NONE

    async def _expanded(self, host: str) -> str:
        """The name at the end of aliases that are proven; `host` when one is not."""
        name = host
        for _ in range(ALIASES_LIMIT):
            alias = await self._ask(name, RecordType.CNAME)
            if not alias.records:
                return name
            if not alias.is_secure:
                return host
            name = str(alias.records[0]).lower().rstrip(".")
        return host

    async def _ask(self, name: str, kind: RecordType) -> LookedUp:
        try:
            return await self._lookup.look_up(name, kind, timeout_s=self._timeout_s)
        except PeerFault:  # a name that cannot be asked for has no records
            return LookedUp(records=(), exists=False)
        except WorldFault as fault:
            raise WorldFault(
                f"{kind.name} of {name} could not be looked up: {fault.reason}", tls_result="dnssec-invalid"
            ) from fault


def _shown(record: Association) -> str:
    return f"{record.usage} {record.selector} {record.matching} {record.data.hex()[:1024]}"
