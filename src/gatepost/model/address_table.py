"""A list of addresses that does not change: millions of ranges in sorted arrays, 8 to 10 octets a range of IPv4."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from gatepost.model.prefix_index import BITS

VALUES_LIMIT: Final = 65_535
"""Different values in one table; further ones are known as the first."""
NOT_LISTED: Final = VALUES_LIMIT
_VALUE_BITS: Final = 16
_VALUE_MASK: Final = (1 << _VALUE_BITS) - 1


class AddressTable:
    """Which value an address has: that of the most specific range that holds it."""

    __slots__ = ("_highs4", "_highs6", "_lows4", "_lows6", "_values4", "_values6")

    def __init__(self, packed4: list[int], packed6: list[int]) -> None:
        """What pack() made; the lists are sorted and emptied."""
        self._lows4, self._highs4, self._values4 = array("I"), array("I"), array("H")
        self._lows6: list[int] = []
        self._highs6: list[int] = []
        self._values6 = array("H")
        _lay_out(packed4, 32, self._lows4, self._highs4, self._values4)
        _lay_out(packed6, 128, self._lows6, self._highs6, self._values6)

    def find(self, version: int, number: int) -> int:
        """The number of its value; -1 when it is not listed."""
        if version == 4:
            place = bisect_right(self._lows4, number) - 1
            return self._values4[place] if place >= 0 and number <= self._highs4[place] else -1
        place = bisect_right(self._lows6, number) - 1
        return self._values6[place] if place >= 0 and number <= self._highs6[place] else -1

    def __len__(self) -> int:
        return len(self._lows4) + len(self._lows6)

    @property
    def size_bytes(self) -> int:
        """Memory it takes, about."""
        return 10 * len(self._lows4) + 100 * len(self._lows6)


def pack(version: int, low: int, high: int, value: int) -> int:
    """One range as one number, so that sorting is quick: low first, of those the widest first.

    value: below VALUES_LIMIT, or NOT_LISTED for an exception from what surrounds it.
    """
    bits = BITS[version]
    return ((low << bits) | ((1 << bits) - 1 - high)) << _VALUE_BITS | value


def _lay_out(
    packed: list[int],
    bits: int,
    lows: array[int] | list[int],
    highs: array[int] | list[int],
    values: array[int],
) -> None:
    """Nested and overlapping ranges as a row of pieces beside each other; what starts later is more specific."""
    packed.sort()
    mask = (1 << bits) - 1
    above: list[tuple[int, int]] = []  # high and value of the ranges we are inside of
    at = 0

    def lay(until: int) -> None:
        """Pieces from `at` up to `until`, excluded."""
        nonlocal at
        while above and at < until:
            high, value = above[-1]
            end = min(high, until - 1)
            if end >= at:
                if value != NOT_LISTED:
                    if len(values) and values[-1] == value and highs[-1] == at - 1:
                        highs[-1] = end
                    else:
                        lows.append(at)
                        highs.append(end)
                        values.append(value)
                at = end + 1
            if high < until:
                above.pop()

    for number in packed:
        value = number & _VALUE_MASK
        high = mask - (number >> _VALUE_BITS & mask)
        low = number >> (_VALUE_BITS + bits)
        lay(low)
        at = max(at, low)
        above.append((high, value))
    lay(mask + 1)
    packed.clear()


class NameTable:
    """Which value a domain has: its own, or that of the nearest domain above it that takes those below along."""

    __slots__ = ("_below", "_exact")

    def __init__(self, exact: dict[str, int], below: dict[str, int]) -> None:
        """below: domains whose subdomains are listed. Names in lower case, without a final dot."""
        self._exact = exact
        self._below = below

    def find(self, name: str) -> int:
        """The number of its value; -1 when it is not listed. name: lower case, A-labels, without a final dot."""
        return self.find_entry(name)[0]

    def find_entry(self, name: str) -> tuple[int, str]:
        """Its value, and the name that lists it: its own, or one above it."""
        found, rest = self._exact.get(name, -1), name
        while found < 0 and self._below:
            _, dot, rest = rest.partition(".")
            if not dot:
                break
            found = self._below.get(rest, -1)
        return (-1, "") if found in (-1, NOT_LISTED) else (found, rest)

    def __len__(self) -> int:
        return len(self._exact) + len(self._below)

    @property
    def size_bytes(self) -> int:
        """Memory it takes, about."""
        return 180 * len(self)


def packed_of(ranges: Iterable[tuple[int, int, int, int]]) -> tuple[list[int], list[int]]:
    """(version, low, high, value) of each range, for AddressTable."""
    packed: dict[int, list[int]] = {4: [], 6: []}
    for version, low, high, value in ranges:
        packed[version].append(pack(version, low, high, value))
    return packed[4], packed[6]
