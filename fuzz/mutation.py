"""Inputs from a seed: pieces of known inputs and words of the format, put together wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

SIZE_LIMIT_BYTES: Final = 4096
CHANGES_LIMIT: Final = 8
_ODD: Final = (0x00, 0x0A, 0x0D, 0x20, 0x22, 0x28, 0x2E, 0x3A, 0x3C, 0x40, 0x5C, 0x7F, 0x80, 0xC3, 0xFF)


def mutants(seeds: Sequence[bytes], words: Sequence[bytes], *, seed: int) -> Iterator[bytes]:
    """Inputs without end, the same for the same seed; each at most SIZE_LIMIT_BYTES."""
    chance = Random(seed)
    yield from seeds
    while True:
        made = bytearray(chance.choice(seeds) if seeds else b"")
        for _ in range(chance.randint(1, CHANGES_LIMIT)):
            _change(made, seeds, words, chance)
        yield bytes(made[:SIZE_LIMIT_BYTES])


def _change(made: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], chance: Random) -> None:
    at = chance.randint(0, len(made))
    match chance.randint(0, 6):
        case 0 if words:
            made[at:at] = chance.choice(words)
        case 1:
            made[at : at + 1] = bytes((chance.choice(_ODD),))
        case 2:
            del made[at : at + chance.randint(1, 8)]
        case 3:
            piece = made[at : at + chance.randint(1, 32)]
            made[at:at] = piece * chance.randint(1, 4)
        case 4 if seeds:
            other = chance.choice(seeds)
            first = chance.randint(0, len(other))
            made[at:at] = other[first : first + chance.randint(1, 64)]
        case 5 if at < len(made):
            made[at] ^= 1 << chance.randint(0, 7)
        case _:
            made[at:at] = chance.randbytes(chance.randint(1, 4))
