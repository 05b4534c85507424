"""Ranges of addresses that come and go one by one, found by an address in a microsecond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatepost.model.ip_ranges import IpRange

BITS = {4: 32, 6: 128}


def blocks_of(addresses: IpRange) -> Iterator[tuple[int, int]]:
    """The fewest networks that make up a range: (shift, prefix), the prefix being address >> shift."""
    low, high, bits = addresses.low, addresses.high, BITS[addresses.version]
    while low <= high:
        shift = (low & -low).bit_length() - 1 if low else bits
        while low + (1 << shift) - 1 > high:
            shift -= 1
        yield shift, low >> shift
        low += 1 << shift


class PrefixIndex:
    """Keys by the ranges they stand for. One thread may change it while another asks."""

    def __init__(self) -> None:
        self._tables: dict[int, dict[int, dict[int, tuple[str, ...]]]] = {4: {}, 6: {}}
        self._in_order: dict[int, tuple[tuple[int, dict[int, tuple[str, ...]]], ...]] = {4: (), 6: ()}
        """Most specific first; replaced as a whole, so that whoever asks sees one state or the other."""

    def add(self, addresses: IpRange, key: str) -> None:
        """Once for each key."""
        tables = self._tables[addresses.version]
        for shift, prefix in blocks_of(addresses):
            table = tables.get(shift)
            if table is None:
                table = tables[shift] = {}
                self._in_order[addresses.version] = tuple(sorted(tables.items()))
            table[prefix] = (*table.get(prefix, ()), key)

    def remove(self, addresses: IpRange, key: str) -> None:
        """What add() was told."""
        tables = self._tables[addresses.version]
        for shift, prefix in blocks_of(addresses):
            table = tables.get(shift, {})
            left = tuple(kept for kept in table.get(prefix, ()) if kept != key)
            if left:
                table[prefix] = left
            else:
                table.pop(prefix, None)
            if not table and tables.pop(shift, None) is not None:
                self._in_order[addresses.version] = tuple(sorted(tables.items()))

    def find(self, version: int, number: int) -> Sequence[str]:
        """Keys of every range that holds the address, most specific first."""
        keys: tuple[str, ...] = ()
        for shift, table in self._in_order[version]:
            found = table.get(number >> shift)
            if found is not None:
                keys += found
        return keys
