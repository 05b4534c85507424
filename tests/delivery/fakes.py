"""A small outside world for deliveries: settings, mails, next hops in memory and hostile ones on loopback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, MutableSequence, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.fakes import FakeClock, FakeStore

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.maildir import LocalMaildirs
from gatepost.adapters.tls import client_pump
from gatepost.config.schema import frozen
from gatepost.config.settings import Settings
from gatepost.delivery.attempts import Attempts
from gatepost.delivery.authentication import Credentials
from gatepost.delivery.courier import Courier, OwnName, Results
from gatepost.delivery.delays import Delays
from gatepost.delivery.maildir import MaildirCourier
from gatepost.delivery.outside import Outside
from gatepost.delivery.scheduler import Scheduler
from gatepost.delivery.settling import Settling
from gatepost.delivery.watch import OutgoingLogs
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.envelope import Recipient
from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkTls
from gatepost.model.queued import Accept, MailState, QueuedMail, QueuedRecipient
from gatepost.model.session import TlsInfo
from gatepost.ports.resolver import Mx
from gatepost.ports.wire import Dialer, OutgoingWire
from gatepost.ports.world import Clock
from gatepost.queue.active import Parcel
from gatepost.queue.schedule import QueueClock
from gatepost.routing.hosts import hosts_of
from gatepost.routing.link_policies import LinkPolicies
from gatepost.routing.next_hop import NextHop, Router

CONTENT = Content(head=b"Subject: hello\r\n\r\n", body=b"text\r\n")
OUR_NAME = "gate.example"


def settings_of(connector: dict[str, Any] | None = None, **tables: Any) -> Settings:
    """Settings with one send connector "out" for everything, as the file would give them."""
    text = {
        "server": {"hostname": OUR_NAME},
        "send-connectors": {"out": {"address-spaces": ["*"], "tls": "none", **(connector or {})}},
        **tables,
    }
    return Settings.model_validate(frozen(text))


def mail_to(
    *addresses: str,
    mail_id: int = 1,
    next_hop: str = "out:smart",
    now: float = 1_800_000_000.0,
    **fields: Any,
) -> QueuedMail:
    """A mail for these recipients, fresh in the queue. next_hop: one for all, "" for one a domain."""
    recipients = tuple(
        QueuedRecipient(
            number=n,
            recipient=Recipient(address=address_of(a)),
            next_hop=next_hop or f"out:smtp:{a.partition('@')[2]}",
            state=MailState.READY,
            due_at=now,
        )
        for n, a in enumerate(addresses)
    )
    mail = QueuedMail(
        mail_id=mail_id,
        session_id="0" * 16,
        received_at=now,
        expires_at=now + 432000,
        sender=Address("ann", "us.example"),
        recipients=recipients,
        size_bytes=CONTENT.size_bytes,
    )
    return replace(mail, **fields)


def address_of(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


class Dice:
    """Chance from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def uniform(self) -> float:
        return self._random.random()

    def token_hex(self, size_bytes: int) -> str:
        return self._random.randbytes(size_bytes).hex()

    def shuffle(self, items: MutableSequence[Any]) -> None:
        self._random.shuffle(items)


class NoCounters:
    """Remembers nothing."""

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Nothing."""

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """Nothing."""


class ListLog:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def write(self, level: str, event: str, /, **fields: object) -> None:
        self.lines.append((event, {"level": level, **fields}))

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


class FakeSlots:
    """ports.in_flight.InFlight in memory."""

    def __init__(self) -> None:
        self.taken: dict[int, int] = {}
        self._next = 0

    def enter(self, mail_id: int) -> int:
        self._next += 1
        self.taken[self._next] = mail_id
        return self._next

    def leave(self, slot: int) -> None:
        del self.taken[slot]


class PlainBodyFiles:
    """ports.bodies.BodyFiles, in small pieces so that cuts happen."""

    async def chunks(self, path: str) -> AsyncIterator[bytes]:
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise WorldFault("the stored body cannot be read") from error
        for first in range(0, len(data), 1000):
            yield data[first : first + 1000]


class FakeResolver:
    """Each domain has one mail exchanger of its own address; what is in `unknown` is not answered."""

    def __init__(self) -> None:
        self.addresses_of: dict[str, tuple[str, ...]] = {}
        self.exchangers_of: dict[str, tuple[Mx, ...]] = {}
        self.unknown: set[str] = set()

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        if name in self.unknown:
            raise WorldFault("the name server does not answer")
        return self.addresses_of.get(name, ())

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        if name in self.unknown:
            raise WorldFault("the name server does not answer")
        return self.exchangers_of.get(name, ())

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        return ()

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        return ()

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        return name in self.addresses_of


class FakeHost:
    """A next hop in memory that answers at once. Change `state` at will."""

    def __init__(self, state: str = "well") -> None:
        self.state = state
        """well: takes all; down: refuses connections; defers, refuses: 450 or 550 to RCPT; hangs, hangs up: at MAIL;
        is us: well, and both ends have its address."""
        self.taken: list[str] = []
        """The paths of the recipients that got their mail."""
        self.on_taken: Callable[[], None] = lambda: None
        self.connections = 0
        self.most_connections = 0
        self.attempts = 0
        self.wires: list[FakeWire] = []

    def drop_connections(self) -> None:
        """The peer closes them all, without a word."""
        for wire in self.wires:
            wire.dropped = True


class FakeWire:
    """ports.wire.OutgoingWire to a FakeHost."""

    def __init__(self, host: FakeHost, ip: str) -> None:
        self.received = bytearray()
        self._host = host
        self._ip = ip
        self._answers = [b"220 host.example\r\n"]
        self._recipients: list[str] = []
        self._in_text = False
        self._closed = False
        self.dropped = False
        host.wires.append(self)
        host.connections += 1
        host.most_connections = max(host.most_connections, host.connections)

    async def read(self, *, timeout_s: float) -> bytes:
        if self.dropped:
            return b""
        while not self._answers:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        answers, self._answers = b"".join(self._answers), []
        return answers

    def write(self, data: bytes) -> None:
        if self._in_text:
            assert data.endswith(b"\r\n.\r\n")
            self._host.taken += self._recipients
            self._host.on_taken()
            self._in_text = False
            self._answers.append(b"250 2.0.0 taken\r\n")
            return
        for line in data.decode().splitlines():
            answer = self._answer(line)
            if answer:
                self._answers.append(f"{answer}\r\n".encode())

    def _answer(self, line: str) -> str:
        match line[:4]:
            case "EHLO":
                return "250-host.example\r\n250 PIPELINING"
            case "MAIL":
                self._recipients = []
                if self._host.state == "hangs up":
                    return "421 4.3.2 bye"
                return "" if self._host.state == "hangs" else "250 ok"
            case "RCPT":
                if self._host.state == "defers":
                    return "450 4.2.0 later"
                if self._host.state == "refuses":
                    return "550 5.1.1 no such user"
                self._recipients.append(line[9:-1])
                return "250 ok"
            case "DATA" if self._recipients:
                self._in_text = True
                return "354 go"
            case "DATA":
                return "503 no recipients"
            case _:
                return "221 bye"

    async def drain(self, *, timeout_s: float) -> None:
        return

    async def start_tls(self, server_name: str, *, link: LinkTls, timeout_s: float) -> TlsInfo:
        raise WorldFault("no TLS here")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._host.connections -= 1

    @property
    def peer_ip(self) -> str:
        return self._ip

    @property
    def local_ip(self) -> str:
        return self._ip if self._host.state == "is us" else "192.0.2.1"


@dataclass
class FakeDialer:
    """Hosts by address."""

    hosts: dict[str, FakeHost] = field(default_factory=dict)

    async def connect(
        self, address: str, port: int, *, source_address: str, timeout_s: float
    ) -> OutgoingWire:
        host = self.hosts[address]
        host.attempts += 1
        await asyncio.sleep(0)
        if host.state == "down":
            raise WorldFault(f"no connection to {address}: refused")
        return FakeWire(host, address)


@dataclass
class Yard:
    """Everything a scheduler needs, with fakes around it."""

    settings: Settings
    store: FakeStore
    clock: FakeClock
    resolver: FakeResolver
    router: Router
    attempts: Attempts
    scheduler: Scheduler
    log: ListLog
    slots: FakeSlots
    notices: list[tuple[int, tuple[str, ...]]]
    reports: list[tuple[int, tuple[str, ...], bool]]
    delays: list[tuple[int, tuple[str, ...]]]
    said: list[str]
    """The protocol log of connectors that have one."""
    connected: list[str]
    """The connectivity log."""
    notice_to: str = ""
    """Where the notice about a failure goes; "": none is written."""

    def put(self, mail: QueuedMail, *, offer: bool = True) -> None:
        """Commit a mail, and offer it as intake does."""
        self.store.commit([Accept(mail=mail, content=CONTENT)])
        self.store.sync()
        if offer:
            self.scheduler.offer(mail, CONTENT)

    async def settle(self, until: Callable[[], bool], *, turns: int = 3000) -> None:
        """Let the loop turn until something is true. Fails when it never is."""
        for _ in range(turns):
            if until():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("it never came true")

    async def pass_time(self, seconds: float) -> None:
        """Move the clock, and let the pump look."""
        self.clock.advance(seconds)
        self.scheduler.retry_now(next_hop="nobody")
        await asyncio.sleep(0.05)


def yard(
    settings: Settings | None = None,
    *,
    dialer: Dialer | None = None,
    store: FakeStore | None = None,
    resolver: FakeResolver | None = None,
    credentials: dict[str, Credentials] | None = None,
    own_addresses: Sequence[tuple[str, int]] = (),
    wildcard_ports: Sequence[int] = (),
    monotonic: Callable[[], float] | None = None,
    policies: LinkPolicies | None = None,
    results: Results | None = None,
) -> Yard:
    """Join the fakes; the dialer is a real one unless another is given."""
    settings = settings or settings_of({"smart-hosts": ["[192.0.2.10]"]})
    store, clock, resolver = store or FakeStore(), FakeClock(), resolver or FakeResolver()
    router = Router(settings, AcceptedDomains({}))
    log, slots, dice = ListLog(), FakeSlots(), Dice()
    notices: list[tuple[int, tuple[str, ...]]] = []

    async def find(next_hop: NextHop) -> Any:
        return await hosts_of(
            next_hop,
            resolver,
            randomness=dice,
            timeout_s=1.0,
            own_names=[OUR_NAME],
            own_addresses=own_addresses,
        )

    def write_notice(mail: QueuedMail, failed: Sequence[QueuedRecipient], content: Content) -> Accept | None:
        notices.append((mail.mail_id, tuple(str(r.recipient.address) for r in failed)))
        if not made.notice_to:
            return None
        return Accept(
            mail=mail_to(made.notice_to, mail_id=10**6, next_hop="", is_notice=True), content=CONTENT
        )

    reports: list[tuple[int, tuple[str, ...], bool]] = []

    def write_report(
        mail: QueuedMail, delivered: Sequence[QueuedRecipient], content: Content, relayed: bool
    ) -> Accept | None:
        reports.append((mail.mail_id, tuple(str(r.recipient.address) for r in delivered), relayed))
        return None

    delays: list[tuple[int, tuple[str, ...]]] = []

    def write_delay(mail: QueuedMail, waiting: Sequence[QueuedRecipient], content: Content) -> Accept | None:
        delays.append((mail.mail_id, tuple(str(r.recipient.address) for r in waiting)))
        if not made.notice_to:
            return None
        about = mail_to(made.notice_to, mail_id=10**6 + len(delays), next_hop="", is_notice=True)
        return Accept(mail=about, content=CONTENT)

    said: list[str] = []
    connected: list[str] = []
    bodies = PlainBodyFiles()
    courier = Courier(
        dialer=dialer or LoopDialer(client_pump),
        find_hosts=find,
        bodies=bodies,
        body_path=store.body_path,
        monotonic=monotonic or clock.monotonic,
        own=OwnName(
            hostname=OUR_NAME, wildcard_ports=frozenset(wildcard_ports), credentials=credentials or {}
        ),
        counters=NoCounters(),
        log=log,
        logs=OutgoingLogs(now=clock.now, prefix="0" * 8, protocol=said.append, connectivity=connected.append),
        policies=policies,
        results=results,
    )
    maildir = MaildirCourier(
        maildirs=LocalMaildirs(),
        bodies=bodies,
        body_path=store.body_path,
        clock=_as_clock(clock),
        hostname=OUR_NAME,
        log=log,
    )
    queue_clock = QueueClock(clock)
    attempts = Attempts(store=store, courier=courier, maildir=maildir)
    scheduler = Scheduler(
        outside=Outside(
            store=store, in_flight=slots, clock=queue_clock, randomness=dice, counters=NoCounters(), log=log
        ),
        router=router,
        attempts=attempts,
        settling=Settling(
            queue=settings.queue,
            delivery=settings.delivery,
            hostname=OUR_NAME,
            clock=queue_clock,
            randomness=dice,
            write_notice=write_notice,
            write_report=write_report,
            delays=Delays(
                after_s=settings.notices.delay_after_s, store=store, write=write_delay, hostname=OUR_NAME
            ),
        ),
        settings=settings,
    )
    made = Yard(
        settings=settings,
        store=store,
        clock=clock,
        resolver=resolver,
        router=router,
        attempts=attempts,
        scheduler=scheduler,
        log=log,
        slots=slots,
        notices=notices,
        reports=reports,
        delays=delays,
        said=said,
        connected=connected,
    )
    return made


def _as_clock(clock: FakeClock) -> Clock:
    return clock


def parcel_of(mail: QueuedMail, content: Content = CONTENT) -> Parcel:
    """All recipients of the mail, for the next hop of the first."""
    return Parcel(mail, mail.recipients[0].next_hop, mail.recipients, content)


def by_mx(port: int, monotonic: Callable[[], float], **connector: Any) -> Yard:
    """A yard in which the MX of b.example is this port of loopback."""
    resolver = FakeResolver()
    resolver.exchangers_of["b.example"] = (Mx(10, "mx.b.example"),)
    resolver.addresses_of["mx.b.example"] = ("127.0.0.1",)
    settings = settings_of({"port": port, "allow-loopback": True, **connector})
    return yard(settings, resolver=resolver, monotonic=monotonic)


def to_port(*ports: int, **connector: Any) -> Settings:
    """Settings whose smart hosts are these ports of loopback."""
    hosts = [f"[127.0.0.1]:{port}" for port in ports]
    return settings_of({"smart-hosts": hosts, **connector})
