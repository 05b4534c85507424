"""What every target asks: does it hold, and does it hold for every way to cut the bytes."""

from __future__ import annotations

from collections.abc import Iterator


class Broken(AssertionError):
    """Something that must hold does not."""


def holds(condition: bool, otherwise: str) -> None:
    """Raises Broken with `otherwise`."""
    if not condition:
        raise Broken(otherwise)


def cuts(data: bytes) -> Iterator[tuple[bytes, ...]]:
    """Ways to cut: every octet alone, in threes, and in two at each of a few places; short inputs at each."""
    yield tuple(data[n : n + 1] for n in range(len(data)))
    yield tuple(data[n : n + 3] for n in range(0, len(data), 3))
    step = max(1, len(data) // 24)
    for at in range(1, len(data), step):
        yield data[:at], data[at:]
