"""A feed's tables in a file of their own: built by one process, mapped by all, so that each list is in memory once."""

from __future__ import annotations

import mmap
import sys
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from gatepost.adapters.replacing import replace_file
from gatepost.model.address_table import AddressTable, NameTable, Numbers
from gatepost.protocol.list_formats import Listing, ParsedList

MAGIC: Final = b"gatepost list table 1\n"
HEAD_LIMIT_BYTES: Final = 64 << 20
_LENGTH_BYTES: Final = 8
_ALIGNED: Final = 8


class _Head(msgspec.Struct, frozen=True):
    source: str
    byte_order: str
    listings: list[tuple[str, str]]
    entries: int
    bad_lines: list[tuple[int, str]]
    bad_count: int
    arrays: list[tuple[str, int]]
    """Name and octets of each, in the order of the file."""
    kind: str


_KINDS: Final[dict[str, type[AddressTable | NameTable]]] = {
    "AddressTable": AddressTable,
    "NameTable": NameTable,
}
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Head).decode


def write_tables(path: Path, parsed: ParsedList, source: str) -> None:
    """Put the file in place, whole or not at all. source: what it was made of, and how. Raises OSError."""
    table = parsed.addresses if parsed.addresses is not None else parsed.names
    assert table is not None, "a list has addresses or names"
    arrays: dict[str, bytes] = {name: getattr(table, name).tobytes() for name in table.CODES}
    head = _encode(
        _Head(
            source=source,
            byte_order=sys.byteorder,
            listings=[(listing.code, listing.text) for listing in parsed.listings],
            entries=parsed.entries,
            bad_lines=list(parsed.bad_lines),
            bad_count=parsed.bad_count,
            arrays=[(name, len(octets)) for name, octets in arrays.items()],
            kind=type(table).__name__,
        )
    )
    pieces = [MAGIC, len(head).to_bytes(_LENGTH_BYTES, "little"), head]
    at = sum(map(len, pieces))
    for octets in arrays.values():
        gap = -at % _ALIGNED
        pieces += [bytes(gap), octets]
        at += gap + len(octets)
    replace_file(path, pieces)


def read_tables(path: Path, source: str) -> ParsedList | None:
    """The tables, mapped; None when there is no such file, or it was made of something else, or is not whole."""
    try:
        with open(path, "rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    start = len(MAGIC) + _LENGTH_BYTES
    length = int.from_bytes(mapped[len(MAGIC) : start], "little")
    if bytes(mapped[: len(MAGIC)]) != MAGIC or length > min(HEAD_LIMIT_BYTES, len(mapped) - start):
        return None
    try:
        head = _decode(mapped[start : start + length])
    except msgspec.MsgspecError:
        return None
    kind = _KINDS.get(head.kind)
    if head.source != source or head.byte_order != sys.byteorder or kind is None:
        return None
    arrays = _arrays_of(mapped, start + length, head, kind.CODES)
    if arrays is None:
        return None
    table = kind(arrays)
    return ParsedList(
        listings=tuple(Listing(code, text) for code, text in head.listings),
        addresses=table if isinstance(table, AddressTable) else None,
        names=table if isinstance(table, NameTable) else None,
        entries=head.entries,
        bad_lines=tuple(head.bad_lines),
        bad_count=head.bad_count,
    )


def _arrays_of(
    mapped: memoryview, at: int, head: _Head, codes: Mapping[str, str]
) -> dict[str, Numbers] | None:
    """None when they are others, or the file ends before they do."""
    if [name for name, _ in head.arrays] != list(codes):
        return None
    arrays: dict[str, Numbers] = {}
    for name, size_bytes in head.arrays:
        at += -at % _ALIGNED
        octets = mapped[at : at + size_bytes]
        if len(octets) != size_bytes or size_bytes % array(codes[name]).itemsize:
            return None
        arrays[name] = octets.cast(codes[name]) if size_bytes else array(codes[name])  # type: ignore[call-overload]
        at += size_bytes
    return arrays
