"""The name of a mail in our hands: sorts by time, unique over workers, short enough to read aloud."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_VALUES: Final = {c: n for n, c in enumerate(_ALPHABET)}
_DIGITS: Final = 13
WORKER_LIMIT: Final = 64
_SEQUENCE_LIMIT: Final = 1 << 14


class MailIds:
    """Makes mail ids for one worker: (milliseconds << 20) | (worker << 14) | sequence.

    Never repeats and never goes back, even when the clock does: `after` is the
    largest id the worker's store has seen.
    """

    def __init__(self, worker: int, *, after: int = 0) -> None:
        if not 0 <= worker < WORKER_LIMIT:
            raise ValueError(f"worker numbers are 0 to {WORKER_LIMIT - 1}")
        self._worker = worker
        self._last_ms = after >> 20
        self._sequence = (after & (_SEQUENCE_LIMIT - 1)) + 1 if after else 0

    def next(self, now: float) -> int:
        """now: seconds since the epoch. Returns a positive 62-bit integer."""
        ms = int(now * 1000)
        if ms > self._last_ms:
            self._last_ms, self._sequence = ms, 0
        elif self._sequence >= _SEQUENCE_LIMIT:
            self._last_ms, self._sequence = self._last_ms + 1, 0
        made = self._last_ms << 20 | self._worker << 14 | self._sequence
        self._sequence += 1
        return made


@lru_cache(maxsize=1024)
def mail_id_text(mail_id: int) -> str:
    """13 characters, e.g. "1k3v8q0zt4w00". Kept for a while: reply, trace and records of one mail name it."""
    return (
        _ALPHABET[mail_id >> 60 & 31]
        + _PAIRS[mail_id >> 50 & 1023]
        + _PAIRS[mail_id >> 40 & 1023]
        + _PAIRS[mail_id >> 30 & 1023]
        + _PAIRS[mail_id >> 20 & 1023]
        + _PAIRS[mail_id >> 10 & 1023]
        + _PAIRS[mail_id & 1023]
    )


def mail_id_number(text: str) -> int:
    """The other way. Raises ValueError when the text is not a mail id."""
    folded = text.strip().lower()
    if len(folded) != _DIGITS or any(c not in _VALUES for c in folded):
        raise ValueError(f"{text!r} is not a mail id: 13 letters and digits, as gatepost prints them")
    number = 0
    for character in folded:
        number = number << 5 | _VALUES[character]
    if number >= 1 << 63:
        raise ValueError(f"{text!r} is not a mail id: it is too large")
    return number


def worker_of(mail_id: int) -> int:
    """Which worker's store holds it."""
    return mail_id >> 14 & (WORKER_LIMIT - 1)
