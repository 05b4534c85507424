"""How what a domain publishes has changed: a look a day is compared with the last, and differences are kept."""

from __future__ import annotations

from typing import Final

import msgspec

from gatepost.control.dns_survey import Survey

CHANGES_LIMIT: Final = 200
"""Most changes kept of one domain; the oldest go."""
FILE_LIMIT_BYTES: Final = 4 << 20
_LINE_LIMIT_CHARS: Final = 2000
_LINES_LIMIT: Final = 100


class DnsChange(msgspec.Struct, frozen=True):
    """One kind of record that was another than before. at: seconds since the epoch."""

    at: float
    kind: str
    gone: tuple[str, ...]
    new: tuple[str, ...]


class DnsHistory(msgspec.Struct):
    """One domain. published: by kind, when it was looked at last (at)."""

    domain: str
    at: float = 0.0
    published: dict[str, list[str]] = msgspec.field(default_factory=dict)
    problems: list[str] = msgspec.field(default_factory=list)
    unknown: list[str] = msgspec.field(default_factory=list)
    changes: list[DnsChange] = msgspec.field(default_factory=list)

    def learn(self, found: Survey, now: float) -> tuple[list[DnsChange], list[str]]:
        """What has changed, and which problems are new. The first look changes nothing.

        A look that left something unknown compares nothing: a name server that is silent has not removed records.
        """
        self.unknown = [line[:_LINE_LIMIT_CHARS] for line in found.unknown[:_LINES_LIMIT]]
        if found.unknown:
            return [], []
        fresh = {
            kind: [line[:_LINE_LIMIT_CHARS] for line in lines[:_LINES_LIMIT]]
            for kind, lines in found.as_lines().items()
        }
        changes = self._changes(fresh, now) if self.at else []
        problems = list(dict.fromkeys(found.problems))[:_LINES_LIMIT]
        worse = [problem for problem in problems if problem not in self.problems]
        self.at, self.published, self.problems = now, fresh, problems
        self.changes = [*self.changes, *changes][-CHANGES_LIMIT:]
        return changes, worse

    def _changes(self, fresh: dict[str, list[str]], now: float) -> list[DnsChange]:
        found = []
        for kind in dict.fromkeys((*self.published, *fresh)):
            before, after = self.published.get(kind, []), fresh.get(kind, [])
            gone = tuple(line for line in before if line not in after)
            new = tuple(line for line in after if line not in before)
            if gone or new:
                found.append(DnsChange(now, kind, gone, new))
        return found


def stored(history: DnsHistory) -> bytes:
    """For the file."""
    return msgspec.json.encode(history)


def restored(data: bytes) -> DnsHistory:
    """Raises ValueError."""
    try:
        return msgspec.json.decode(data, type=DnsHistory)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
