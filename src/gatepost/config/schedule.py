"""When a send connector may send: hours of the week, in UTC."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 1440
WEEK_MIN: Final = 7 * DAY_MIN
_EPOCH_MIN: Final = 3 * DAY_MIN  # 1970-01-01 was a Thursday; weeks begin on Monday here
_HOURS: Final = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Spans of minutes since Monday 00:00 UTC, the end outside; one may reach into the next week."""

    spans: tuple[tuple[int, int], ...]

    def opens_at(self, now: float) -> float:
        """`now` while sending is allowed, else when that begins; infinity when never. Seconds since the epoch."""
        minute = (now / 60 + _EPOCH_MIN) % WEEK_MIN
        if any(start <= m < end for start, end in self.spans for m in (minute, minute + WEEK_MIN)):
            return now
        return now + 60 * min(((start - minute) % WEEK_MIN for start, _ in self.spans), default=math.inf)


ALWAYS: Final = Schedule(((0, WEEK_MIN),))
NEVER: Final = Schedule(())


@lru_cache(maxsize=1000)
def parse_schedule(texts: tuple[str, ...]) -> Schedule:
    """("mon-fri 18:00-06:00", "sat,sun") -> its spans; ("always",) and ("never",) stand alone. Raises ValueError."""
    if texts == ("always",):
        return ALWAYS
    if texts == ("never",):
        return NEVER
    if not texts:
        raise ValueError('is empty; the words for that are "always" and "never"')
    return Schedule(tuple(span for text in texts for span in _spans(text)))


def _spans(text: str) -> list[tuple[int, int]]:
    words = text.lower().split()
    if words in (["always"], ["never"]):
        raise ValueError(f"{text!r} stands alone")
    if not words:
        raise _not_hours(text)
    days: Sequence[int] = range(7)
    start_min, end_min = 0, DAY_MIN
    if len(words) == 2 or not _HOURS.fullmatch(words[0]):
        chosen = _days(words[0])
        if chosen is None:
            raise _not_hours(text)
        days, words = chosen, words[1:]
    if words:
        match = _HOURS.fullmatch(words[0])
        if len(words) > 1 or match is None:
            raise _not_hours(text)
        start_min, end_min = _minutes(match[1], match[2], text), _minutes(match[3], match[4], text)
        if start_min == DAY_MIN:
            raise _not_hours(text)
        if end_min <= start_min:
            end_min += DAY_MIN
    return [(day * DAY_MIN + start_min, day * DAY_MIN + end_min) for day in days]


def _days(word: str) -> Sequence[int] | None:
    found: list[int] = []
    for part in word.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            return None
        start, end = DAYS.index(first), DAYS.index(last or first)
        found += [n % 7 for n in range(start, (end if end >= start else end + 7) + 1)]
    return sorted(set(found))


def _minutes(hours: str, minutes: str, text: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > DAY_MIN:
        raise _not_hours(text)
    return total


def _not_hours(text: str) -> ValueError:
    return ValueError(f'{text!r} is not a time such as "22:00-06:00", "sat,sun" or "mon-fri 18:00-24:00"')
