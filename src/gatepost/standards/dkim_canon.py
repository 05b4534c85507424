"""The canonical forms of header fields and bodies that signatures are made over (RFC 6376 §3.4)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

_EMPTY_LINES_BACKWARDS: Final = re.compile(rb"(?:\n\r)*+")
_LINES_AT_ONCE: Final = 32 * 1024
_BLANKS: Final = b" \t"


def relaxed_field(raw: bytes) -> bytes:
    """One field as it stands in the mail -> "name:value" with its CR LF (§3.4.2)."""
    name, _, value = raw.partition(b":")
    return (
        name.strip(b" \t\r\n").lower() + b":" + _one_blank(value.replace(b"\r\n", b"")).strip(b" ") + b"\r\n"
    )


def _one_blank(text: bytes) -> bytes:
    """Runs of blanks become one space. Each pass halves the runs: whole-buffer work, no step a blank."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    # As replace(b"  ", b" "), which reads the text twice.
    while len(pieces := text.split(b"  ")) > 1:
        text = b" ".join(pieces)
    return text


class BodyCanon:
    """A body in canonical form, piece by piece to `take`; the cuts make no difference.

    Empty lines at the end are counted, not kept: memory is bounded by the largest piece.
    """

    __slots__ = ("_any", "_empty_lines", "_held", "_relaxed", "_take")

    def __init__(self, take: Callable[[bytes], object], *, relaxed: bool) -> None:
        self._take = take
        self._relaxed = relaxed
        self._held = b""
        """What can only be told when more is there: b"", b" ", b"\\r" or b" \\r"."""
        self._empty_lines = 0
        """Ends of lines that count only if something follows."""
        self._any = False

    def feed(self, data: bytes) -> None:
        """The next piece."""
        if self._held:
            data = self._held + data
        if self._relaxed:
            data = _one_blank(data)
        keep = len(data) - (1 if data.endswith(b"\r") else 0)
        if self._relaxed and data.endswith(b" ", 0, keep):
            keep -= 1
        data, self._held = data[:keep], data[keep:]
        if self._relaxed:
            data = data.replace(b" \r\n", b"\r\n")
        self._emit(data)

    def finish(self) -> None:
        """The end of the body: the CR LF that stands for all empty lines, or for none (§3.4.3, §3.4.4)."""
        if self._held.endswith(b"\r"):
            self._emit(self._held)
        if self._any or not self._relaxed:
            self._take(b"\r\n")

    def _emit(self, data: bytes) -> None:
        tail = data[len(data.rstrip(b"\r\n")) :]
        ends = _EMPTY_LINES_BACKWARDS.match(tail[::-1])
        lines = len(ends[0]) // 2 if ends else 0
        core = data[: len(data) - 2 * lines]
        if core:
            while self._empty_lines:
                some = min(self._empty_lines, _LINES_AT_ONCE)
                self._take(b"\r\n" * some)
                self._empty_lines -= some
            self._take(core)
            self._any = True
        self._empty_lines += lines


class BodyWish(NamedTuple):
    """Which hash of a body is asked for: signatures that ask for the same share it. length: l=."""

    relaxed: bool
    length: int | None = None


class BodyHash(NamedTuple):
    """The SHA-256 of a canonical body or of its beginning, and how long all of it is."""

    digest: bytes
    size_bytes: int


class BodyHasher:
    """The hashes of one body that several signatures ask for, in one pass."""

    __slots__ = ("_canons", "_cuts")

    def __init__(self, wishes: Iterable[BodyWish]) -> None:
        self._cuts = {wish: _Cut(wish.length) for wish in wishes}
        forms = {wish.relaxed for wish in self._cuts}
        self._canons = [
            BodyCanon(_taker([cut for w, cut in self._cuts.items() if w.relaxed is form]), relaxed=form)
            for form in sorted(forms)
        ]

    def feed(self, data: bytes) -> None:
        """The next piece of the body."""
        for canon in self._canons:
            canon.feed(data)

    def finish(self) -> dict[BodyWish, BodyHash]:
        """After the last piece."""
        for canon in self._canons:
            canon.finish()
        return {wish: BodyHash(cut.sha256.digest(), cut.size_bytes) for wish, cut in self._cuts.items()}


class _Cut:
    """Hashes the first octets of what it is given, and counts all of them."""

    __slots__ = ("limit", "sha256", "size_bytes")

    def __init__(self, length: int | None) -> None:
        self.limit: float | int = float("inf") if length is None else length
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def take(self, data: bytes) -> None:
        left = self.limit - self.size_bytes
        self.size_bytes += len(data)
        if left >= len(data):
            self.sha256.update(data)
        elif left > 0:
            self.sha256.update(data[: int(left)])


def _taker(cuts: list[_Cut]) -> Callable[[bytes], object]:
    if len(cuts) == 1:
        return cuts[0].take

    def take_all(data: bytes) -> None:
        for cut in cuts:
            cut.take(data)

    return take_all


class SignedFields:
    """The fields of one header section, as signatures pick them: from the bottom up (§5.4.2)."""

    __slots__ = ("_by_name", "_relaxed")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """fields: (name in lower case, the field as it stands with its CR LF), from the top down."""
        self._by_name: dict[bytes, list[bytes]] = {}
        for name, raw in fields:
            self._by_name.setdefault(name, []).append(raw)
        self._relaxed: dict[bytes, list[bytes]] = {}

    def count(self, name: bytes) -> int:
        """How many there are of this name (lower case)."""
        return len(self._by_name.get(name, ()))

    def picked(self, names: Iterable[bytes], *, relaxed: bool) -> bytes:
        """What h= names, in its order; a name with no field left adds nothing."""
        used: dict[bytes, int] = {}
        out = []
        for name in names:
            number = used[name] = used.get(name, 0) + 1
            fields = self._forms(name) if relaxed else self._by_name.get(name, [])
            if number <= len(fields):
                out.append(fields[-number])
        return b"".join(out)

    def without(self, name: bytes, raw: bytes) -> SignedFields:
        """The same, but for one field of this name: a signature does not sign itself (RFC 6376 §3.5)."""
        others = list(self._by_name.get(name, ()))
        if raw not in others:
            return self
        others.remove(raw)
        rest = SignedFields(())
        rest._by_name = {**self._by_name, name: others}
        return rest

    def _forms(self, name: bytes) -> list[bytes]:
        found = self._relaxed.get(name)
        if found is None:
            found = self._relaxed[name] = [relaxed_field(raw) for raw in self._by_name.get(name, ())]
        return found


_SIGNATURE_VALUE: Final = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")


def unsigned_form(raw: bytes, *, relaxed: bool) -> bytes:
    """The signature's own field as it is signed: b= emptied, no CR LF at the end (§3.7)."""
    name, colon, value = raw.partition(b":")
    empty = name + colon + _SIGNATURE_VALUE.sub(rb"\1", value.removesuffix(b"\r\n"), count=1)
    return relaxed_field(empty).removesuffix(b"\r\n") if relaxed else empty
