"""Seals mail that passes through us (ARC): the next hop can then believe what we found out about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gatepost.model.content import Content
from gatepost.ports.log import Counters
from gatepost.standards.arc import BrokenChain, read_sets
from gatepost.standards.arc_seal import own_results, sealed_set
from gatepost.standards.dkim_canon import BodyHash, SignedFields
from gatepost.standards.dkim_sign import SigningKey, names_to_sign
from gatepost.standards.dkim_signature import fields_of

_NOBODY: Final[frozenset[bytes]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealer:
    """Makes sets. own_names: what our Authentication-Results fields begin with. wanted: the fields that are signed."""

    key: SigningKey
    own_names: Sequence[str]
    wanted: Sequence[bytes]
    counters: Counters

    async def seal(self, content: Content, at: int, body_hash: Callable[[], Awaitable[BodyHash]]) -> bytes:
        """Our set for this content, b"" when there is none: its fields and why not are counted.

        Raises WorldFault when the body cannot be read.
        """
        results = next(filter(None, (own_results(content.head, name) for name in self.own_names)), "")
        if not results:
            return self._not("no-results")
        raw = fields_of(content.head)
        try:
            chain = read_sets(raw)
        except BrokenChain:
            return self._not("chain-not-readable")
        fields = SignedFields(raw)
        names = names_to_sign(fields, (*self.wanted, b"dkim-signature"), _NOBODY)
        if not names:
            return self._not("nothing-to-sign")
        made = sealed_set(self.key, chain, fields, await body_hash(), results=results, names=names, at=at)
        if not made:
            return self._not("chain-is-over")
        self.counters.add("arc_sealed", 1)
        return made

    def _not(self, reason: str) -> bytes:
        self.counters.add("arc_unsealed", 1, reason=reason)
        return b""
