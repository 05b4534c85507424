"""Brings waiting mail to its next hops: takes it in, gives each hop its lanes, settles what came of it.

A lane is one task that serves one next hop over one connection, mail after mail, until
nothing waits. Every hop has its own lanes and its own half of the memory at most: one that
is dead or slow costs the others nothing (threats G11, G12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final

from gatepost.config.schedule import parse_schedule
from gatepost.config.settings import Queue
from gatepost.delivery.attempts import Attempts
from gatepost.delivery.courier import Line, NoHost
from gatepost.delivery.hop import Hop, HopStatus
from gatepost.delivery.outcome import Attempt, Fate, all_alike
from gatepost.delivery.owed import OwedSettlements
from gatepost.delivery.settling import FailuresTogether, Settled, Settling
from gatepost.model.content import Content
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Accept, Change, QueuedMail
from gatepost.ports.in_flight import InFlight
from gatepost.ports.log import Counters, Log
from gatepost.ports.store import Store
from gatepost.ports.world import Randomness
from gatepost.protocol.replies import safe_text
from gatepost.queue.active import ActiveMails, Parcel
from gatepost.queue.schedule import Held, QueueClock, retry_delay_s
from gatepost.routing.next_hop import HopKind, NextHop, Router

PULL_LIMIT: Final = 500
POLL_S: Final = 1.0
LONGEST_SLEEP_S: Final = 30.0
PUT_OFF_FULL_S: Final = 120.0
"""For mails of a hop that has its half of the places already."""
PUT_OFF_SUSPENDED_S: Final = 600.0
LONGEST_CLOSED_S: Final = 86400.0
"""After a day a mail looks again whether its connector sends: the schedule may be another by then."""
FORCED_S: Final = 60.0
"""How long a retry of a next hop by an administrator opens a connector that is closed by its schedule."""
STUMBLES_LIMIT: Final = 3
"""Conversations in a row that broke off with everybody deferred, after which the hop rests."""
WITHDRAWN_S: Final = 10.0
"""How long a mail that control took away is left alone, until control's own transaction is durable."""

_SUSPENDED: Final = "451 4.3.2 Suspended by the administrator"
_BROKE_OFF: Final = "451 4.4.2 Conversations with the next hop broke off one after another"
_BUG: Final = "451 4.3.0 Local error in processing"
_CLOSED: Final = "451 4.3.2 The send connector sends at other times"
_NO_CONTENT: Final = Content(head=b"", body=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The ports of the scheduler."""

    store: Store
    in_flight: InFlight
    clock: QueueClock
    randomness: Randomness
    counters: Counters
    log: Log


@dataclass(slots=True)
class _Withdrawn:
    """Mails that control is changing: not to be leased for a moment."""

    until: dict[int, float] = field(default_factory=dict)

    def ids(self, now: float) -> frozenset[int]:
        self.until = {mail_id: until for mail_id, until in self.until.items() if until > now}
        return frozenset(self.until)


class Scheduler:
    """The deliveries of one worker. All methods are for the event loop's thread."""

    def __init__(
        self, *, outside: Outside, router: Router, attempts: Attempts, settling: Settling, queue: Queue
    ) -> None:
        self._store = outside.store
        self._in_flight = outside.in_flight
        self._clock = outside.clock
        self._randomness = outside.randomness
        self._counters = outside.counters
        self._log = outside.log
        self._router = router
        self._attempts = attempts
        self._settling = settling
        self._queue = queue
        self._active = ActiveMails(queue)
        self._together = FailuresTogether()
        self._owed = OwedSettlements(outside.store, outside.log)
        self._hops: dict[str, Hop] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._withdrawn = _Withdrawn()
        self._kicked = asyncio.Event()
        self._stopping = False
        self._store_has_more = False

    def start(self) -> None:
        """Begin to look for due mail."""
        self._spawn(self._pump())

    async def stop(self, timeout_s: float) -> None:
        """Start nothing new, let deliveries finish for a while, then break them off: their mail stays queued."""
        self._stopping = True
        self._kicked.set()
        tasks = set(self._tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._owed.finish(timeout_s)
        self._attempts.courier.parked.close_all()

    # -- mail comes ---------------------------------------------------------------------------

    def offer(self, mail: QueuedMail, content: Content) -> None:
        """A mail that was just committed. Refused silently when there is no room: the store has it."""
        if self._stopping or mail.mail_id in self._withdrawn.until:
            return
        if any(self._active.is_full_for(r.next_hop) for r in mail.recipients) or not self._active.room:
            self._store_has_more = True
            return
        self._take_in(mail, content, put_off=frozenset())

    def _pull(self) -> int:
        """Lease what is due in the store; how many mails came."""
        limit = min(self._active.room, PULL_LIMIT)
        if not limit:
            self._store_has_more = True
            return 0
        now = self._clock.now()
        self._forget_hops(now)
        excluding = self._active.mail_ids | self._withdrawn.ids(self._clock.monotonic())
        mails = self._store.due(now=now, limit=limit, excluding=excluding)
        for mail in mails:
            full = frozenset(r.next_hop for r in mail.recipients if self._active.is_full_for(r.next_hop))
            self._take_in(mail, None, put_off=full)
        self._store_has_more = len(mails) == limit
        return len(mails)

    def _forget_hops(self, now: float) -> None:
        """Hops that nobody needs; how often one failed is remembered for its longest rest."""
        longest_s = self._queue.longest_retry_s
        for key in [k for k, h in self._hops.items() if h.is_unused(now - longest_s)]:
            del self._hops[key]

    def _take_in(self, mail: QueuedMail, content: Content | None, *, put_off: frozenset[str]) -> None:
        parcels = self._active.lease(mail, content)
        self._together.expect(mail.mail_id, len(parcels))
        for parcel in parcels:
            if parcel.next_hop in put_off:
                due_at = self._clock.now() + PUT_OFF_FULL_S * (1.0 + self._randomness.uniform())
                self._put_off(parcel, "451 4.3.2 Too much mail waits for this next hop", due_at=due_at)
            else:
                self._queue_up(parcel)

    def _queue_up(self, parcel: Parcel) -> None:
        next_hop = self._router.by_key(parcel.next_hop)
        if next_hop.kind is HopKind.UNREACHABLE:
            self._reroute(parcel)
            return
        hop = self._hops.get(parcel.next_hop) or self._hops.setdefault(parcel.next_hop, Hop(parcel.next_hop))
        held = self._held(hop, next_hop)
        if held is not None:
            self._put_off(parcel, held.why, due_at=held.until_at)
        else:
            hop.add(parcel)
            self._open_lanes(hop, next_hop)

    def _held(self, hop: Hop, next_hop: NextHop) -> Held | None:
        now = self._clock.now()
        if hop.suspended or next_hop.settings.suspended:
            return Held(_SUSPENDED, now + PUT_OFF_SUSPENDED_S)
        if hop.rests(now):
            return Held(hop.resting_because, hop.backing_off_until_at)
        if (opens_at := hop.opens_at(parse_schedule(next_hop.settings.schedule), now)) > now:
            return Held(_CLOSED, min(opens_at, now + LONGEST_CLOSED_S))
        return None

    def held(self, next_hop: str) -> Held | None:
        """Why a mail that comes in now would only wait, and until when; None when it may leave at once.

        Asked before it is accepted: it is stored as waiting then, and costs no second transaction.
        """
        way = self._router.by_key(next_hop)
        hop = self._hops.get(next_hop)
        if way.kind is HopKind.UNREACHABLE or (hop is None and not way.settings.suspended):
            return None
        return self._held(hop or Hop(next_hop), way)

    def _reroute(self, parcel: Parcel) -> None:
        """The configuration changed under the mail: ask routing again."""
        ways = [self._router.next_hop_for(r.recipient.address) for r in parcel.recipients]
        self._store_has_more = True
        keys = [None if way.kind is HopKind.UNREACHABLE else way.key for way in ways]
        self._settle(parcel, self._settling.rerouted(parcel, keys), None)

    # -- lanes ------------------------------------------------------------------------------------

    def _open_lanes(self, hop: Hop, next_hop: NextHop) -> None:
        while not self._stopping and hop.wants_lane(next_hop.settings.connections):
            hop.lanes += 1
            self._spawn(self._lane(hop, next_hop))

    async def _lane(self, hop: Hop, next_hop: NextHop) -> None:
        """Serve one hop until nothing waits, it rests, or the worker stops."""
        line: Line | None = None
        schedule = parse_schedule(next_hop.settings.schedule)
        try:
            while not self._stopping and (parcel := hop.take()) is not None:
                try:
                    line = await self._deliver(hop, next_hop, parcel, line)
                except NoHost as fault:
                    line = None
                    self._no_host(hop, parcel, fault)
                    break
                if hop.stumbles >= STUMBLES_LIMIT:
                    self._rest(hop, hop.take_all(), _BROKE_OFF)
                elif hop.opens_at(schedule, now := self._clock.now()) > now:
                    for waiting in hop.take_all():
                        self._queue_up(waiting)
                if hop.has_too_many_lanes:
                    break
        finally:
            hop.lanes -= 1
            if line is not None:
                self._attempts.courier.park(line)
            if not hop.rests(self._clock.now()):
                self._open_lanes(hop, next_hop)

    async def _deliver(self, hop: Hop, next_hop: NextHop, parcel: Parcel, line: Line | None) -> Line | None:
        slot = self._in_flight.enter(parcel.mail.mail_id)
        hop.in_flight += 1
        attempted = False
        try:
            attempt, line = await self._attempts.make(parcel, next_hop, line)
            attempted = True
        except NoHost:
            raise
        except Exception as bug:  # noqa: BLE001  # the edge of the lane: a bug of ours delays this mail, no other
            self._log.write("error", "delivery-bug", mail_id=parcel.mail.mail_id, what=repr(bug))
            attempt, line, attempted = _spoiled(parcel), None, True
        finally:
            hop.in_flight -= 1
            if not attempted:
                self._in_flight.leave(slot)
        hop.spoke(attempt, next_hop.settings.connections, hung_up=line is None)
        self._count(attempt, next_hop.connector)
        into_mailbox = next_hop.settings.delivery != "smtp"
        settled = self._settling.after(parcel, attempt, next_hop.connector, into_mailbox=into_mailbox)
        self._settle(parcel, settled, slot)
        return line

    def _no_host(self, hop: Hop, parcel: Parcel, fault: NoHost) -> None:
        """One lane among others just ends; the last one sends the whole hop to rest, with all its mail."""
        reply = safe_text(f"451 4.4.1 {fault.reason}")
        if hop.lanes > 1:
            hop.lane_failed(reply)
            hop.add(parcel)
            return
        hop.last_reply = reply
        self._rest(hop, [parcel, *hop.take_all()], reply)

    def _rest(self, hop: Hop, parcels: Sequence[Parcel], reply: str) -> None:
        """Leave the hop alone for a while; its mails are deferred without trying one by one, each with `reply`."""
        now = self._clock.now()
        rest_s = retry_delay_s(hop.failures + 1, self._queue, jitter=self._randomness.uniform())
        hop.failed(rest_until_at=now + rest_s, why=reply)
        connector = self._router.by_key(hop.key).connector
        self._log.write(
            "warning", "next-hop-down", next_hop=hop.key, why=hop.last_reply, rest_s=round(rest_s)
        )
        for parcel in parcels:
            attempt = Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, reply))
            self._count(attempt, connector)
            self._settle(parcel, self._settling.after(parcel, attempt, connector, into_mailbox=False), None)

    # -- settling ---------------------------------------------------------------------------------

    def _put_off(self, parcel: Parcel, why: str, *, due_at: float) -> None:
        self._settle(parcel, self._settling.put_off(parcel, why, due_at=due_at), None)

    def _settle(self, parcel: Parcel, settled: Settled, slot: int | None) -> None:
        changes, mail = settled.changes, parcel.mail
        notices: list[Accept] = []
        failed = self._together.decided(mail.mail_id, settled.failed, settled.peer)
        if failed:
            last, notice = self._settling.give_up(mail, failed, lambda: self._content_of(parcel))
            changes = (*changes, *last)
            notices += [notice] if notice is not None else []
        if settled.waiting:
            more, delay = self._settling.delay(mail, settled.waiting, lambda: self._content_of(parcel))
            changes = (*changes, *more)
            notices += [delay] if delay is not None else []
        if settled.succeeded:
            more, report = self._settling.report(
                mail, settled.succeeded, lambda: self._content_of(parcel), relayed=settled.relayed
            )
            changes = (*changes, *more)
            notices += [report] if report is not None else []
        if changes:
            self._commit(parcel, changes, notices, slot)
        else:  # its failures wait for the mail's other parcels
            self._end(parcel, slot)

    def _commit(
        self, parcel: Parcel, changes: tuple[Change, ...], notices: Sequence[Accept], slot: int | None
    ) -> None:
        def durable() -> None:
            self._end(parcel, slot)
            for notice in notices:
                self.offer(notice.mail, notice.content)

        self._owed.commit(parcel.mail.mail_id, changes, durable)

    def _end(self, parcel: Parcel, slot: int | None) -> None:
        if slot is not None:
            self._in_flight.leave(slot)
        self._active.end_lease(parcel)
        if self._store_has_more:
            self._kicked.set()

    def _content_of(self, parcel: Parcel) -> Content:
        try:
            return parcel.content or self._store.content(parcel.mail.mail_id)
        except WorldFault:
            return _NO_CONTENT

    def _count(self, attempt: Attempt, connector: str) -> None:
        for outcome in attempt.outcomes:
            self._counters.add(f"recipients_{outcome.fate.value}", 1, connector=connector)

    # -- the pump ---------------------------------------------------------------------------------

    async def _pump(self) -> None:
        """Look into the store whenever something may be due and there is room for it."""
        while not self._stopping:
            self._kicked.clear()
            came = 0
            try:
                came = self._pull()
                sleep_s = 0.0 if came and self._active.room else self._sleep_s()
            except Exception as error:  # noqa: BLE001  # the edge of the pump: whatever it is, mail must go on
                self._log.write("error", "queue-unreadable", what=repr(error))
                sleep_s = POLL_S
            await self._sleep(sleep_s)

    def _sleep_s(self) -> float:
        next_due_at = self._store.next_due_at()
        if next_due_at is None:
            return LONGEST_SLEEP_S
        # What is leased counts as due in the store: no sense in asking all the time.
        return min(max(next_due_at - self._clock.now(), POLL_S), LONGEST_SLEEP_S)

    async def _sleep(self, sleep_s: float) -> None:
        try:
            async with asyncio.timeout(sleep_s):
                await self._kicked.wait()
        except TimeoutError:
            return
        # A burst of settlements is one reason to look, not a thousand.
        await asyncio.sleep(0.01)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._log.write("error", "delivery-bug", what=repr(bug))

    # -- the administrator ------------------------------------------------------------------------

    def withdraw(self, mail_id: int) -> bool:
        """Forget the mail in memory so that control may change it; False, and nothing done, when it is in flight.

        A withdrawn mail is not leased again for 10 seconds, or until `retry_now` names it.
        """
        parcels = [(hop, parcel) for hop in self._hops.values() if (parcel := hop.take_mail(mail_id))]
        if mail_id in self._active and not self._is_only(mail_id, [parcel for _, parcel in parcels]):
            for hop, parcel in parcels:
                hop.add(parcel)
            return False
        for _, parcel in parcels:
            self._together.decided(mail_id, ())
            self._active.end_lease(parcel)
        self._withdrawn.until[mail_id] = self._clock.monotonic() + WITHDRAWN_S
        return True

    def _is_only(self, mail_id: int, waiting: Sequence[Parcel]) -> bool:
        return self._active.open_parcels(mail_id) == len(waiting)

    def retry_now(self, *, next_hop: str = "", mail_ids: Sequence[int] = ()) -> None:
        """Forget the rest of a hop ("" and no mails: of all hops), or let these mails be leased again; look now.

        A hop that is named is tried whatever its connector's schedule says, for a minute.
        """
        for mail_id in mail_ids:
            self._withdrawn.until.pop(mail_id, None)
        if next_hop:
            hop = self._hops.setdefault(next_hop, Hop(next_hop))
            hop.forced_until_at = self._clock.now() + FORCED_S
        for hop in self._hops.values():
            if hop.key == next_hop or not (next_hop or mail_ids):
                hop.try_now()
        self._kicked.set()

    def suspend(self, next_hop: str) -> None:
        """Attempt nothing for this hop until `resume`; what is in flight is finished."""
        hop = self._hops.setdefault(next_hop, Hop(next_hop))
        hop.suspended = True
        for parcel in hop.take_all():
            self._queue_up(parcel)
        self._attempts.courier.parked.close_hop(next_hop)

    def resume(self, next_hop: str) -> None:
        """Go on with it. What was put off meanwhile becomes due when control says so (RetryHop)."""
        hop = self._hops.get(next_hop)
        if hop is not None:
            hop.suspended = False
        self.retry_now(next_hop=next_hop)

    def status(self) -> tuple[HopStatus, ...]:
        """Every hop in memory."""
        return tuple(hop.status for _, hop in sorted(self._hops.items()))


def _spoiled(parcel: Parcel) -> Attempt:
    return Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, _BUG))
