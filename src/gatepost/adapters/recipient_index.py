"""The local copy of a directory: keyed hashes in a sorted file, mapped into memory and searched by halves.

An intruder who reads the file learns how many recipients there are and not who they are: without the key nothing
can be tried against it. Each record is 16 octets of keyed BLAKE2b of the address (or of "@domain") and one of flags.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from gatepost.adapters.replacing import replace_file
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.ports.directory import NOT_LISTED, Entry

DIGEST_BYTES: Final = 16
RECORD_BYTES: Final = DIGEST_BYTES + 1
KEY_BYTES: Final = 32
NEEDS_AUTHENTICATION: Final = 1
_MAGIC: Final = b"gatepost-recipients 1\n"
_HEADER_BYTES: Final = 512
"""Magic, JSON and blanks: the records begin at a fixed place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexHeader:
    """What the file says of itself. synced_at: seconds since the epoch."""

    synced_at: float
    entries: int
    key_id: str
    digest: str


class RecipientIndex:
    """One index, mapped. Closed when nobody has it any more."""

    def __init__(self, name: str, header: IndexHeader, records: mmap.mmap | bytes, key: bytes) -> None:
        self.name = name
        self.header = header
        self._records = records
        self._key = key
        self._listed = Entry(True, source=name)
        self._internal = Entry(True, True, source=name)

    def look_up(self, recipient: Address) -> Entry:
        """Listed itself, without its +tag, or by its domain."""
        if (flags := self._find(recipient.key)) is None and "+" in recipient.local:
            owner = recipient.local.partition("+")[0]
            flags = self._find(Address(owner, recipient.domain).key) if owner else None
        if flags is None and (flags := self._find(f"@{recipient.domain}")) is None:
            return NOT_LISTED
        return self._internal if flags & NEEDS_AUTHENTICATION else self._listed

    def digests(self) -> set[bytes]:
        """All of them, without flags."""
        records, end = self._records, _HEADER_BYTES + self.header.entries * RECORD_BYTES
        return {records[at : at + DIGEST_BYTES] for at in range(_HEADER_BYTES, end, RECORD_BYTES)}

    def _find(self, text: str) -> int | None:
        wanted, records = digest_of(text, self._key), self._records
        low, high = 0, self.header.entries
        while low < high:
            middle = (low + high) // 2
            at = _HEADER_BYTES + middle * RECORD_BYTES
            found = records[at : at + DIGEST_BYTES]
            if found == wanted:
                return records[at + DIGEST_BYTES]
            if found < wanted:
                low = middle + 1
            else:
                high = middle
        return None


def digest_of(text: str, key: bytes) -> bytes:
    """An Address.key, or "@domain", as the index knows it."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES, key=key).digest()


def read_key(path: str, *, make: bool = False) -> bytes:
    """The key of all indexes. make: write one when there is none yet, readable by us alone.

    Raises WorldFault when it cannot be read, is open to others, or is not there and not to be made.
    """
    try:
        with open(path, "rb") as file:
            mode, key = os.fstat(file.fileno()).st_mode, file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        if not make:
            raise WorldFault("there is no key of recipient indexes yet", path=path) from None
        return _made_key(path)
    except OSError as error:
        raise WorldFault(f"cannot read {path}: {error.strerror}") from error
    if mode & (stat.S_IRWXO | stat.S_IRWXG):
        raise WorldFault(f"{path} is open to others: chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise WorldFault(f"{path} is damaged: remove it and the indexes beside it, and sync again")
    return key


def _made_key(path: str) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    try:
        replace_file(path, [key])
    except OSError as error:
        raise WorldFault(f"cannot write {path}: {error.strerror}") from error
    return key


def write_index(path: str, found: dict[bytes, int], key: bytes, *, now: float) -> IndexHeader:
    """Sort and write; the old file or the new one is there, whatever happens. Raises WorldFault."""
    records = b"".join(digest + bytes((found[digest],)) for digest in _in_order(found))
    header = IndexHeader(
        synced_at=now, entries=len(found), key_id=_key_id(key), digest=blake2b(records, key=key).hexdigest()
    )
    said = json.dumps({name: getattr(header, name) for name in IndexHeader.__slots__})
    try:
        replace_file(path, [_MAGIC, said.encode().ljust(_HEADER_BYTES - len(_MAGIC)), records])
    except OSError as error:
        raise WorldFault(f"cannot write {path}: {error.strerror}") from error
    return header


def _in_order(found: dict[bytes, int]) -> Iterator[bytes]:
    """Sorted in pieces: one sort of a million would stop every other thread of the worker for a second."""
    pieces: list[list[bytes]] = [[] for _ in range(256)]
    for digest in found:
        pieces[digest[0]].append(digest)
    for piece in pieces:
        piece.sort()
        yield from piece


def open_index(name: str, path: str, key: bytes) -> RecipientIndex:
    """Map a file and check that it is whole and ours. Raises WorldFault; FileNotFoundError when there is none."""
    try:
        with open(path, "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            header = _header(path, file.read(_HEADER_BYTES))
            if size_bytes != _HEADER_BYTES + header.entries * RECORD_BYTES:
                raise WorldFault(f"{path} is damaged: remove it, and it is made again")
            if header.key_id != _key_id(key):
                raise WorldFault(f"{path} was made with another key: remove it, and it is made again")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise WorldFault(f"cannot read {path}: {error}") from error
    with memoryview(mapped) as view, view[_HEADER_BYTES:] as records:
        whole = blake2b(records, key=key).hexdigest() == header.digest
    if not whole:
        raise WorldFault(f"{path} is damaged: remove it, and it is made again")
    return RecipientIndex(name, header, mapped, key)


def _header(path: str, data: bytes) -> IndexHeader:
    if not data.startswith(_MAGIC):
        raise WorldFault(f"{path} is no index of recipients")
    try:
        said = json.loads(data[len(_MAGIC) :])
        return IndexHeader(
            synced_at=float(said["synced_at"]),
            entries=int(said["entries"]),
            key_id=str(said["key_id"]),
            digest=str(said["digest"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WorldFault(f"{path} is damaged: remove it, and it is made again") from error


def _key_id(key: bytes) -> str:
    return blake2b(b"which key", digest_size=8, key=key).hexdigest()
