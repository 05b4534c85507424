"""A small DNS and chance that keeps still, for routing."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.resolver import Mx


@dataclass
class SmallDns:
    """Keeps the promise of ports.resolver.Resolver for a few names.

    silent: names whose servers do not answer. odd: names that cannot be asked for.
    """

    mx: Mapping[str, Sequence[tuple[int, str]]] = field(default_factory=dict)
    a: Mapping[str, Sequence[str]] = field(default_factory=dict)
    others: Sequence[str] = ()
    """Names that exist without either."""
    silent: Sequence[str] = ()
    odd: Sequence[str] = ()
    asked: list[str] = field(default_factory=list)

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name in self.silent:
            raise WorldFault("no name server answers")
        if name in self.odd:
            raise PeerFault(Reply(501, "5.1.3", "Not a domain name"), "empty label")

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        self._ask(name)
        return tuple(self.a.get(name, ()))

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        self._ask(name)
        return tuple(Mx(p, h) for p, h in sorted(self.mx.get(name, ())))

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        return ()

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        return ()

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        self._ask(name)
        return name in self.mx or name in self.a or name in self.others


class Reversing:
    """Chance that always turns a list round: a test sees that it was asked."""

    def uniform(self) -> float:
        return 0.5

    def token_hex(self, size_bytes: int) -> str:
        return "ab" * size_bytes

    def shuffle(self, items: MutableSequence[Any]) -> None:
        items.reverse()
