"""The log of one process, as [log] says."""

from __future__ import annotations

import sys
from typing import BinaryIO, Final, Protocol

from gatepost.adapters.log import DirectLog, JsonLog, open_log_file
from gatepost.adapters.world import SystemClock
from gatepost.config.log_settings import Log
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Log as EventLog

TEXT_LIMIT_CHARACTERS: Final = 500


class ReopenedLog(EventLog, Protocol):
    """The log of a process: where it goes and how much of it may change under way."""

    level: str
    """The least important line that is written."""

    @property
    def dropped(self) -> int:
        """Lines that were lost."""

    def reopen(self, stream: BinaryIO) -> None:
        """Go on in another stream."""


def open_log(settings: Log, process: str) -> JsonLog:
    """For a process with an event loop. Raises WorldFault when the file cannot be opened."""
    return JsonLog(SystemClock(), level=settings.level, stream=_stream(settings), process=process)


def open_direct_log(settings: Log, process: str) -> DirectLog:
    """For the supervisor, which forks. Raises WorldFault."""
    return DirectLog(SystemClock(), level=settings.level, stream=_stream(settings), process=process)


def reopen_log(log: ReopenedLog, settings: Log) -> None:
    """After the file was rotated; nothing to do for standard error. A file that cannot be opened is told."""
    try:
        stream = _stream(settings)
    except WorldFault as fault:
        log.write("error", "log-not-reopened", reason=fault.reason)
        return
    if stream is not None:
        log.reopen(stream)


def change_log(log: ReopenedLog, before: Log, wanted: Log) -> None:
    """Go on as other settings say. Raises WorldFault when the file cannot be opened, and nothing is changed."""
    if wanted.file != before.file:
        log.reopen(_stream(wanted) or sys.stderr.buffer)
    log.level = wanted.level


def tell_unraisable(log: EventLog) -> None:
    """What Python cannot raise goes into the log, not raw to standard error.

    A server name that is not ASCII is such an error (the `ssl` module reads it before we do),
    so that strangers can cause it.
    """

    def tell(what: sys.UnraisableHookArgs) -> None:
        where = repr(what.object)[:TEXT_LIMIT_CHARACTERS]
        log.write("warning", "unraisable", where=where, error=repr(what.exc_value)[:TEXT_LIMIT_CHARACTERS])

    sys.unraisablehook = tell


def _stream(settings: Log) -> BinaryIO | None:
    if not settings.file:
        return None
    try:
        return open_log_file(settings.file)
    except OSError as error:
        raise WorldFault(f"log.file {settings.file} cannot be written: {error.strerror}") from error
