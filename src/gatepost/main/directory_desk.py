"""What `gatepost directory` does: in its own process, whether or not the gateway runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gatepost.adapters.counters import MemoryCounters
from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.directories import IndexSource
from gatepost.adapters.directory_sync import Busy, SyncResult
from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.recipient_file import RecipientFile
from gatepost.adapters.tls import client_pump
from gatepost.adapters.world import SystemClock, SystemRandomness
from gatepost.cli.world import DirectoryAnswer, DirectoryState
from gatepost.config.settings import Settings
from gatepost.delivery.call_forward import CallForward, Surroundings
from gatepost.main.directories import copy_now
from gatepost.main.places import directory_folder
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.directory import Entry
from gatepost.protocol.addresses import parse_mailbox
from gatepost.routing.accepted import accepted_domains, canonical_pattern


class _Heard:
    """A log that keeps what was said last."""

    def __init__(self) -> None:
        self.reason = ""

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """As ports.log.Log."""
        if level in ("error", "warning"):
            self.reason = str(fields.get("reason") or event)


class Desk:
    """cli.world.DirectoryDesk."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = str(directory_folder(settings))
        self._clock = SystemClock()

    def states(self) -> Sequence[DirectoryState]:
        """Every table of [directories]."""
        return [self._state(name, directory.type) for name, directory in self._settings.directories.items()]

    def sync(self, name: str, *, accept_loss: bool) -> SyncResult | None:
        """Copy one now; None: somebody else does. Raises WorldFault."""
        try:
            return copy_now(
                self._folder,
                name,
                self._settings.directories[name],
                self._clock,
                accept_loss=accept_loss,
            )
        except Busy:
            return None

    def ask(self, address: str) -> Sequence[DirectoryAnswer]:
        """Every source of the address's domain. Raises WorldFault for text that is no address."""
        try:
            recipient = parse_mailbox(address)
        except PeerFault as fault:
            raise WorldFault(f"{address[:320]!r} is no mail address: {fault.reason}") from fault
        accepted = accepted_domains(self._settings).name_for(recipient.domain) or ""
        answers = []
        if self._settings.recipients.file:
            answers.append(self._file(recipient))
        for name, directory in self._settings.directories.items():
            domains = frozenset(map(canonical_pattern, directory.domains))
            if domains and accepted not in domains:
                continue
            answers.append(
                asyncio.run(self._called(name, recipient))
                if directory.type == "smtp"
                else self._index(name, recipient)
            )
        return answers

    def _state(self, name: str, kind: str) -> DirectoryState:
        if kind == "smtp":
            return DirectoryState(
                name=name, type=kind, recipients=0, synced_at=0.0, problem="asked at each RCPT"
            )
        source, log = self._opened(name)
        header = source.header
        return DirectoryState(
            name=name,
            type=kind,
            recipients=header.entries if header else 0,
            synced_at=header.synced_at if header else 0.0,
            problem=log.reason or ("" if header else "never synced"),
        )

    def _opened(self, name: str) -> tuple[IndexSource, _Heard]:
        log = _Heard()
        source = IndexSource(self._folder, name, log=log, counters=MemoryCounters())
        source.refresh()
        return source, log

    def _index(self, name: str, recipient: Address) -> DirectoryAnswer:
        source, log = self._opened(name)
        try:
            return _answer(name, source.look_up(recipient))
        except WorldFault as fault:
            return DirectoryAnswer(name, "unknown", log.reason or fault.reason)

    def _file(self, recipient: Address) -> DirectoryAnswer:
        log = _Heard()
        file = RecipientFile(
            self._settings.recipients.file, parse_mailbox=parse_mailbox, log=log, counters=MemoryCounters()
        )
        file.refresh()
        try:
            return _answer("recipients.file", file.look_up(recipient))
        except WorldFault as fault:
            return DirectoryAnswer("recipients.file", "unknown", log.reason or fault.reason)

    async def _called(self, name: str, recipient: Address) -> DirectoryAnswer:
        resolver, log = DnsResolver(self._settings.dns), _Heard()
        around = Surroundings(
            dialer=LoopDialer(client_pump),
            resolver=resolver,
            randomness=SystemRandomness(),
            monotonic=self._clock.monotonic,
            hostname=self._settings.server.hostname,
            log=log,
            counters=MemoryCounters(),
        )
        caller = CallForward(name, self._settings.directories[name], around)
        try:
            return _answer(name, await caller.ask(recipient), log.reason)
        except WorldFault as fault:
            return DirectoryAnswer(name, "unknown", fault.reason)
        finally:
            caller.close()
            resolver.close()


def _answer(name: str, entry: Entry, reason: str = "") -> DirectoryAnswer:
    if not entry.listed:
        return DirectoryAnswer(name, "not listed", reason)
    return DirectoryAnswer(
        name, "listed for authenticated senders" if entry.needs_authentication else "listed", reason
    )
