"""The shared state of a process that shares with nobody: the memory of the real one; tests; the simulation."""

from __future__ import annotations

import hashlib
import heapq
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from gatepost.model.fading import Drains, Fading
from gatepost.ports.shared import (
    AMOUNTS_LIMIT,
    KEY_LIMIT_CHARACTERS,
    SPACE_ENTRIES,
    VALUE_LIMIT_BYTES,
    SharedItem,
    Told,
)

_EXCHANGED_WITHIN_S: Final = 1.0
"""What waits longer for the others waits because they cannot be reached."""
SLACK: Final = 16
"""One in so many entries more than the bound is borne, so that forgetting is rare."""


class Kept(NamedTuple):
    """What is kept under a key: a value, or counts at a time; neither: it was removed."""

    expires_at: float
    value: bytes | None = None
    counts: tuple[float, ...] | None = None
    counted_at: float = 0.0


def left_of(counts: tuple[float, ...], counted_at: float, *, fading: Fading, now: float) -> tuple[float, ...]:
    """What time has left; nothing fades backwards."""
    age_s = now - counted_at
    if age_s <= 0:
        return counts
    if isinstance(fading, Drains):
        drained = age_s * fading.per_s
        return tuple([max(0.0, count - drained) for count in counts])
    factor = 0.5 ** (age_s / fading)
    return tuple([count * factor for count in counts])


def summed(before: Kept | None, added: Kept, fading: Fading, *, are_both_added: bool = False) -> Kept:
    """Counts on top of counts; on anything else they begin anew. added: counted at its own time.

    are_both_added: within one exchange with the others: a bucket that both are for drains already, so they do not.
    """
    assert added.counts is not None
    if before is None or before.counts is None or len(before.counts) != len(added.counts):
        return added
    old, new, age_s = before.counts, added.counts, added.counted_at - before.counted_at
    now, expires_at = added.counted_at, before.expires_at
    if isinstance(fading, Drains):
        now = max(now, before.counted_at)
        if not are_both_added or age_s > _EXCHANGED_WITHIN_S:
            old = left_of(old, before.counted_at, fading=fading, now=now)
        both = tuple([a + b for a, b in zip(old, new, strict=True)])
    elif age_s > 0:
        factor = 0.5 ** (age_s / fading)
        both = tuple([a * factor + b for a, b in zip(old, new, strict=True)])
    else:
        now = before.counted_at
        factor = 0.5 ** (-age_s / fading)
        both = tuple([a + b * factor for a, b in zip(old, new, strict=True)])
    return Kept(expires_at if expires_at > added.expires_at else added.expires_at, None, both, now)


def key_of(key: str) -> str:
    """The key as it is kept."""
    if len(key) <= KEY_LIMIT_CHARACTERS:
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class MemoryShared:
    """Keeps the promises of ports.shared.SharedState in dictionaries. now: seconds since the epoch.

    limits: most entries of single spaces.
    """

    def __init__(
        self, now: Callable[[], float] = time.time, *, limits: Mapping[str, int] | None = None
    ) -> None:
        self._now = now
        self._limits = dict(limits or {})
        self.spaces: dict[str, dict[str, Kept]] = {}
        self._watchers: dict[str, list[Told]] = {}

    def limit_of(self, space: str) -> int:
        """Most entries."""
        return self._limits.get(space, SPACE_ENTRIES)

    def get(self, space: str, key: str) -> bytes | None:
        """As SharedState."""
        kept = self._kept(space, key)
        return None if kept is None else kept.value

    def put(self, space: str, key: str, value: bytes, *, expires_at: float) -> None:
        """As SharedState."""
        self.keep(space, key_of(key), Kept(expires_at, checked_value(value)))

    def remove(self, space: str, key: str) -> None:
        """As SharedState."""
        self.drop(space, key_of(key))

    def add(
        self,
        space: str,
        key: str,
        amounts: tuple[float, ...],
        *,
        fading: Fading,
        now: float,
        expires_at: float,
    ) -> None:
        """As SharedState."""
        added = checked_counts(amounts, fading=fading, now=now, expires_at=expires_at)
        self.keep(space, key_of(key), summed(self._kept(space, key), added, fading))

    def counts(self, space: str, key: str, *, fading: Fading, now: float) -> tuple[float, ...] | None:
        """As SharedState."""
        kept = self._kept(space, key)
        if kept is None or kept.counts is None:
            return None
        return left_of(kept.counts, kept.counted_at, fading=fading, now=now)

    def items(self, space: str) -> Sequence[SharedItem]:
        """As SharedState."""
        now = self._now()
        everything = list(self.spaces.get(space, {}).items())
        return [item_of(key, kept) for key, kept in everything if kept.expires_at > now]

    def watch(self, space: str, told: Told) -> None:
        """As SharedState."""
        for item in self.items(space):
            told(item.key, item)
        self._watchers.setdefault(space, []).append(told)

    def keep(self, space: str, key: str, kept: Kept) -> None:
        """One entry as it is; the key is one of key_of()."""
        self.hold(space, key, kept)
        if self.is_over(space):
            self.prune(space)

    def hold(self, space: str, key: str, kept: Kept) -> None:
        """As keep(), for who prunes."""
        entries = self.spaces.get(space)
        if entries is None:
            entries = self.spaces[space] = {}
        entries[key] = kept
        if space in self._watchers:
            for told in self._watchers[space]:
                told(key, item_of(key, kept))

    def drop(self, space: str, key: str) -> None:
        """Forget one entry; the key is one of key_of()."""
        if self.spaces.get(space, {}).pop(key, None) is not None:
            for told in self._watchers.get(space, ()):
                told(key, None)

    def is_over(self, space: str) -> bool:
        """Whether it is time to prune."""
        limit = self.limit_of(space)
        return len(self.spaces[space]) > limit + max(1, limit // SLACK)

    def prune(self, space: str) -> list[str]:
        """Forget what has expired, and what expires first beyond the bound; their keys."""
        entries, now = self.spaces.get(space, {}), self._now()
        everything = list(entries.items())
        over = [key for key, kept in everything if kept.expires_at <= now]
        surplus = len(everything) - len(over) - self.limit_of(space)
        if surplus > 0:
            alive = ((kept.expires_at, key) for key, kept in everything if kept.expires_at > now)
            over += [key for _, key in heapq.nsmallest(surplus, alive)]
        for key in over:
            self.drop(space, key)
        return over

    def _kept(self, space: str, key: str) -> Kept | None:
        entries = self.spaces.get(space)
        kept = entries.get(key if len(key) <= KEY_LIMIT_CHARACTERS else key_of(key)) if entries else None
        return kept if kept is not None and kept.expires_at > self._now() else None


def item_of(key: str, kept: Kept) -> SharedItem:
    """As callers see it."""
    return SharedItem(
        key=key,
        expires_at=kept.expires_at,
        value=kept.value or b"",
        counts=kept.counts or (),
        counted_at=kept.counted_at,
    )


def checked_value(value: bytes) -> bytes:
    """Raises ValueError."""
    if len(value) > VALUE_LIMIT_BYTES:
        raise ValueError(f"a shared value has at most {VALUE_LIMIT_BYTES} octets")
    return value


def checked_counts(amounts: tuple[float, ...], *, fading: Fading, now: float, expires_at: float) -> Kept:
    """Raises ValueError."""
    if not 0 < len(amounts) <= AMOUNTS_LIMIT:
        raise ValueError(f"1 to {AMOUNTS_LIMIT} amounts are counted together")
    if not isinstance(fading, Drains) and not fading > 0:
        raise ValueError("a half-life is above 0")
    return Kept(expires_at, None, amounts, now)
