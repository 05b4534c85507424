"""How much records and dossiers take by the hour, so that a store can let the oldest go when they are too many."""

from __future__ import annotations

from typing import Final

import apsw
import msgspec

from gatepost.adapters.sqlite_rows import record_number

HOUR_S: Final = 3600
SETTLED_S: Final = 120.0
"""What is younger is measured later: a record may be written a while after the time it bears."""
STEP_S: Final = 10.0
"""Of so much time the records are measured in one transaction; of more where there are few."""
FEW_BYTES: Final = 1 << 20
ROW_BYTES: Final = 200
"""Of a row besides its texts: other columns, its place in the indexes."""
_NOTE: Final = "kept-sizes"
_RECORDS: Final = (
    "SELECT count(*), coalesce(sum(length(data) + length(recipients) + length(sender)), 0) FROM record "
    "WHERE number >= ? AND number < ?"
)
_DOSSIERS: Final = (
    "SELECT count(*), coalesce(sum(length(data)), 0) FROM dossier WHERE mail_id >= ? AND mail_id < ?"
)


class _Noted(msgspec.Struct):
    until_at: float = 0.0
    hours: dict[int, int] = msgspec.field(default_factory=dict)


class KeptSizes:
    """One store's. What was there before it was measured for the first time counts for nothing."""

    def __init__(self) -> None:
        self._noted: _Noted | None = None
        self._step_s = STEP_S

    @property
    def octets(self) -> int:
        """Of everything that was measured and not let go."""
        return sum(self._noted.hours.values()) if self._noted is not None else 0

    def measure(self, database: apsw.Connection, now: float) -> bool:
        """Look at a little more of what has come; True when there is more to look at. now: seconds since the epoch."""
        noted = self._noted
        if noted is None:
            noted = self._noted = _read(database)
        until_at = now - SETTLED_S
        if not noted.until_at:  # for the first time
            noted.until_at = until_at
        if noted.until_at >= until_at:
            return False
        since_at, hour = noted.until_at, int(noted.until_at) // HOUR_S
        noted.until_at = min(since_at + self._step_s, (hour + 1.0) * HOUR_S, until_at)
        octets = _octets(database, since_at, noted.until_at)
        self._step_s = min(4 * self._step_s, HOUR_S) if octets < FEW_BYTES else STEP_S
        if octets:
            noted.hours[hour] = noted.hours.get(hour, 0) + octets
        is_behind = noted.until_at < until_at
        if not is_behind:
            database.execute(
                "INSERT OR REPLACE INTO note (name, value) VALUES (?, ?)",
                (_NOTE, msgspec.json.encode(noted).decode()),
            )
        return is_behind

    def cut_at(self, limit_bytes: int, oldest_at: float) -> float:
        """Before which time everything goes; the latest hour stays. limit_bytes: 0: no limit.

        oldest_at: what is older goes by its age.
        """
        hours = self._noted.hours if self._noted is not None else {}
        for hour in [hour for hour in hours if (hour + 1) * HOUR_S <= oldest_at]:
            del hours[hour]
        cut_at, left = 0.0, self.octets
        for hour in sorted(hours)[:-1]:
            if not limit_bytes or left <= limit_bytes:
                break
            left -= hours.pop(hour)
            cut_at = float((hour + 1) * HOUR_S)
        return cut_at


def _read(database: apsw.Connection) -> _Noted:
    row = database.execute("SELECT value FROM note WHERE name = ?", (_NOTE,)).fetchone()
    try:
        return msgspec.json.decode(str(row[0]), type=_Noted) if row is not None else _Noted()
    except (msgspec.DecodeError, RecursionError):
        return _Noted()


def _octets(database: apsw.Connection, since_at: float, until_at: float) -> int:
    total = 0
    for kind in ("agent", "track"):
        between = record_number(kind, since_at), record_number(kind, until_at)
        count, octets = database.execute(_RECORDS, between).fetchone() or (0, 0)
        total += count * ROW_BYTES + octets
    ids = int(since_at * 1000) << 20, int(until_at * 1000) << 20
    count, octets = database.execute(_DOSSIERS, ids).fetchone() or (0, 0)
    return int(total + count * ROW_BYTES + octets)
