"""The DNS of the world: names that exist, names that do not, and servers that are slow or broken for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar, cast

from gatepost.adapters.counters import Sample
from gatepost.model.fault import WorldFault
from gatepost.ports.resolver import LookedUp, Mx, RecordType, Tlsa
from sim.journal import Journal
from sim.plan import AWAY, LIAR_IP, VAULT
from sim.signing import OURS, THEIRS

_T = TypeVar("_T")
LIES: Final[dict[str, tuple[object, ...]]] = {
    AWAY: (b"v=spf1 -all",),
    f"_dmarc.{AWAY}": (b"v=DMARC1; p=reject; adkim=s",),
    THEIRS.name: (OURS.record.encode(),),
    "203.0.113.3": ("liar.example",),
    f"mx.{VAULT}": (LIAR_IP,),
}
"""What some names are answered with while the DNS lies."""


@dataclass
class Names:
    """ports.resolver.Resolver and Lookup. trouble_s: by name, until when (loop's time) it is not answered, and how."""

    chance: Random
    journal: Journal
    now: Callable[[], float]
    exchangers: dict[str, tuple[Mx, ...]] = field(default_factory=dict)
    machines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """A."""
    pointers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    policies: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    """TXT."""
    trouble: dict[str, tuple[float, str]] = field(default_factory=dict)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Servers nobody needs to know."""
        return ()

    @property
    def trusts_any(self) -> bool:
        """It validates nothing."""
        return False

    def samples(self) -> Iterator[Sample]:
        """It counts nothing."""
        return iter(())

    def close(self) -> None:
        """The DNS goes on."""

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        """A."""
        return await self._ask(name, self.machines.get(name, ()), timeout_s)

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        """MX."""
        return await self._ask(name, self.exchangers.get(name, ()), timeout_s)

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        """PTR."""
        answer = await self._ask(address, self.pointers.get(address, ()), timeout_s)
        self.journal.pointers.setdefault(address, set()).add(answer)
        return answer

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        """TXT."""
        return await self._ask(name, self.policies.get(name, ()), timeout_s)

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        """A, MX, PTR and TXT; of the other types there are no records."""
        name = name.lower().removesuffix(".")
        tables: dict[RecordType, Mapping[str, tuple[str | bytes | Mx | Tlsa, ...]]] = {
            RecordType.A: self.machines,
            RecordType.MX: self.exchangers,
            RecordType.PTR: self.pointers,
            RecordType.TXT: self.policies,
        }
        records = await self._ask(name, tables.get(kind, {}).get(name, ()), timeout_s)
        return LookedUp(records=records, exists=any(name in table for table in tables.values()), ttl_s=300)

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        """Anything known of it."""
        return await self._ask(name, name in self.machines or name in self.exchangers, timeout_s)

    async def _ask(self, name: str, answer: _T, timeout_s: float) -> _T:
        until_s, how = self.trouble.get(name, (0.0, ""))
        if self.now() < until_s:
            self.journal.count(f"dns {how}")
            if how == "lie":
                return self._told(name, _untrue(name, answer))
            if how == "servfail":
                await asyncio.sleep(0.01)
                self.journal.unanswered.add(name)
                raise WorldFault("the name server says SERVFAIL")
            wait_s = timeout_s * self.chance.uniform(0.1, 2.0)
            await asyncio.sleep(min(wait_s, timeout_s))
            if wait_s >= timeout_s:
                self.journal.unanswered.add(name)
                raise WorldFault("the name server does not answer")
            return self._told(name, answer)
        await asyncio.sleep(self.chance.uniform(0.0005, 0.05))
        return self._told(name, answer)

    def _told(self, name: str, answer: _T) -> _T:
        if isinstance(answer, tuple):
            self.journal.answers.setdefault(name, set()).add(answer)
        return answer


def _untrue(name: str, answer: _T) -> _T:
    """Another record of the same type; the truth where there is nothing to lie about."""
    lie = LIES.get(name, ())
    if isinstance(answer, tuple) and answer and lie and type(answer[0]) is type(lie[0]):
        return cast(_T, lie)
    return answer
