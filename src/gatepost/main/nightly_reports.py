"""Counts of one day in a file for each worker; the first worker sends for all the night after (RFC 8460, RFC 9990)."""

from __future__ import annotations

import asyncio
import datetime
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Generic

from gatepost.adapters.state_file import StateFile
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Log
from gatepost.ports.world import Clock
from gatepost.records.days import FILE_LIMIT_BYTES, D, DayCounts, merged, restored, stored

SENT_AFTER_S: Final = 1800.0
"""After midnight (UTC), so that every worker has written its day."""
SPREAD_S: Final = 4 * 3600.0
"""Reports leave within so much time (RFC 8460 §4.1), so that nobody's host is met by everybody's at once."""
REPORTS_AT_ONCE: Final = 20
REPORT_LIMIT_S: Final = 180.0
"""All questions about one domain's report together: each domain chooses how many there are, and how slowly they end."""
DAYS_KEPT: Final = 3
"""Days whose report could not be sent are given up after so many."""


class NightlyReports(ABC, Generic[D]):
    """One worker's counts. kind: the word in events and metrics, "tls" or "dmarc"."""

    def __init__(
        self,
        counts: DayCounts[D],
        directory: Path,
        number: int,
        *,
        kind: str,
        clock: Clock,
        log: Log,
        sends: bool,
    ) -> None:
        """directory: shared by the workers. sends: this is the worker that sends."""
        self._results = counts
        self._directory = directory
        self._number = number
        self._kind = kind
        self._failed = f"{kind}-results-failed"
        self._clock = clock
        self._log = log
        self._sends = sends
        self._is_read = False
        self._is_over = False
        self._unwritten: list[D] = []
        """Days that are over."""

    @abstractmethod
    async def _report(self, domain: str, day: str, results: D) -> None:
        """Send one domain's report, or say why not. Raises nothing."""

    # -- once a minute --------------------------------------------------------------------------------

    async def tick(self) -> None:
        """Write what is new, and send what is due."""
        if not self._is_read:
            self._is_read = True
            await asyncio.to_thread(self._read)
        self._turn()
        while self._unwritten:
            await asyncio.to_thread(self._write_day, self._unwritten.pop(0))
        if self._results.has_news:
            self._results.has_news = False
            await asyncio.to_thread(self._write, self._results.today.day, stored(self._results.today))
        if self._sends:
            for day, results, files in await asyncio.to_thread(self._ended):
                await self._send_due(day, results, files)

    def stop(self) -> None:
        """Keep what was counted, and count no more: another one may go on with the file."""
        self._is_over = True
        if not self._is_read:
            self._is_read = True
            self._read()
        while self._unwritten:
            self._write_day(self._unwritten.pop(0))
        if self._results.has_news:
            self._write_day(self._results.today)

    def _turn(self) -> None:
        ended = self._results.turn(day_of(self._clock.now()))
        if ended is not None:
            self._unwritten.append(ended)

    def _write_day(self, day: D) -> None:
        self._write(day.day, stored(day))

    def _file(self, name: str) -> StateFile:
        return StateFile(self._directory / name, limit_bytes=FILE_LIMIT_BYTES)

    def _write(self, day: str, data: bytes) -> None:
        try:
            self._file(f"{day}.{self._number}.json").write(data)
        except WorldFault as fault:
            self._log.write("error", self._failed, why=fault.reason)

    def _read(self) -> None:
        """Today's own results from before a restart."""
        day = day_of(self._clock.now())
        found = self._restored(self._file(f"{day}.{self._number}.json"))
        if found is not None and found.day == day:
            self._turn()
            self._results.today.merge(found)

    def _restored(self, file: StateFile) -> D | None:
        try:
            data = file.read()
            return None if data is None else restored(data, self._results.kind)
        except (WorldFault, ValueError) as fault:
            self._log.write("error", self._failed, file=str(file.path), why=str(fault))
            return None

    # -- sending --------------------------------------------------------------------------------------

    def _ended(self) -> Iterator[tuple[str, D, list[StateFile]]]:
        """Days that are over and written by every worker."""
        now = self._clock.now()
        if now % 86400 < SENT_AFTER_S:
            return iter(())
        today = day_of(now)
        files: dict[str, list[StateFile]] = {}
        for path in sorted(self._directory.glob("????-??-??.*.json")):
            if path.name[:10] < today:
                files.setdefault(path.name[:10], []).append(self._file(path.name))
        oldest = day_of(now - DAYS_KEPT * 86400)
        ready = []
        for day, parts in files.items():
            found = [one for part in parts if (one := self._restored(part)) is not None and one.day == day]
            together = merged(found)
            if together is None or day < oldest:
                self._drop(parts)
            else:
                ready.append((day, together, parts))
        return iter(ready)

    async def _send_due(self, day: str, results: D, files: list[StateFile]) -> None:
        """Each domain at its moment of the night; what is left is written back."""
        passed_s = self._clock.now() % 86400 - SENT_AFTER_S
        is_yesterday = day == day_of(self._clock.now() - 86400)
        due = [d for d in results.domains if not is_yesterday or _moment_s(d) <= passed_s]
        if not due:
            return
        sent = set(due)
        left = self._results.kind()
        left.day, left.domains = day, {d: p for d, p in results.domains.items() if d not in sent}
        # First taken off the disk: a report that is sent twice is worse than one that a crash loses.
        await asyncio.to_thread(self._replace, files, left)
        places = asyncio.Semaphore(REPORTS_AT_ONCE)

        async def report(domain: str) -> None:
            async with places:
                await self._report_in_time(domain, day, results)

        await asyncio.gather(*(report(domain) for domain in due))

    async def _report_in_time(self, domain: str, day: str, results: D) -> None:
        """A domain whose servers are silent keeps nobody's report waiting but its own."""
        try:
            async with asyncio.timeout(REPORT_LIMIT_S):
                await self._report(domain, day, results)
        except TimeoutError:
            what = f"not made and sent within {REPORT_LIMIT_S:g} s"
            self._log.write("warning", f"{self._kind}-report-failed", domain=domain, what=what)

    def _replace(self, files: list[StateFile], left: D) -> None:
        self._drop(files[1:])
        if left.domains:
            try:
                files[0].write(stored(left))
            except WorldFault as fault:
                self._log.write("error", self._failed, why=fault.reason)
        else:
            self._drop(files[:1])

    def _drop(self, files: list[StateFile]) -> None:
        for file in files:
            try:
                file.remove()
            except WorldFault as fault:
                self._log.write("error", self._failed, why=fault.reason)


def day_of(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, tz=datetime.UTC).date().isoformat()


def _moment_s(domain: str) -> float:
    """When in the spread a domain's report leaves: always the same, so that a restart sends none twice."""
    return zlib.crc32(domain.encode()) / 2**32 * SPREAD_S
