"""The log: one event, one line of JSON, written by a thread so that a full disk or pipe stops no mail."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import BinaryIO, Final

import msgspec

from gatepost.adapters.line_thread import LineThread
from gatepost.ports.world import Clock

LEVELS: Final = ("debug", "info", "warning", "error")
WAITING_LINES_LIMIT: Final = 10_000
VALUE_LIMIT_CHARACTERS: Final = 1024


class _Level:
    """The least important line that is written."""

    _lowest = 0

    @property
    def level(self) -> str:
        """Its name."""
        return LEVELS[self._lowest]

    @level.setter
    def level(self, name: str) -> None:
        self._lowest = LEVELS.index(name)


class JsonLog(_Level):
    """Keeps the promise of ports.log.Log.

    stream: where lines go; kept open. level: the least important line that is written.
    Lines beyond WAITING_LINES_LIMIT that the stream does not take are dropped; `dropped`
    counts them, and the next line that gets through says so.
    """

    def __init__(
        self, clock: Clock, *, level: str = "info", stream: BinaryIO | None = None, process: str = "gatepost"
    ) -> None:
        self._clock = clock
        self._stream = stream if stream is not None else sys.stderr.buffer
        self.level = level
        self._process = process
        self._fresh: BinaryIO | None = None
        self._told = 0
        self._thread = LineThread("log", self._pour, lines_limit=WAITING_LINES_LIMIT)

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._thread.dropped

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """One line. Never blocks and never raises for what it is given."""
        if LEVELS.index(level) >= self._lowest:
            self._thread.add(encode_line(self._clock.now(), self._process, level, event, fields))

    def reopen(self, stream: BinaryIO) -> None:
        """Go on in another stream (the file was rotated) from the next line on; the old one is closed then."""
        self._fresh = stream
        self.write("info", "log-reopened")

    def close(self) -> None:
        """Write what waits (at most 2 seconds), then stop."""
        self._thread.close()

    def _pour(self, lines: Sequence[bytes]) -> None:
        """In the thread, which alone writes and changes the stream."""
        if self._fresh is not None:
            before, self._stream, self._fresh = self._stream, self._fresh, None
            _close(before)
        self._stream.write(b"".join(lines))
        lost = self._thread.dropped - self._told
        if lost:
            line = encode_line(
                self._clock.now(), self._process, "error", "log-lines-dropped", {"lines": lost}
            )
            self._stream.write(line)
            self._told += lost
        self._stream.flush()


class DirectLog(_Level):
    """The same lines without a thread: for a process that forks, where a line may wait for its reader."""

    def __init__(
        self, clock: Clock, *, level: str = "info", stream: BinaryIO | None = None, process: str = "gatepost"
    ) -> None:
        self._clock = clock
        self._stream = stream if stream is not None else sys.stderr.buffer
        self.level = level
        self._process = process

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """One line, at once; a stream that fails is ignored."""
        if LEVELS.index(level) < self._lowest:
            return
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(encode_line(self._clock.now(), self._process, level, event, fields))
            self._stream.flush()

    @property
    def dropped(self) -> int:
        """None is counted: nobody asks the process that writes these lines."""
        return 0

    def reopen(self, stream: BinaryIO) -> None:
        """As JsonLog.reopen."""
        before, self._stream = self._stream, stream
        _close(before)


def _close(stream: BinaryIO) -> None:
    if stream is not sys.stderr.buffer:  # there may be a way back to it
        with contextlib.suppress(OSError):
            stream.close()


def encode_line(at: float, process: str, level: str, event: str, fields: Mapping[str, object]) -> bytes:
    """One line of JSON with its end; at: seconds since the epoch."""
    line: dict[str, object] = {
        "at": datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "event": event,
        "process": process,
    }
    line.update((name, _plain(value)) for name, value in fields.items())
    return msgspec.json.encode(line) + b"\n"


def _plain(value: object) -> object:
    """Text within the limit, without anything a terminal or a log reader would act on (S01-S03)."""
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = value if isinstance(value, str) else str(value)
    if len(text) > VALUE_LIMIT_CHARACTERS:
        text = f"{text[:VALUE_LIMIT_CHARACTERS]}... ({len(text)} characters)"
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def open_log_file(path: str) -> BinaryIO:
    """Open for appending, mode 0640, without following a link put in its place (S08). Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640)
    return os.fdopen(descriptor, "ab", buffering=0)
