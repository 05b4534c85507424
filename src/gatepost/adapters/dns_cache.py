"""What the DNS said lately: answers by name and type, until their time is over or room is needed."""

from __future__ import annotations

from collections import OrderedDict

from gatepost.adapters.dns_wire import Answer, Kind

Key = tuple[str, Kind]


class AnswerCache:
    """At most `limit` answers; the one not used for longest goes first."""

    __slots__ = ("_kept", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Key, tuple[float, Answer]] = OrderedDict()

    def get(self, key: Key, now: float) -> Answer | None:
        """now: seconds, monotonic. None when nothing is known, or no longer."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[0] <= now:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept[1]

    def put(self, key: Key, answer: Answer, now: float) -> None:
        """Keep it for answer.ttl_s seconds."""
        if not self._limit:
            return
        self._kept[key] = (now + answer.ttl_s, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
