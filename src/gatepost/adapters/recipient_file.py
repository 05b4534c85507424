"""The list of known recipients in a text file, kept in memory and read again when the file changes.

One address a line; `#` begins a comment; `@example.com` takes every recipient of the domain.
`ann+tag@example.com` is known when `ann@example.com` is: the tag belongs to the mailbox's
owner, who may invent one for every shop without asking the administrator.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from gatepost.adapters.file_mark import FileMark, mark_of
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.directory import NOT_LISTED, Entry
from gatepost.ports.log import Counters, Log

FILE_LIMIT_BYTES: Final = 256 << 20
LINE_LIMIT_CHARACTERS: Final = 1024
REPORTED_LINES: Final = 20
"""Lines that are no address and are named one by one; the others are counted."""

_LISTED: Final = Entry(True, source="recipients.file")

ParseMailbox = Callable[[str], Address]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no address: its number from 1, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecipientList:
    """What a file said: folded addresses (`Address.key`), whole domains, and what was skipped."""

    keys: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    bad_lines: tuple[BadLine, ...] = ()
    bad_count: int = 0

    def knows(self, recipient: Address) -> bool:
        """Listed itself, without its +tag, or by its domain."""
        if recipient.domain in self.domains or recipient.key in self.keys:
            return True
        owner, plus, _ = recipient.local.partition("+")
        return bool(plus and owner) and Address(owner, recipient.domain).key in self.keys


class RecipientFile:
    """ports.directory.RecipientDirectory over a file.

    path: "" means that there is no source: every question raises WorldFault.
    parse_mailbox: text to Address as SMTP reads it; raises PeerFault.
    """

    def __init__(self, path: str, *, parse_mailbox: ParseMailbox, log: Log, counters: Counters) -> None:
        self._path = path
        self._parse = parse_mailbox
        self._log = log
        self._counters = counters
        self._list: RecipientList | None = None
        self._seen: FileMark | None = None
        self._complaint = ""

    def knows(self, recipient: Address) -> bool:
        """Whether the mailbox exists. Raises WorldFault while no list was ever read."""
        if self._list is None:
            raise WorldFault("no list of recipients was read", path=self._path)
        return self._list.knows(recipient)

    def look_up(self, recipient: Address) -> Entry:
        """As ports.directory.RecipientDirectory."""
        return _LISTED if self.knows(recipient) else NOT_LISTED

    def refresh(self) -> bool:
        """Read the file if it has changed since; True when a new list is in force.

        To be called at start and by a timer, at most once a second; it may take a second or
        two for a million lines, so call it in a thread. A file that cannot be read leaves
        the last good list in force, and says so once.
        """
        if not self._path:
            return False
        try:
            now_there = mark_of(self._path)
            if now_there == self._seen:
                return False
            read = read_recipients(self._path, self._parse)
            self._doubt(read, now_there)
        except (OSError, ValueError) as error:
            self._alarm(str(error))
            return False
        self._list, self._seen, self._complaint = read, now_there, ""
        self._report(read)
        return True

    @property
    def size(self) -> int:
        """How many addresses and domains are listed."""
        return len(self._list.keys) + len(self._list.domains) if self._list else 0

    def _doubt(self, read: RecipientList, mark: FileMark) -> None:
        """Raises ValueError for a list that somebody is still writing: refusing everybody would lose mail."""
        if mark_of(self._path) != mark:
            raise ValueError("the list changed while it was read")
        if not read.keys and not read.domains and (read.bad_count or self._list):
            raise ValueError("the list has no address")

    def _alarm(self, reason: str) -> None:
        self._seen = None
        self._counters.set("recipient_list_failed", 1)
        if reason != self._complaint:
            kept = "the last list stays in force" if self._list else "recipients are answered 451"
            self._log.write(
                "error", "recipient-list-failed", path=self._path, reason=reason, consequence=kept
            )
        self._complaint = reason

    def _report(self, read: RecipientList) -> None:
        self._counters.set("recipient_list_failed", 0)
        self._log.write(
            "info",
            "recipient-list-read",
            path=self._path,
            addresses=len(read.keys),
            domains=len(read.domains),
        )
        for line in read.bad_lines:
            self._log.write(
                "warning", "recipient-line-skipped", path=self._path, line=line.number, reason=line.reason
            )
        if read.bad_count > len(read.bad_lines):
            self._log.write("warning", "recipient-lines-skipped", path=self._path, count=read.bad_count)


def read_recipients(path: str, parse_mailbox: ParseMailbox) -> RecipientList:
    """The file's list. Raises OSError, or ValueError when the file is too large or not UTF-8."""
    if os.path.getsize(path) > FILE_LIMIT_BYTES:
        raise ValueError(f"the list is larger than {FILE_LIMIT_BYTES >> 20} MiB")
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        return parse_recipients(file, parse_mailbox)


def parse_recipients(lines: Iterable[str], parse_mailbox: ParseMailbox) -> RecipientList:
    """Lines that are no address are skipped and counted; the first of them are named."""
    keys: set[str] = set()
    domains: set[str] = set()
    bad: list[BadLine] = []
    bad_count = 0
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip() if "#" in line else line.strip()
        if not text:
            continue
        try:
            _add(text, keys, domains, parse_mailbox)
        except (PeerFault, ValueError) as error:
            bad_count += 1
            if len(bad) < REPORTED_LINES:
                bad.append(BadLine(number, error.reason if isinstance(error, PeerFault) else str(error)))
    return RecipientList(frozenset(keys), frozenset(domains), tuple(bad), bad_count)


def _add(text: str, keys: set[str], domains: set[str], parse_mailbox: ParseMailbox) -> None:
    if len(text) > LINE_LIMIT_CHARACTERS:
        raise ValueError("the line is too long for an address")
    if text.startswith("@"):
        domains.add(parse_mailbox(f"postmaster{text}").domain)
    else:
        keys.add(parse_mailbox(text).key)
