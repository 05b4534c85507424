"""Is a reader linear? The same pump at two sizes: eight times the octets may not cost sixty-four times the time."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from random import Random
from typing import Final

from fuzz.targets import Target

SMALL_BYTES: Final = 8 << 10
FACTOR: Final = 8
QUADRATIC: Final = 36.0
"""Times the small one's cost: linear is 8, quadratic 64."""
NOTICED_S: Final = 0.5
"""Cheaper than this is not worth a word, whatever the ratio: clocks are coarse and machines busy."""
PAIRS_LIMIT: Final = 20
MEMORY_FACTOR: Final = 400
MEMORY_FLOOR_BYTES: Final = 8 << 20


def costs(target: Target) -> str:
    """What is not linear, "" when everything is.

    Each word of the target is pumped, alone and behind each seed; and some words before others, such as openings
    before closings.
    """
    for word in target.words:
        for seed in (b"", *target.seeds()[:3]):
            wrong = _cost(target, seed, word)
            if wrong:
                return wrong
        wrong = _memory(target, _pumped(b"", (word,), SMALL_BYTES * FACTOR))
        if wrong:
            return wrong
    for first, second in _pairs(target.words):
        wrong = _cost(target, b"", first, second)
        if wrong:
            return wrong
    return ""


def _pairs(words: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """The same for the same words."""
    pairs = [(first, second) for first in words for second in words if first != second]
    return Random(len(words)).sample(pairs, min(PAIRS_LIMIT, len(pairs)))


def _cost(target: Target, seed: bytes, *words: bytes) -> str:
    large = _pumped(seed, words, SMALL_BYTES * FACTOR)
    large_s = _seconds(target, large)
    if large_s < NOTICED_S:
        return ""
    small_s = min(_seconds(target, _pumped(seed, words, SMALL_BYTES)) for _ in range(3))
    large_s = min(large_s, _seconds(target, large))
    if large_s < NOTICED_S or large_s < QUADRATIC * max(small_s, 1e-4):
        return ""
    return (
        f"{words!r} behind {seed[:40]!r}: {SMALL_BYTES} octets {small_s:.3f} s, {len(large)} {large_s:.3f} s"
    )


def _memory(target: Target, data: bytes) -> str:
    tracemalloc.start()
    try:
        target.run(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if peak > MEMORY_FLOOR_BYTES + MEMORY_FACTOR * len(data):
        return f"{data[:40]!r}...: {len(data)} octets need {peak} octets of memory"
    return ""


def _pumped(seed: bytes, words: Sequence[bytes], size_bytes: int) -> bytes:
    return seed + b"".join(word * (size_bytes // len(words) // len(word)) for word in words)


def _seconds(target: Target, data: bytes) -> float:
    before = time.process_time()
    target.run(data)
    return time.process_time() - before
