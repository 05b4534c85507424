"""Joins the sources of recipients, and copies those whose time has come: one worker at a time, whichever is first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar, cast

from gatepost.adapters.directories import Assigned, AssignedCaller, Directories, IndexSource
from gatepost.adapters.directory_sources import read_source
from gatepost.adapters.directory_sync import Busy, SyncResult, SyncRules, sync
from gatepost.adapters.recipient_file import RecipientFile
from gatepost.config.directory_settings import Directory
from gatepost.config.settings import Settings
from gatepost.delivery.call_forward import CallForward, Surroundings
from gatepost.main.places import directory_folder
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.ports.directory import Entry
from gatepost.ports.log import Counters, Log
from gatepost.ports.world import Clock
from gatepost.protocol.addresses import parse_mailbox
from gatepost.routing.accepted import canonical_pattern

LOSS_ACCEPTED: Final = 100
T = TypeVar("T")


@dataclass(slots=True)
class _Copied:
    """A source with an index. tried_at: monotonic, of our last try; None: none yet."""

    name: str
    settings: Directory
    source: IndexSource
    tried_at: float | None = None
    complaint: str = ""


@dataclass(slots=True, kw_only=True)
class RecipientSources:
    """Everything that knows recipients: asked at RCPT, refreshed every second. Kept while its tables are the same."""

    folder: str
    file: RecipientFile
    directories: Directories
    copied: tuple[_Copied, ...]
    callers: tuple[CallForward, ...]
    clock: Clock
    log: Log
    counters: Counters
    _syncing: set[asyncio.Task[None]] = field(default_factory=set)

    def look_up(self, recipient: Address) -> Entry | Coroutine[Any, Any, Entry]:
        """As ports.directory.RecipientDirectory."""
        return self.directories.look_up(recipient)

    def refresh(self) -> None:
        """Read what others have written. In a thread."""
        self.file.refresh()
        for one in self.copied:
            one.source.refresh()

    def sync_what_is_due(self) -> None:
        """Begin to copy a source whose time has come, one at a time in this worker."""
        if self._syncing:
            return
        due = next((one for one in self.copied if self._is_due(one)), None)
        if due is not None:
            due.tried_at = self.clock.monotonic()
            task = asyncio.get_running_loop().create_task(self._sync(due))
            self._syncing.add(task)
            task.add_done_callback(self._syncing.discard)

    def close(self) -> None:
        """Hang up."""
        for caller in self.callers:
            caller.close()

    def _is_due(self, one: _Copied) -> bool:
        """Its index is old, whoever made it; and we did not fail just now."""
        header = one.source.header
        age_s = self.clock.now() - header.synced_at if header is not None else None
        if age_s is not None and 0 <= age_s < one.settings.sync_interval_s:
            return False
        return one.tried_at is None or self.clock.monotonic() - one.tried_at >= _rest_s(one)

    async def _sync(self, one: _Copied) -> None:
        try:
            copy = partial(copy_now, self.folder, one.name, one.settings, self.clock, rest_s=_rest_s(one))
            result = await in_own_thread(copy)
        except Busy:
            return  # another worker, or an administrator
        except WorldFault as fault:
            self.counters.set("directory_failed", 1, directory=one.name)
            if fault.reason != one.complaint:
                kept = "the last index stays in force" if one.source.header else "recipients are answered 451"
                self.log.write(
                    "error",
                    "directory-sync-failed",
                    directory=one.name,
                    reason=fault.reason,
                    consequence=kept,
                )
            one.complaint = fault.reason
            return
        except Exception as error:  # noqa: BLE001  # a bug of ours: told, and the index stays as it is
            self.counters.add("bugs", place="directory")
            self.log.write("error", "bug", place="directory", directory=one.name, error=repr(error)[:500])
            return
        one.complaint = ""
        self.counters.set("directory_failed", 0, directory=one.name)
        self.log.write(
            "info",
            "directory-synced",
            directory=one.name,
            recipients=result.entries,
            added=result.added,
            dropped=result.dropped,
            skipped=result.skipped,
        )


class ReadHere:
    """Addresses whose mail ends here: they exist whatever the other sources know."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._keys = frozenset(parse_mailbox(text).key for text in addresses)

    def look_up(self, recipient: Address) -> Entry:
        """Raises nothing."""
        return Entry(recipient.key in self._keys, source="reports")


def _rest_s(one: _Copied) -> float:
    return min(one.settings.retry_interval_s, one.settings.sync_interval_s)


async def in_own_thread(work: Callable[[], T], *, name: str = "directory") -> T:
    """Run it where nothing waits for its end: a stop must not wait for a slow directory."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(cast(T, result))

    def run() -> None:
        result, fault = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # raised again where it is waited for
            fault = error
        with suppress(RuntimeError):  # the loop is closed: the worker has stopped
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


def copy_now(
    folder: str,
    name: str,
    settings: Directory,
    clock: Clock,
    *,
    accept_loss: bool = False,
    rest_s: float = 0.0,
) -> SyncResult:
    """Copy one source. In a thread. Raises Busy, WorldFault."""
    return sync(
        folder,
        name,
        partial(read_source, settings),
        rules=SyncRules(
            entries=settings.entries,
            drop_percent=LOSS_ACCEPTED if accept_loss else settings.drop_percent,
            duration_limit_s=settings.duration_limit_s,
            rest_s=rest_s,
        ),
        parse_mailbox=parse_mailbox,
        now=clock.now,
        monotonic=clock.monotonic,
    )


def recipient_sources(
    settings: Settings, accepted: AcceptedDomains, around: Surroundings, clock: Clock
) -> RecipientSources:
    """All of one configuration."""
    log, counters, folder = around.log, around.counters, str(directory_folder(settings))
    file = RecipientFile(settings.recipients.file, parse_mailbox=parse_mailbox, log=log, counters=counters)
    copied, callers = [], []
    assigned: list[Assigned] = []
    assigned_callers: list[AssignedCaller] = []
    if settings.recipients.file or not settings.directories:
        assigned.append(Assigned(source=file))
    if settings.reports.afterwards == "consume" and settings.reports.addresses:
        assigned.append(Assigned(source=ReadHere(settings.reports.addresses)))
    for name, directory in settings.directories.items():
        domains = frozenset(map(canonical_pattern, directory.domains))
        if directory.type == "smtp":
            caller = CallForward(name, directory, around)
            callers.append(caller)
            assigned_callers.append(AssignedCaller(caller=caller, domains=domains))
            continue
        source = IndexSource(folder, name, log=log, counters=counters)
        copied.append(_Copied(name, directory, source))
        assigned.append(Assigned(source=source, domains=domains))
    return RecipientSources(
        folder=folder,
        file=file,
        directories=Directories(assigned, accepted, callers=assigned_callers),
        copied=tuple(copied),
        callers=tuple(callers),
        clock=clock,
        log=log,
        counters=counters,
    )
