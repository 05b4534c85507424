"""Records as Exchange's log files: CSV with #Fields lines (RFC 4180 quoting), safe to open in a spreadsheet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from gatepost.model.queued import StoredRecord
from gatepost.records import agent_log, tracking

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def tracking_lines(records: Iterable[StoredRecord], *, at: float) -> Iterator[str]:
    """The message tracking log of these records, line by line with CR LF. at: the moment of the export.

    A record that is damaged is left out.
    """
    yield from _header("Message Tracking Log", tracking.Tracking, at)
    for record in records:
        with contextlib.suppress(msgspec.MsgspecError):
            yield _row(tracking.decode(record))


def agent_log_lines(records: Iterable[StoredRecord], *, at: float) -> Iterator[str]:
    """The agent log of these records: one line a recipient, as Exchange writes it. Damaged ones are left out."""
    yield from _header("Agent Log", agent_log.AgentLogEntry, at)
    for record in records:
        with contextlib.suppress(msgspec.MsgspecError):
            entry = agent_log.decode(record)
            for recipient in entry.recipient or ("",):
                yield _row(msgspec.structs.replace(entry, recipient=(recipient,)))


def columns_of(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """The column names of a record, in order."""
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def cell(value: object) -> str:
    """One cell: quoted where CSV needs it, an apostrophe before what a spreadsheet would compute (threats S02).

    A tuple is joined with ";", like Exchange's recipient lists.
    """
    match value:
        case tuple():
            text = ";".join(str(item) for item in value)
        case tracking.Event() | tracking.Source() | agent_log.LoggedAction():
            text = value.value
        case _:
            text = str(value)
    if isinstance(value, int):
        return text
    if text.startswith(_FORMULA_STARTS):
        text = f"'{text}"
    if any(mark in text for mark in ',"\r\n') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def _row(entry: msgspec.Struct) -> str:
    return ",".join(cell(value) for value in msgspec.structs.astuple(entry)) + "\r\n"


def _header(log_type: str, kind: type[msgspec.Struct], at: float) -> Iterator[str]:
    yield "#Software: Gatepost\r\n"
    yield "#Version: 1.0\r\n"
    yield f"#Log-Type: {log_type}\r\n"
    yield f"#Date: {tracking.iso_time(at)}\r\n"
    yield f"#Fields: {','.join(columns_of(kind))}\r\n"
