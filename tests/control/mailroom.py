"""Two workers with fake stores, and mails to put into them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.fakes import FakeClock, FakeStore

from gatepost.adapters.counters import Sample
from gatepost.control.commands import AnyCommand, AnyReply, ResourceState
from gatepost.control.worker import WorkerCommands, WorkerFace
from gatepost.delivery.hop import HopStatus
from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.certificate import OwnCertificate
from gatepost.model.connector_state import ConnectorState
from gatepost.model.content import Content
from gatepost.model.envelope import Recipient
from gatepost.model.mail_id import MailIds
from gatepost.model.queued import Accept, MailState, QueuedMail, QueuedRecipient

NOW = 1_800_000_000.0
ANN = Address("ann", "example.com")
CONTENT = Content(head=b"Subject: hello\r\n\r\n", body=b"text\r\n")


@dataclass
class FakeDeliveries:
    """The scheduler's promise, with mails in flight as the test says."""

    in_flight: set[int] = field(default_factory=set)
    withdrawn: list[int] = field(default_factory=list)
    retried: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    offered: list[int] = field(default_factory=list)
    suspended: set[str] = field(default_factory=set)

    def withdraw(self, mail_id: int) -> bool:
        if mail_id in self.in_flight:
            return False
        self.withdrawn.append(mail_id)
        return True

    def offer(self, mail: QueuedMail, content: Content) -> None:
        self.offered.append(mail.mail_id)

    def retry_now(self, *, next_hop: str = "", mail_ids: Sequence[int] = ()) -> None:
        self.retried.append((next_hop, tuple(mail_ids)))

    def suspend(self, next_hop: str) -> None:
        self.suspended.add(next_hop)

    def resume(self, next_hop: str) -> None:
        self.suspended.discard(next_hop)

    def status(self) -> Sequence[HopStatus]:
        return [
            HopStatus(
                next_hop=hop,
                waiting=1,
                in_flight=0,
                connections=0,
                suspended=True,
                last_reply="",
                failures=0,
                backing_off_until_at=0.0,
            )
            for hop in sorted(self.suspended)
        ]


class Worker:
    """One worker with its store; also keeps the promise of control.links.WorkerLink."""

    def __init__(self, number: int = 0, *, running: bool = True) -> None:
        self.worker = number
        self.store = FakeStore()
        self.clock = FakeClock(NOW)
        self.ids = MailIds(number)
        self.deliveries = FakeDeliveries()
        self.doors = {"internet": ConnectorState.RUNNING}
        self.jump_s = 0.0
        self.resources: tuple[ResourceState, ...] = ()
        self.stressed: tuple[str, ...] = ()
        self.certificates: tuple[OwnCertificate, ...] = ()
        self.samples: tuple[Sample, ...] = ()
        self.commands = WorkerCommands(
            self.store,
            face=WorkerFace(
                worker=number,
                process_id=100 + number,
                started_at=NOW - 60,
                revision="abc",
                connectors=lambda: [(name, state, 3) for name, state in self.doors.items()],
                set_connector=self.set_connector,
                take_configuration=self.take_configuration if running else None,
                clock_jump_s=lambda: self.jump_s,
                confirm_clock=self.confirm_clock,
                resources=lambda: self.resources,
                stressed=lambda: self.stressed,
                certificates=lambda: self.certificates,
                samples=lambda: self.samples,
            ),
            clock=self.clock,
            route=lambda _, r, via: f"{via or 'new'}:{r.recipient.address.domain}",
            notice_about=self.notice,
            deliveries=self.deliveries if running else None,
        )

    def set_connector(self, name: str, state: ConnectorState) -> bool:
        known = name in self.doors
        self.doors |= {name: state} if known else {}
        return known

    async def take_configuration(self, path: str, text: str) -> str:
        return "" if text else f"{path} is empty"

    def confirm_clock(self) -> None:
        self.jump_s = 0.0

    def put(
        self,
        *recipients: str,
        state: MailState = MailState.DEFERRED,
        sender: Address = ANN,
        is_notice: bool = False,
        age_s: float = 100.0,
        subject: str = "hello",
    ) -> int:
        """A mail in the store; its id."""
        mail_id = self.ids.next(NOW - age_s)
        mail = QueuedMail(
            mail_id=mail_id,
            session_id="0123456789abcdef",
            received_at=NOW - age_s,
            expires_at=NOW - age_s + 1000,
            sender=sender,
            recipients=tuple(
                QueuedRecipient(
                    number=number,
                    recipient=Recipient(address=Address(*text.split("@"))),
                    next_hop=f"old:{text.partition('@')[2]}",
                    state=state,
                    due_at=NOW + 500,
                    attempts=2,
                    last_reply="451 4.2.0 later",
                )
                for number, text in enumerate(recipients)
            ),
            size_bytes=24,
            source="SMTP:internet",
            client_ip="192.0.2.9",
            message_id="<m@example.com>",
            subject=subject,
            is_notice=is_notice,
        )
        self.store.commit([Accept(mail=mail, content=CONTENT)])
        return mail_id

    def notice(self, mail: QueuedMail, who: Sequence[QueuedRecipient]) -> Accept | None:
        """A notice as notices would compose it; the words it was given are its subject."""
        notice = QueuedMail(
            mail_id=self.ids.next(NOW),
            session_id="",
            received_at=NOW,
            expires_at=NOW + 100,
            sender=NULL_SENDER,
            recipients=(
                QueuedRecipient(
                    number=0, recipient=Recipient(address=mail.sender), next_hop="new:example.com"
                ),
            ),
            is_notice=True,
            subject="; ".join(f"{r.recipient.address} {r.last_reply}" for r in who),
        )
        return Accept(mail=notice, content=CONTENT)

    def ask(self, command: AnyCommand) -> AnyReply:
        return asyncio.run(self.commands.obey(command))

    def states(self, mail_id: int) -> list[str]:
        """Of the recipients that are left."""
        mail = self.store.mail(mail_id)
        return [r.state.value for r in mail.recipients] if mail else []
