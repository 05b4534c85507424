"""All sources of recipients together: indexes first, from memory; then whoever has to be asked."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gatepost.adapters.directory_sync import index_path, key_path
from gatepost.adapters.file_mark import FileMark, mark_of
from gatepost.adapters.recipient_index import IndexHeader, RecipientIndex, open_index, read_key
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.ports.directory import NOT_LISTED, Entry
from gatepost.ports.log import Counters, Log


class Source(Protocol):
    """Anything that knows recipients by itself: recipients.file, an index."""

    def look_up(self, recipient: Address) -> Entry:
        """From memory. Raises WorldFault when nothing is known yet."""


class Caller(Protocol):
    """Somebody who has to ask somebody else."""

    async def ask(self, recipient: Address) -> Entry:
        """Raises WorldFault when there is no answer that can be relied on."""


class IndexSource:
    """The index of one source, opened again whenever somebody has written a new one."""

    def __init__(self, folder: str, name: str, *, log: Log, counters: Counters) -> None:
        self.name = name
        self._folder = folder
        self._log = log
        self._counters = counters
        self._index: RecipientIndex | None = None
        self._seen: FileMark | None = None
        self._complaint = ""

    def look_up(self, recipient: Address) -> Entry:
        """Raises WorldFault while there is no index."""
        if self._index is None:
            raise WorldFault(f"the directory {self.name} was never synced", directory=self.name)
        return self._index.look_up(recipient)

    @property
    def header(self) -> IndexHeader | None:
        """Of the index in force; None: there is none."""
        return self._index.header if self._index is not None else None

    def refresh(self) -> None:
        """Look at the file; to be called every second, in a thread. One that cannot be used changes nothing."""
        path = index_path(self._folder, self.name)
        try:
            there = mark_of(path)
            if there != self._seen:
                self._index = open_index(self.name, path, read_key(key_path(self._folder)))
                self._seen, self._complaint = there, ""
                self._log.write(
                    "info", "directory-read", directory=self.name, recipients=self._index.header.entries
                )
        except FileNotFoundError:
            pass  # not synced yet; or removed by somebody, which is noticed when the next one is written
        except OSError as error:
            self._complain(f"cannot read {path}: {error.strerror}")
        except WorldFault as fault:
            self._complain(fault.reason)
        if self._index is not None:
            header = self._index.header
            self._counters.set("directory_recipients", header.entries, directory=self.name)
            self._counters.set("directory_synced", header.synced_at, directory=self.name)

    def _complain(self, reason: str) -> None:
        """Once for each reason."""
        if reason != self._complaint:
            kept = "the last index stays in force" if self._index else "recipients are answered 451"
            self._log.write(
                "error", "directory-unreadable", directory=self.name, reason=reason, consequence=kept
            )
        self._complaint = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """A source and the accepted domains it answers for, as accepted-domains names them; empty: all."""

    source: Source
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedCaller:
    """As Assigned, of somebody who asks."""

    caller: Caller
    domains: frozenset[str] = frozenset()


class Directories:
    """ports.directory.RecipientDirectory over several sources.

    Listed by one is listed. Not listed is who every source of the domain denies. While one of them cannot tell, and
    none lists the recipient, nobody knows. callers: those who ask somebody else; they are asked last.
    """

    def __init__(
        self,
        sources: Sequence[Assigned],
        accepted: AcceptedDomains,
        *,
        callers: Sequence[AssignedCaller] = (),
    ) -> None:
        self._sources = tuple(sources)
        self._callers = tuple(callers)
        self._accepted = accepted
        self._of_domain: dict[str, tuple[list[Source], list[Caller]]] = {}
        """By accepted domain ("" for all others): worked out once."""

    def _responsible(self, name: str) -> tuple[list[Source], list[Caller]]:
        sources = [s.source for s in self._sources if not s.domains or name in s.domains]
        callers = [c.caller for c in self._callers if not c.domains or name in c.domains]
        self._of_domain[name] = sources, callers
        return sources, callers

    def look_up(self, recipient: Address) -> Entry | Coroutine[Any, Any, Entry]:
        """Raises WorldFault, at once or when awaited."""
        name = self._accepted.name_for(recipient.domain) or ""
        sources, callers = self._of_domain.get(name) or self._responsible(name)
        if not sources and not callers:
            raise WorldFault("no directory answers for this domain", domain=recipient.domain)
        fault: WorldFault | None = None
        for source in sources:
            try:
                if (found := source.look_up(recipient)).listed:
                    return found
            except WorldFault as error:
                fault = error
        if callers:
            return _ask_all(callers, recipient, fault)
        if fault is not None:
            raise fault
        return NOT_LISTED


async def _ask_all(callers: Sequence[Caller], recipient: Address, fault: WorldFault | None) -> Entry:
    for caller in callers:
        try:
            if (found := await caller.ask(recipient)).listed:
                return found
        except WorldFault as error:
            fault = error
    if fault is not None:
        raise fault
    return NOT_LISTED
