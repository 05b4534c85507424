"""A worker's doors in this process: the real listener, conversation and policy over the fake store."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes import FakeClock, FakeStore

from gatepost.adapters.world import SystemRandomness
from gatepost.config.schema import frozen
from gatepost.config.settings import Settings
from gatepost.intake.account_rates import AccountRates
from gatepost.intake.bearer import Bearer
from gatepost.intake.counter import Counter
from gatepost.intake.dmarc_rows import DmarcReports
from gatepost.intake.door import Door
from gatepost.intake.failed_logins import FailedLogins
from gatepost.intake.integrated import Integrated
from gatepost.intake.listener import Listener
from gatepost.intake.log_in import LogInDesk
from gatepost.intake.pressure import Pressure, marks_of
from gatepost.intake.taking_in import NoticeOfRefusal, TakingIn
from gatepost.main.guarding import guard_of
from gatepost.model.account import ScramKeys
from gatepost.model.content import Content
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import MailIds
from gatepost.model.queued import Accept, QueuedMail
from gatepost.policy import assembly
from gatepost.ports.directory import Entry, TokenKeys
from gatepost.ports.lists import AddressLists
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.resolver import Lookup, Mx
from gatepost.ports.tls import TlsServer
from gatepost.protocol.addresses import parse_mailbox
from gatepost.protocol.scram import derive_keys
from gatepost.queue.schedule import Held
from gatepost.routing.accepted import accepted_domains
from gatepost.routing.next_hop import Router
from gatepost.standards.return_paths import ReturnPaths

ANNS_KEYS = derive_keys("secret", salt=b"salt of a house", iterations=4096)
RECIPIENTS = ("ann@ours.example", "bob@ours.example", "j\u00fcrgen@ours.example")


@dataclass
class Lines:
    """A log and counters that remember."""

    written: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    labelled: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """The protocol log."""

    def write(self, level: str, event: str, /, **fields: object) -> None:
        self.written.append((event, {"level": level, **fields}))

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        self.counted.append(name)
        self.labelled.append((name, labels))

    def set(self, name: str, value: float, /, **labels: str) -> None:
        pass


class NoDns:
    """A resolver that knows no name."""

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        return ()

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        return ()

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        return ()

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        return ()

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        return False


class Known:
    """A recipient source; broken: it cannot answer."""

    def __init__(self, addresses: Iterable[str], *, broken: bool = False) -> None:
        self._keys = {parse_mailbox(address).key for address in addresses}
        self.broken = broken

    def look_up(self, recipient: Any) -> Entry:
        if self.broken:
            raise WorldFault("the source is away")
        return Entry(recipient.key in self._keys)


class Passwords:
    """Accounts: ann may come in with "secret"."""

    def __init__(self) -> None:
        self.broken = False
        self.disabled: set[str] = set()

    async def check(self, user: str, password: str) -> bool:
        if self.broken:
            raise WorldFault("accounts are away")
        return (user, password) == ("ann", "secret") and user not in self.disabled

    def scram_keys(self, user: str) -> ScramKeys:
        if self.broken:
            raise WorldFault("accounts are away")
        return ANNS_KEYS if user == "ann" else replace(ANNS_KEYS, stored_key=bytes(32), server_key=bytes(32))

    def is_disabled(self, user: str) -> bool:
        if self.broken:
            raise WorldFault("accounts are away")
        return user in self.disabled


class Parcels:
    """A scheduler that only takes note."""

    def __init__(self) -> None:
        self.offered: list[QueuedMail] = []
        self.holding: dict[str, Held] = {}

    def offer(self, mail: QueuedMail, content: Content) -> None:
        self.offered.append(mail)

    def held(self, next_hop: str) -> Held | None:
        return self.holding.get(next_hop)


@dataclass
class House:
    """What a test talks to and looks at."""

    port: int
    store: FakeStore
    lines: Lines
    parcels: Parcels
    accounts: Passwords
    directory: Known
    listener: Listener
    pressure: Pressure
    clock: FakeClock
    doors: list[Door]

    @property
    def accepted(self) -> list[Accept]:
        """Every mail the store was given, in order."""
        return [c for changes in self.store.transactions for c in changes if isinstance(c, Accept)]

    def message(self, number: int = 0) -> bytes:
        """One accepted message below our own trace fields, body included."""
        accept = self.accepted[number]
        body = accept.content.body
        return accept.content.head + (body if isinstance(body, bytes) else self.store.bodies[body.path])

    async def say(self, octets: bytes, *, pieces: Iterable[bytes] | None = None) -> bytes:
        """Connect, send everything (in `pieces` when given), read until the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        greeting = await reader.readline()
        for piece in pieces if pieces is not None else [octets]:
            writer.write(piece)
            await asyncio.sleep(0)
        writer.write_eof()
        rest = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return greeting + rest


def settings_with(connector: dict[str, Any] | None = None, **tables: Any) -> Settings:
    """Settings of the house; connector: further settings of its one door."""
    return Settings.model_validate(
        frozen(
            {
                "server": {"hostname": "mx.ours.example"},
                "accepted-domains": {
                    "ours.example": {},
                    "*.sub.example": {},
                    "relay.example": {"type": "external-relay"},
                },
                "receive-connectors": {
                    "test": {
                        "listen": ["127.0.0.1:25"],
                        "tarpit": "0s",
                        "auth-tarpit": "0s",
                        "tls": "none",
                        **(connector or {}),
                    }
                },
                "send-connectors": {"out": {"address-spaces": ["*"], "smart-hosts": ["[192.0.2.10]"]}},
                **tables,
            }
        )
    )


@asynccontextmanager
async def open_house(
    settings: Settings | None = None,
    *,
    tls: TlsServer | None = None,
    agents: dict[str, Any] | None = None,
    keys: TokenKeys | None = None,
    integrated: Integrated | None = None,
    shared: MemoryShared | None = None,
    lists: AddressLists | None = None,
    return_paths: ReturnPaths | None = None,
    dmarc_reports: DmarcReports | None = None,
    lookup: Lookup | None = None,
    notice: NoticeOfRefusal = lambda *_: None,
) -> AsyncIterator[House]:
    """One door on a free port of 127.0.0.1. lists: guarded as main does it."""
    settings = settings or settings_with()
    clock, store, lines, parcels, accounts = FakeClock(), FakeStore(), Lines(), Parcels(), Passwords()
    directory = Known(RECIPIENTS)
    if shared is None:
        shared = MemoryShared(clock.now)
    accepted = accepted_domains(settings)
    taking_in = TakingIn(
        store,
        Router(settings, accepted),
        MailIds(0),
        parcels,
        settings,
        clock=clock,
        counters=lines,
        log=lines,
        notice=notice,
        return_paths=return_paths,
        dmarc_reports=dmarc_reports,
    )
    runner = assembly.build(
        settings,
        agents or {},
        accepted=accepted,
        resolver=NoDns(),
        directory=directory,
        log=lines,
        counters=lines,
        revision="test",
        shared=shared,
        lists=lists,
        lookup=lookup,
        return_paths=return_paths,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    doors = [
        Door(name, connector, hostname=settings.server.hostname, tls=tls)
        for name, connector in settings.receive_connectors.items()
    ]
    guard = guard_of(
        settings, agents or {}, shared, lists, accepted=accepted, clock=clock, counters=lines, log=lines
    )
    log_in = LogInDesk(
        accounts=accounts,
        failures=FailedLogins(settings.users.lockout, shared=shared, now=clock.now),
        rates=AccountRates(settings.users.recipients_per_hour, shared=shared, now=clock.now),
        randomness=SystemRandomness(),
        counters=lines,
        log=lines,
        bearer=Bearer(settings.users.tokens, keys, clock) if keys is not None else None,
        integrated=integrated,
        guard=guard if lists is not None else None,
    )
    pressure = Pressure(marks_of(settings.back_pressure))
    desk = Counter(
        taking_in=taking_in,
        log_in=log_in,
        clock=clock,
        counters=lines,
        log=lines,
        pressure=pressure,
        protocol_log=lines.said.append,
        guarding=guard if lists is not None else None,
    )
    listener = Listener(
        {listening: doors},
        runner,
        desk,
        clock=clock,
        randomness=SystemRandomness(),
        intake=settings.intake,
    )
    await listener.start()
    try:
        yield House(
            listening.getsockname()[1],
            store,
            lines,
            parcels,
            accounts,
            directory,
            listener,
            pressure,
            clock,
            doors,
        )
    finally:
        await listener.stop(1.0)
        listening.close()
