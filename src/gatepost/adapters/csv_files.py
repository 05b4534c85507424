"""Log files of CSV lines: written by a thread, a new file a day and size, the oldest removed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from gatepost.adapters.line_thread import LineThread
from gatepost.adapters.log import open_log_file
from gatepost.model.fault import WorldFault

WAITING_LINES_LIMIT: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How much is kept: octets of a file, octets of all files of a prefix, seconds (0: for ever)."""

    file_bytes: int
    directory_bytes: int
    age_s: float


class CsvFiles:
    """Files PREFIXyyyymmdd-n.log in a directory, mode 0640. One writer a directory and prefix.

    header: what each file begins with, from the time in seconds since the epoch. Lines the disk does not take
    are dropped and counted: a full disk stops no mail.
    """

    def __init__(
        self,
        directory: Path,
        prefix: str,
        keep: Keep,
        *,
        header: Callable[[float], str],
        now: Callable[[], float],
    ) -> None:
        """Raises WorldFault when the directory cannot be made."""
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise WorldFault(f"{directory} cannot be made: {error.strerror}", file=str(directory)) from error
        self._directory, self._prefix, self._keep = directory, prefix, keep
        self._header, self._now = header, now
        self._file: BinaryIO | None = None
        self._day, self._size_bytes = "", 0
        self._thread = LineThread(prefix, self._pour, lines_limit=WAITING_LINES_LIMIT, shut=self._shut)

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._thread.dropped

    def write(self, line: str) -> None:
        """One line with its end. Never blocks, never raises."""
        self._thread.add(line.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Write what waits (at most 2 seconds), then stop."""
        self._thread.close()

    def _pour(self, lines: Sequence[bytes]) -> None:
        try:
            self._put(b"".join(lines))
        except OSError:
            self._shut()
            raise

    def _put(self, octets: bytes) -> None:
        day = datetime.fromtimestamp(self._now(), tz=UTC).strftime("%Y%m%d")
        if self._file is None or day != self._day or self._size_bytes >= self._keep.file_bytes:
            self._shut()
            self._file = self._next_file(day)
            self._remove_old()
        self._file.write(octets)
        self._size_bytes += len(octets)

    def _next_file(self, day: str) -> BinaryIO:
        numbers = [n for d, n, _ in self._files() if d == day]
        path = self._directory / f"{self._prefix}{day}-{max(numbers, default=0) + 1}.log"
        file = open_log_file(str(path))
        header = self._header(self._now()).encode()
        file.write(header)
        self._day, self._size_bytes = day, len(header)
        return file

    def _files(self) -> list[tuple[str, int, Path]]:
        """Day, number and path, oldest first."""
        name = re.compile(re.escape(self._prefix) + r"([0-9]{8})-([0-9]{1,9})\.log")
        found = [(name.fullmatch(path.name), path) for path in self._directory.iterdir()]
        return sorted((m[1], int(m[2]), path) for m, path in found if m)

    def _remove_old(self) -> None:
        """By age, then by the size of them all; never the one that is being written."""
        *old, _ = self._files()
        sizes = {path: path.stat() for _, _, path in old}
        room = self._keep.directory_bytes
        for _, _, path in reversed(old):
            room -= sizes[path].st_size
            is_late = self._keep.age_s and sizes[path].st_mtime < self._now() - self._keep.age_s
            if room < 0 or is_late:
                path.unlink(missing_ok=True)

    def _shut(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._file.fileno())
                self._file.close()
            self._file = None
