"""What the gateway's stores say after the run: which copies were settled, and what still waits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gatepost.adapters.sqlite_reader import SqliteReader, open_reader
from gatepost.ports.store import MailFilter, RecordFilter

_TOKEN: Final = re.compile(rb"copy-[0-9a-z]+-\d+")
_NAME: Final = re.compile(r"<([^@>]+)@")
_MANY: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """The end of a run on disk."""

    settled: frozenset[str]
    left: frozenset[tuple[str, str]]
    """(message name, recipient); a mail without a name of the ledger is called by its source."""


def look_into(state: Path) -> Stored:
    """Reads every worker's store of a gateway that has stopped. Raises WorldFault when one is not readable."""
    settled: set[str] = set()
    left: set[tuple[str, str]] = set()
    for directory in sorted(state.glob("worker-*")):
        reader = open_reader(directory)
        try:
            settled.update(_settled(reader))
            left.update(_left(reader))
        finally:
            reader.close()
    return Stored(frozenset(settled), frozenset(left))


def _settled(reader: SqliteReader) -> Iterator[str]:
    """The tokens in records of delivery. They are committed in one transaction with the settlement."""
    for record in reader.records(RecordFilter(kind="track", event="SEND"), limit=_MANY):
        yield from (token.decode() for token in _TOKEN.findall(record.data))


def _left(reader: SqliteReader) -> Iterator[tuple[str, str]]:
    for mail in reader.find(MailFilter(), limit=_MANY):
        name = _NAME.search(mail.message_id)
        for recipient in mail.recipients:
            yield (name[1] if name else mail.source, str(recipient.recipient.address))
