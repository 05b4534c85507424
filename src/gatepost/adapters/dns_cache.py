"""What the DNS said lately: answers by name and type, until their time is over or room is needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gatepost.adapters.dns_wire import HIGHEST_TTL_S, LOWEST_TTL_S, Answer, Kind

Key = tuple[str, Kind]
_REFRESH_SHARE: Final = 0.1
"""The part of its life, at the end, in which an answer in use is asked for again."""
_NEVER: Final = float("inf")


@dataclass(slots=True)
class _Kept:
    answer: Answer
    until: float
    refresh_at: float
    uses: int = 0


class AnswerCache:
    """At most `limit` answers; the one not used for longest goes first.

    refresh: called once for an answer that was used `refresh_from` times and is used again near its end.
    """

    __slots__ = ("_highest_ttl_s", "_kept", "_limit", "_lowest_ttl_s", "_refresh", "_refresh_from")

    def __init__(
        self,
        limit: int,
        *,
        lowest_ttl_s: float = LOWEST_TTL_S,
        highest_ttl_s: float = HIGHEST_TTL_S,
        refresh_from: int = 0,
        refresh: Callable[[Key], None] = lambda _key: None,
    ) -> None:
        self._limit = limit
        self._lowest_ttl_s = lowest_ttl_s
        self._highest_ttl_s = highest_ttl_s
        self._refresh_from = refresh_from
        self._refresh = refresh
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def get(self, key: Key, now: float) -> Answer | None:
        """now: seconds, monotonic. None when nothing is known, or no longer."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= now:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        kept.uses += 1
        if now >= kept.refresh_at and kept.uses > self._refresh_from:
            kept.refresh_at = _NEVER
            self._refresh(key)
        return kept.answer

    def put(self, key: Key, answer: Answer, now: float) -> None:
        """Keep it for answer.ttl_s seconds, within the limits."""
        if not self._limit:
            return
        ttl_s = min(max(answer.ttl_s, self._lowest_ttl_s), self._highest_ttl_s)
        refresh_at = now + ttl_s * (1 - _REFRESH_SHARE) if self._refresh_from else _NEVER
        self._kept[key] = _Kept(answer, now + ttl_s, refresh_at)
        self._kept.move_to_end(key)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
