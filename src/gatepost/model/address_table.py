"""Lists that do not change: millions of ranges or names in sorted arrays, which several processes can share."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from gatepost.model.prefix_index import BITS

VALUES_LIMIT: Final = 65_535
"""Different values in one table; further ones are known as the first."""
NOT_LISTED: Final = VALUES_LIMIT
_VALUE_BITS: Final = 16
_VALUE_MASK: Final = (1 << _VALUE_BITS) - 1
_HALF: Final = (1 << 64) - 1
_STARTS_FROM: Final = 4096
"""Pieces of a table from which it is worth knowing where each /16 starts."""

Numbers: TypeAlias = "array[int] | memoryview"
"""An array, or the same octets of a file that is mapped."""


class AddressTable:
    """Which value an address has: that of the most specific range that holds it.

    Rows of pieces beside each other, 10 octets a piece of IPv4 and 34 of IPv6.
    """

    CODES: Final = {
        "lows4": "I",
        "highs4": "I",
        "values4": "H",
        "starts4": "I",
        "tops6": "Q",
        "bottoms6": "Q",
        "high_tops6": "Q",
        "high_bottoms6": "Q",
        "values6": "H",
    }
    """Its arrays by name, and what array.array calls their type."""

    __slots__ = (*CODES, "size_bytes")

    def __init__(self, arrays: Mapping[str, Numbers]) -> None:
        """What laid_out() made, or the same read back."""
        self.lows4, self.highs4, self.values4 = arrays["lows4"], arrays["highs4"], arrays["values4"]
        self.starts4 = arrays["starts4"]
        self.tops6, self.bottoms6 = arrays["tops6"], arrays["bottoms6"]
        self.high_tops6, self.high_bottoms6 = arrays["high_tops6"], arrays["high_bottoms6"]
        self.values6 = arrays["values6"]
        self.size_bytes = size_bytes_of(arrays)

    @classmethod
    def of(cls, packed4: list[int], packed6: list[int]) -> AddressTable:
        """Of what pack() made; the lists are sorted and emptied."""
        return cls(laid_out(packed4, packed6))

    def find(self, version: int, number: int) -> int:
        """The number of its value; -1 when it is not listed."""
        if version == 4:
            starts = self.starts4
            if starts:
                top = number >> 16
                place = bisect_right(self.lows4, number, starts[top], starts[top + 1]) - 1
            else:
                place = bisect_right(self.lows4, number) - 1
            return self.values4[place] if place >= 0 and number <= self.highs4[place] else -1
        return self._find6(number)

    def _find6(self, number: int) -> int:
        top, bottom, tops = number >> 64, number & _HALF, self.tops6
        until = bisect_right(tops, top)
        since = bisect_left(tops, top, 0, until)
        place = bisect_right(self.bottoms6, bottom, since, until) - 1
        if place < 0 or (top, bottom) > (self.high_tops6[place], self.high_bottoms6[place]):
            return -1
        return self.values6[place]

    def __len__(self) -> int:
        return len(self.lows4) + len(self.tops6)


def size_bytes_of(arrays: Mapping[str, Numbers]) -> int:
    """Memory that arrays take."""
    return sum(memoryview(one).nbytes for one in arrays.values())


def laid_out(packed4: list[int], packed6: list[int]) -> dict[str, Numbers]:
    """The arrays of an AddressTable, of what pack() made; the lists are sorted and emptied."""
    lows4, highs4, values4 = array("I"), array("I"), array("H")
    _lay_out(packed4, 32, lows4, highs4, values4)
    lows6: list[int] = []
    highs6: list[int] = []
    values6 = array("H")
    _lay_out(packed6, 128, lows6, highs6, values6)
    starts4 = array("I")
    if len(lows4) >= _STARTS_FROM:
        starts4 = array("I", [bisect_left(lows4, top << 16) for top in range(1 << 16)])
        starts4.append(len(lows4))
    return {
        "lows4": lows4,
        "highs4": highs4,
        "values4": values4,
        "starts4": starts4,
        "tops6": array("Q", [low >> 64 for low in lows6]),
        "bottoms6": array("Q", [low & _HALF for low in lows6]),
        "high_tops6": array("Q", [high >> 64 for high in highs6]),
        "high_bottoms6": array("Q", [high & _HALF for high in highs6]),
        "values6": values6,
    }


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
    """Which value a domain has: its own, or that of the nearest domain above it that takes those below along.

    Names are kept as 64 bits of their BLAKE2b hash, 10 octets each.
    """

    CODES: Final = {"exact": "Q", "exact_values": "H", "below": "Q", "below_values": "H"}
    """Its arrays by name, and what array.array calls their type."""

    __slots__ = (*CODES, "size_bytes")

    def __init__(self, arrays: Mapping[str, Numbers]) -> None:
        """What names_laid_out() made, or the same read back."""
        self.exact, self.exact_values = arrays["exact"], arrays["exact_values"]
        self.below, self.below_values = arrays["below"], arrays["below_values"]
        self.size_bytes = size_bytes_of(arrays)

    @classmethod
    def of(cls, exact: dict[str, int], below: dict[str, int]) -> NameTable:
        """below: domains whose subdomains are listed. Names in lower case, without a final dot."""
        return cls(names_laid_out(exact, below))

    def find(self, name: str) -> int:
        """The number of its value; -1 when it is not listed. name: lower case, A-labels, without a final dot."""
        return self.find_entry(name)[0]

    def find_entry(self, name: str) -> tuple[int, str]:
        """Its value, and the name that lists it: its own, or one above it."""
        found, rest = _value_of(self.exact, self.exact_values, name), name
        while found < 0 and self.below:
            _, dot, rest = rest.partition(".")
            if not dot:
                break
            found = _value_of(self.below, self.below_values, rest)
        return (-1, "") if found in (-1, NOT_LISTED) else (found, rest)

    def __len__(self) -> int:
        return len(self.exact) + len(self.below)


def names_laid_out(exact: Mapping[str, int], below: Mapping[str, int]) -> dict[str, Numbers]:
    """The arrays of a NameTable."""
    arrays: dict[str, Numbers] = {}
    for kind, entries in (("exact", exact), ("below", below)):
        rows = sorted((_hash_of(name) << _VALUE_BITS) | value for name, value in entries.items())
        arrays[kind] = array("Q", [row >> _VALUE_BITS for row in rows])
        arrays[f"{kind}_values"] = array("H", [row & _VALUE_MASK for row in rows])
    return arrays


def _value_of(hashes: Numbers, values: Numbers, name: str) -> int:
    wanted = _hash_of(name)
    place = bisect_left(hashes, wanted)
    return values[place] if place < len(hashes) and hashes[place] == wanted else -1


def _hash_of(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("ascii", "replace"), digest_size=8).digest(), "little")


def packed_of(ranges: Iterable[tuple[int, int, int, int]]) -> tuple[list[int], list[int]]:
    """(version, low, high, value) of each range, for AddressTable.of()."""
    packed: dict[int, list[int]] = {4: [], 6: []}
    for version, low, high, value in ranges:
        packed[version].append(pack(version, low, high, value))
    return packed[4], packed[6]
