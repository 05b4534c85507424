"""The worker's side of control: each command becomes one transaction, and the answer says what it changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from gatepost.config.settings import Queue
from gatepost.control.commands import (
    AnyCommand,
    AnyReply,
    AskMetrics,
    AskStatus,
    CertificateState,
    Changed,
    ConfirmClock,
    ConnectorStatus,
    DeleteQuarantine,
    HopState,
    PlugInOff,
    Refused,
    ReleaseQuarantine,
    RemoveMail,
    ReopenLog,
    ResourceState,
    ResumeHop,
    ResumeMail,
    RetryHop,
    RetryMail,
    Samples,
    SetConnector,
    Skipped,
    SuspendHop,
    SuspendMail,
    TakeConfiguration,
    Target,
    WorkerStatus,
    decode_command,
    encode,
)
from gatepost.delivery.hop import HopStatus
from gatepost.model.certificate import OwnCertificate
from gatepost.model.connector_state import ConnectorState
from gatepost.model.content import Content
from gatepost.model.fault import Fault
from gatepost.model.queued import (
    Accept,
    Change,
    KeepRecords,
    MailState,
    QueuedMail,
    QueuedRecipient,
    Settle,
    Settlement,
)
from gatepost.policy.fuses import OffPlugIn
from gatepost.ports.store import MailFilter, Store
from gatepost.ports.world import Clock
from gatepost.quarantine import waiting
from gatepost.records import tracking

IN_FLIGHT = "is being delivered at this moment: ask again when the attempt is over"
REMOVED_REPLY = "554 5.7.0 Removed from the queue by an administrator"
"""What the sender of a removed mail is told."""
GONE = "is not in the queue (any more)"
_PAGE = 1000


class Deliveries(Protocol):
    """What control needs of the scheduler (delivery.scheduler keeps this promise)."""

    def withdraw(self, mail_id: int) -> bool:
        """Forget the mail in memory; False when it is in flight."""

    def offer(self, mail: QueuedMail, content: Content) -> None:
        """A mail that was just committed and may be delivered at once."""

    def retry_now(self, *, next_hop: str = "", mail_ids: Sequence[int] = ()) -> None:
        """Forget back-offs of the hop ("": all hops) or look for these mails in the store now."""

    def suspend(self, next_hop: str) -> None:
        """Attempt nothing for this hop."""

    def resume(self, next_hop: str) -> None:
        """Go on with it."""

    def status(self) -> Sequence[HopStatus]:
        """Every hop in memory."""


ComposeNotice = Callable[[QueuedMail, Sequence[QueuedRecipient]], Accept | None]
"""A failure notice about a removed mail, or None when it must be silent (null sender, our own notice)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFace:
    """What a worker tells about itself."""

    worker: int
    process_id: int
    started_at: float
    revision: str
    hostname: str = ""
    """For the tracking records of notices."""
    sessions: Callable[[], int] = lambda: 0
    samples: Callable[[], Iterable[tuple[str, tuple[tuple[str, str], ...], float]]] = tuple
    reopen_log: Callable[[], None] = lambda: None
    connectors: Callable[[], Iterable[tuple[str, ConnectorState, int]]] = tuple
    """Name, state and open sessions of each receive connector."""
    set_connector: Callable[[str, ConnectorState], bool] = lambda _name, _state: False
    """False when there is none of the name."""
    take_configuration: Callable[[str, str], Awaitable[str]] | None = None
    """(path, text) -> why it cannot be taken without a restart, "" when it was."""
    clock_jump_s: Callable[[], float] = lambda: 0.0
    confirm_clock: Callable[[], None] = lambda: None
    resources: Callable[[], tuple[ResourceState, ...]] = tuple
    stressed: Callable[[], tuple[str, ...]] = tuple
    why_not_accepting: Callable[[], str] = str
    """Besides the store's reasons."""
    shared_problem: Callable[[], str] = str
    certificates: Callable[[], tuple[OwnCertificate, ...]] = tuple
    plug_ins_off: Callable[[], tuple[OffPlugIn, ...]] = tuple


@dataclass(slots=True)
class _Work:
    """What one command will change."""

    changes: list[Change] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notices: list[Accept] = field(default_factory=list)
    mail_ids: list[int] = field(default_factory=list)
    recipients: int = 0
    next_hops: set[str] = field(default_factory=set)
    """Those of the recipients that were put back into the queue."""

    def add(self, mail: QueuedMail, who: Sequence[QueuedRecipient], changes: Sequence[Change]) -> None:
        """One mail's share."""
        self.changes.extend(changes)
        self.mail_ids.append(mail.mail_id)
        self.recipients += len(who)


class WorkerCommands:
    """Obeys commands for one worker's store.

    deliveries: None when the gateway is down and the command line has opened the store itself.
    route: a recipient's next-hop key as the configuration in force has it, or by the send connector of that name;
        raises WorldFault when there is none.
    notice_about: composes what `queue remove --ndr` sends.
    queue: how long released and resubmitted mail is tried; None: the defaults.
    """

    def __init__(
        self,
        store: Store,
        *,
        face: WorkerFace,
        clock: Clock,
        route: Callable[[QueuedMail, QueuedRecipient, str], str],
        notice_about: ComposeNotice,
        deliveries: Deliveries | None,
        queue: Queue | None = None,
    ) -> None:
        self._store = store
        self._face = face
        self._clock = clock
        self._queue = queue or Queue()
        self._route = route
        self._notice_about = notice_about
        self._deliveries = deliveries

    async def answer(self, request: bytes) -> bytes:
        """For the control socket: octets of a command in, octets of an answer out. Never raises a Fault."""
        try:
            reply: AnyReply = await self.obey(decode_command(request))
        except ValueError as error:
            reply = Refused(str(error))
        except Fault as fault:
            reply = Refused(fault.reason)
        return encode(reply)

    async def obey(self, command: AnyCommand) -> AnyReply:
        """Do it, and answer when it is durable. Raises WorldFault when the store cannot."""
        match command:
            case AskStatus():
                return self._status()
            case AskMetrics():
                return Samples(samples=tuple(self._face.samples()))
            case ReopenLog():
                self._face.reopen_log()
                return Changed()
            case TakeConfiguration() | SetConnector() | ConfirmClock():
                return await self._operate(command)
            case SuspendHop() | ResumeHop():
                return await self._hop(command)
            case RetryHop():
                return await self._retry_hop(command.next_hop)
            case _:
                return await self._change(command)

    async def _operate(self, command: TakeConfiguration | SetConnector | ConfirmClock) -> AnyReply:
        """What is about the worker itself."""
        face = self._face
        match command:
            case TakeConfiguration(path=path, text=text):
                if face.take_configuration is None:
                    return Refused("the gateway is down: it reads the file when it starts")
                why_not = await face.take_configuration(path, text)
                return Refused(why_not) if why_not else Changed()
            case SetConnector(name=name, state=state):
                done = face.set_connector(name, state)
                return Changed() if done else Refused(f"there is no receive connector {name!r}")
            case ConfirmClock():
                face.confirm_clock()
                if self._deliveries is not None:
                    self._deliveries.retry_now(mail_ids=(0,))  # nothing of that number: look for what is due
                return Changed()

    def _status(self) -> WorkerStatus:
        return WorkerStatus(
            worker=self._face.worker,
            process_id=self._face.process_id,
            started_at=self._face.started_at,
            revision=self._face.revision,
            sessions=self._face.sessions(),
            not_accepting=self._store.why_not_accepting() or self._face.why_not_accepting(),
            resources=self._face.resources(),
            stressed=self._face.stressed(),
            hops=tuple(_hop_state(hop) for hop in self._deliveries.status()) if self._deliveries else (),
            connectors=tuple(ConnectorStatus(*door) for door in self._face.connectors()),
            clock_jump_s=self._face.clock_jump_s(),
            shared_problem=self._face.shared_problem(),
            certificates=tuple(_certificate(one) for one in self._face.certificates()),
            plug_ins_off=tuple(PlugInOff(*one) for one in self._face.plug_ins_off()),
        )

    async def _hop(self, command: SuspendHop | ResumeHop) -> AnyReply:
        if self._deliveries is None:
            return Refused("the gateway is down: nothing is delivered anyway")
        if isinstance(command, ResumeHop):
            self._deliveries.resume(command.next_hop)
            return await self._retry_hop(command.next_hop)  # what was put off meanwhile
        self._deliveries.suspend(command.next_hop)
        return Changed()

    async def _retry_hop(self, next_hop: str) -> AnyReply:
        """All that waits for the hop becomes due now, page by page: a queue may be longer than memory."""
        done, after = Changed(), 0
        wanted = MailFilter(next_hop=next_hop, state=MailState.DEFERRED)
        while found := self._store.find(wanted, limit=_PAGE, after=after):
            after = found[-1].mail_id
            work = _Work()
            for mail in found:
                who = [r for r in mail.recipients if _waits_for(r, next_hop)]
                self._free(work, mail, who, keep_route=True)
            done += await self._commit(work)
        if self._deliveries is not None:
            self._deliveries.retry_now(next_hop=next_hop)
        return done

    async def _change(
        self,
        command: RetryMail | SuspendMail | ResumeMail | RemoveMail | ReleaseQuarantine | DeleteQuarantine,
    ) -> Changed:
        work = _Work()
        for target in command.targets:
            mail = self._store.mail(target.mail_id)
            if mail is None:
                work.skipped.append(Skipped(target.mail_id, GONE))
                continue
            who = _chosen(mail, target, command)
            if not who:
                work.skipped.append(Skipped(target.mail_id, _why_none(command)))
            elif self._deliveries is not None and not self._deliveries.withdraw(mail.mail_id):
                work.skipped.append(Skipped(target.mail_id, IN_FLIGHT))
            else:
                self._plan(work, command, mail, who)
        done = await self._commit(work)
        if self._deliveries is not None and work.mail_ids:
            if isinstance(command, RetryMail):  # somebody wants an attempt: a hop that rests is woken up
                for next_hop in sorted(work.next_hops):
                    self._deliveries.retry_now(next_hop=next_hop)
            self._deliveries.retry_now(mail_ids=work.mail_ids)
        return done

    def _plan(
        self,
        work: _Work,
        command: RetryMail | SuspendMail | ResumeMail | RemoveMail | ReleaseQuarantine | DeleteQuarantine,
        mail: QueuedMail,
        who: Sequence[QueuedRecipient],
    ) -> None:
        now, by = self._clock.now(), command.by
        match command:
            case SuspendMail():
                self._settle(work, mail, who, MailState.SUSPENDED)
            case RemoveMail(notice=notice):
                self._settle(work, mail, who, MailState.REMOVED)
                work.changes.append(KeepRecords(records=(tracking.removed(mail, who, at=now, by=by),)))
                if notice:
                    self._notify(work, mail, who)
            case DeleteQuarantine():
                record = tracking.removed(mail, who, at=now, by=by)
                work.add(mail, who, waiting.delete(mail, records=(record,), numbers=_numbers(who)))
            case ReleaseQuarantine():
                record = tracking.released(mail, who, at=now, by=by)
                freed = waiting.release(
                    mail, now=now, queue=self._queue, records=(record,), numbers=_numbers(who)
                )
                work.add(mail, who, freed)
            case ResumeMail() | RetryMail():
                given_up = [r for r in who if r.state in _GIVEN_UP]
                via = command.via if isinstance(command, RetryMail) else ""
                self._free(work, mail, who, renewed=bool(given_up), via=via)
                if given_up or via:
                    record = tracking.resubmitted(mail, who if via else given_up, at=now, by=by)
                    work.changes.append(KeepRecords(records=(record,)))

    def _notify(self, work: _Work, mail: QueuedMail, who: Sequence[QueuedRecipient]) -> None:
        """Never about a notice, never to the null sender (RFC 5321 §6.1)."""
        if mail.is_notice or mail.sender.is_null:
            return
        notice = self._notice_about(mail, [replace(r, last_reply=REMOVED_REPLY) for r in who])
        if notice is not None:
            record = tracking.dsn(notice.mail, mail, at=self._clock.now(), hostname=self._face.hostname)
            work.changes += (notice, KeepRecords(records=(record,)))
            work.notices.append(notice)

    def _free(
        self,
        work: _Work,
        mail: QueuedMail,
        who: Sequence[QueuedRecipient],
        *,
        renewed: bool = False,
        keep_route: bool = False,
        via: str = "",
    ) -> None:
        """Back to the queue and due now, by the routing of today or via a connector. renewed: its life begins anew."""
        life_s = self._queue.notice_expiry_s if mail.is_notice else self._queue.expiry_s
        expires_at = max(mail.expires_at, self._clock.now() + life_s) if renewed else None
        self._settle(work, mail, who, MailState.READY, expires_at=expires_at, reroute=not keep_route, via=via)

    def _settle(
        self,
        work: _Work,
        mail: QueuedMail,
        who: Sequence[QueuedRecipient],
        state: MailState,
        *,
        expires_at: float | None = None,
        reroute: bool = False,
        via: str = "",
    ) -> None:
        now = self._clock.now()
        settlements = tuple(
            Settlement(
                number=r.number,
                state=state,
                due_at=now if state is MailState.READY else r.due_at,
                attempts=r.attempts,
                last_reply=r.last_reply,
                next_hop=self._route(mail, r, via) if reroute else None,
            )
            for r in who
        )
        if state is MailState.READY:
            work.next_hops.update(s.next_hop or r.next_hop for s, r in zip(settlements, who, strict=True))
        work.add(mail, who, [Settle(mail_id=mail.mail_id, settlements=settlements, expires_at=expires_at)])

    async def _commit(self, work: _Work) -> Changed:
        """Durable, or WorldFault. A mail that went in flight meanwhile is told apart from the others."""
        if work.changes:
            await committed(self._store, work.changes)
        if self._deliveries is not None:
            for notice in work.notices:
                self._deliveries.offer(notice.mail, notice.content)
        return Changed(
            mails=len(work.mail_ids),
            recipients=work.recipients,
            skipped=tuple(work.skipped),
            notices=len(work.notices),
        )


async def committed(store: Store, changes: Sequence[Change]) -> None:
    """Wait until the changes are on stable storage. Raises WorldFault when they are not."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def done(error: BaseException | None) -> None:
        if waiter.cancelled():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    store.commit(changes, done)
    await waiter


_GIVEN_UP = (MailState.UNREACHABLE, MailState.POISON, MailState.DEAD)
_QUEUED = (MailState.READY, MailState.DEFERRED, MailState.LEASED)


def _chosen(mail: QueuedMail, target: Target, command: object) -> list[QueuedRecipient]:
    """The recipients that the target names and the command is about."""
    return [
        r for r in mail.recipients if (not target.numbers or r.number in target.numbers) and _fits(r, command)
    ]


def _fits(recipient: QueuedRecipient, command: object) -> bool:
    state = recipient.state
    match command:
        case ReleaseQuarantine() | DeleteQuarantine():
            return state is MailState.QUARANTINED
        case SuspendMail():
            return state in _QUEUED or state is MailState.UNREACHABLE
        case ResumeMail():
            return state is MailState.SUSPENDED
        case RetryMail():
            return state in _QUEUED or state in _GIVEN_UP
        case _:
            return state is not MailState.QUARANTINED and not state.is_final


def _why_none(command: object) -> str:
    match command:
        case ReleaseQuarantine() | DeleteQuarantine():
            return "is not in quarantine"
        case ResumeMail():
            return "is not suspended"
        case SuspendMail():
            return "has no recipient that waits to be delivered"
        case RetryMail():
            return "has no recipient that waits (suspended mail is resumed, quarantined mail is released)"
        case _:
            return "has no such recipient in the queue"


def _numbers(who: Sequence[QueuedRecipient]) -> frozenset[int]:
    return frozenset(r.number for r in who)


def _waits_for(recipient: QueuedRecipient, next_hop: str) -> bool:
    return recipient.state is MailState.DEFERRED and (not next_hop or recipient.next_hop == next_hop)


def _certificate(one: OwnCertificate) -> CertificateState:
    return CertificateState(
        direction=one.direction,
        connector=one.connector,
        file=one.file,
        names=one.names,
        issuer=one.issuer,
        expires_at=one.expires_at,
    )


def _hop_state(hop: HopStatus) -> HopState:
    return HopState(
        next_hop=hop.next_hop,
        waiting=hop.waiting,
        in_flight=hop.in_flight,
        connections=hop.connections,
        suspended=hop.suspended,
        retry_at=hop.backing_off_until_at,
        last_reply=hop.last_reply,
    )
