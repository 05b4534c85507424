"""IP block and allow lists: entries in the shared state, indexed in memory; behind them the feeds' tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

import msgspec

from gatepost.model.ip_ranges import IpRange, number_of, range_text
from gatepost.model.prefix_index import BITS, PrefixIndex
from gatepost.ports.lists import COMMENT_LIMIT_CHARACTERS, LISTS, Entry, ListName
from gatepost.ports.shared import SharedItem, SharedState

ENTRIES_LIMIT: Final = 500_000
"""Of one list, feeds not counted: longer lists come from feeds."""
AUTHOR_LIMIT_CHARACTERS: Final = 100
SPACES: Final[dict[ListName, str]] = {"block": "ip-block-list", "allow": "ip-allow-list"}
HITS_SPACE: Final = "ip-list-hits"
SPACE_LIMITS: Final = {
    SPACES["block"]: ENTRIES_LIMIT,
    SPACES["allow"]: ENTRIES_LIMIT,
    HITS_SPACE: ENTRIES_LIMIT,
}
HITS_AGE_S: Final = 90 * 86400.0
"""How long a hit of an entry that has no end is remembered."""
_FOR_EVER: Final = 1e11
"""SQLite and MessagePack know infinity, but people who read the file do not."""


class _Value(msgspec.Struct, array_like=True, frozen=True):
    author: str
    by_person: bool
    comment: str
    added_at: float


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Value).decode


class FeedTables(Protocol):
    """The feeds that count as entries of a list."""

    def find(self, list_name: ListName, version: int, number: int) -> Entry | None:
        """The first feed that lists the address."""


class SharedAddressLists:
    """Keeps the promise of ports.lists.AddressLists. now: seconds since the epoch."""

    def __init__(self, shared: SharedState, now: Callable[[], float]) -> None:
        self._shared = shared
        self._now = now
        self.feeds: FeedTables | None = None
        """Of the configuration in force."""
        self._indexes = {name: PrefixIndex() for name in LISTS}
        self._kept: dict[ListName, dict[str, Entry]] = {name: {} for name in LISTS}
        for name in LISTS:
            shared.watch(SPACES[name], self._watcher(name))

    def find(self, list_name: ListName, address: str) -> Entry | None:
        """As AddressLists."""
        version, number = number_of(address)
        kept = self._kept[list_name]
        if kept:
            for key in self._indexes[list_name].find(version, number):
                entry = kept.get(key)
                if entry is not None and entry.expires_at > self._now():
                    return entry
        return self.feeds.find(list_name, version, number) if self.feeds is not None else None

    def add(
        self,
        list_name: ListName,
        network: str,
        *,
        expires_at: float,
        author: str,
        comment: str,
        by_person: bool = False,
    ) -> Entry:
        """As AddressLists."""
        addresses = list_range(network)
        key = range_text(addresses)
        before = self._kept[list_name].get(key)
        if not by_person and before is not None and before.by_person and before.expires_at > self._now():
            return before
        value = _Value(
            _clean(author, AUTHOR_LIMIT_CHARACTERS),
            by_person,
            _clean(comment, COMMENT_LIMIT_CHARACTERS),
            self._now(),
        )
        until = min(expires_at, _FOR_EVER)
        self._shared.put(SPACES[list_name], key, _encode(value), expires_at=until)
        return _entry(list_name, key, until, value)

    def check(self, network: str) -> None:
        """As AddressLists."""
        list_range(network)

    def remove(self, list_name: ListName, network: str) -> bool:
        """As AddressLists."""
        key = range_text(list_range(network))
        if key not in self._kept[list_name]:
            return False
        self._shared.remove(SPACES[list_name], key)
        self._shared.remove(HITS_SPACE, f"{list_name} {key}")
        return True

    def matches(self, list_name: ListName, address: str) -> Sequence[Entry]:
        """As AddressLists."""
        version, number = number_of(address)
        keys = list(self._indexes[list_name].find(version, number))
        found = [self._with_hits(self._kept[list_name][key]) for key in keys if key in self._kept[list_name]]
        found = [entry for entry in found if entry.expires_at > self._now()]
        if self.feeds is not None and (fed := self.feeds.find(list_name, version, number)) is not None:
            found.append(fed)
        return found

    def entries(self, list_name: ListName) -> Sequence[Entry]:
        """As AddressLists."""
        now = self._now()
        kept = [entry for entry in list(self._kept[list_name].values()) if entry.expires_at > now]
        kept.sort(key=lambda entry: IpRange.parse(entry.network))
        return [self._with_hits(entry) for entry in kept]

    def count_hit(self, entry: Entry) -> None:
        """As AddressLists."""
        if entry.feed:
            return
        now = self._now()
        self._shared.add(
            HITS_SPACE,
            f"{entry.list_name} {entry.network}",
            (1.0,),
            fading=math.inf,
            now=now,
            expires_at=min(entry.expires_at, now + HITS_AGE_S),
        )

    def _with_hits(self, entry: Entry) -> Entry:
        key = f"{entry.list_name} {entry.network}"
        counts = self._shared.counts(HITS_SPACE, key, fading=math.inf, now=self._now())
        return replace(entry, hits=round(counts[0])) if counts else entry

    def _watcher(self, list_name: ListName) -> Callable[[str, SharedItem | None], None]:
        index, kept = self._indexes[list_name], self._kept[list_name]

        def told(key: str, item: SharedItem | None) -> None:
            entry = None
            if item is not None:
                try:
                    addresses, value = list_range(key), _decode(item.value)
                    entry = _entry(list_name, key, item.expires_at, value)
                except (ValueError, msgspec.MsgspecError):
                    return  # of another gatepost, or of somebody who wrote into the file
            before = kept.pop(key, None) if entry is None else kept.get(key)
            if entry is not None:
                kept[key] = entry
                if before is None:
                    index.add(addresses, key)
            elif before is not None:
                index.remove(list_range(key), key)

        return told


def list_range(text: str) -> IpRange:
    """What a list may hold. Raises ValueError."""
    try:
        found = IpRange.parse(text)
    except ValueError as error:
        raise ValueError(f"{text[:100]!r} is not an address, a network or a range a-b: {error}") from None
    if found.size == 1 << BITS[found.version]:
        raise ValueError(f"{text!r} is everybody: a list is for some")
    return found


def _entry(list_name: ListName, key: str, expires_at: float, value: _Value) -> Entry:
    return Entry(
        list_name=list_name,
        network=key,
        expires_at=math.inf if expires_at >= _FOR_EVER else expires_at,
        author=value.author,
        by_person=value.by_person,
        comment=value.comment,
        added_at=value.added_at,
    )


def _clean(text: str, limit: int) -> str:
    """One printable line."""
    return "".join(c if c.isprintable() else " " for c in text)[:limit].strip()
