"""Brings waiting mail to its next hops: takes it in, gives each hop its lanes, settles what came of it.

A lane is one task that serves one next hop over one connection, mail after mail, until
nothing waits. Every hop has its own lanes and its own half of the memory at most: one that
is dead or slow costs the others nothing (threats G11, G12).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Final

from gatepost.config.schedule import parse_schedule
from gatepost.config.settings import Settings
from gatepost.delivery.attempts import Attempts
from gatepost.delivery.courier import Line, NoHost
from gatepost.delivery.hop import Hop, HopStatus
from gatepost.delivery.ledger import Ledger
from gatepost.delivery.limits import KnownHops, Limits, Rank, Sharers, Shares
from gatepost.delivery.outcome import Attempt, Fate, all_alike
from gatepost.delivery.outside import Outside
from gatepost.delivery.owed import OwedSettlements
from gatepost.delivery.settling import Settling
from gatepost.delivery.taken import Taken
from gatepost.delivery.withdrawn import Withdrawn
from gatepost.model.content import Content
from gatepost.model.queued import Accept, QueuedMail
from gatepost.notices.compose import OWN_CODES
from gatepost.protocol.replies import safe_text
from gatepost.queue.active import ActiveMails, Parcel
from gatepost.queue.schedule import Held, rest_delay_s
from gatepost.routing.next_hop import HopKind, NextHop, Router

PULL_LIMIT: Final = 500
POLL_S: Final = 1.0
FORGET_S: Final = 10.0
LONGEST_SLEEP_S: Final = 30.0
PUT_OFF_FULL_S: Final = 120.0
"""For mails of a hop that has its half of the places already."""
PUT_OFF_SUSPENDED_S: Final = 600.0
LONGEST_CLOSED_S: Final = 86400.0
"""After a day a mail looks again whether its connector sends: the schedule may be another by then."""
FORCED_S: Final = 60.0
"""How long a retry of a next hop by an administrator opens a connector that is closed by its schedule."""
REST_SPREAD_S: Final = 60.0
"""Mail of a next hop that rested comes back within a minute of its first mail, which tries whether it is back."""
STUMBLES_LIMIT: Final = 3
"""Conversations in a row that broke off with everybody deferred, after which the hop rests."""
WITHDRAWN_S: Final = 10.0
"""How long a mail that control took away is left alone, until control's own transaction is durable."""

_SUSPENDED: Final = "451 4.3.2 Suspended by the administrator"
_BROKE_OFF: Final = "451 4.4.2 Conversations with the next hop broke off one after another"
_BUG: Final = "451 4.3.0 Local error in processing"
_CLOSED: Final = "451 4.3.2 The send connector sends at other times"


class Scheduler:
    """The deliveries of one worker. All methods are for the event loop's thread."""

    def __init__(
        self, *, outside: Outside, router: Router, attempts: Attempts, settling: Settling, settings: Settings
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
        self._queue = settings.queue
        self._delivery = settings.delivery
        self._limits = Limits(settings.destinations)
        self._known = KnownHops(router.own_keys)
        self._shares = Shares(settings.delivery.connections, has_own=self._known.has_own)
        self._sharers = Sharers(outside.neighbours)
        self._active = ActiveMails(settings.queue, self._known.ranks)
        self._ledger = Ledger(
            store=outside.store,
            in_flight=outside.in_flight,
            owed=OwedSettlements(outside.store, outside.log),
            settling=settling,
            durable=self._durable,
        )
        self._hops: dict[str, Hop] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._withdrawn = Withdrawn()
        self._kicked = asyncio.Event()
        self._stopping = False
        self._store_has_more = False
        self._before: Scheduler | None = None
        self._sleeps_until_at = self._forget_at_s = 0.0

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
        await self._ledger.owed.finish(timeout_s)
        self._attempts.courier.parked.close_all()

    def follow(self, before: Scheduler) -> None:
        """Take over from an older configuration's scheduler, which finishes what it has in work."""
        self._before = before
        self._known.learn_from(before._known)
        for hop in before._hops.values():
            if hop.suspended:
                self._hop(hop.key).suspended = True

    async def retire(self) -> None:
        """Another scheduler follows: let go of what only waits, finish what is in work, however long it takes."""
        self._stopping = True
        self._kicked.set()
        self._let_go()
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))
            self._let_go()
        self._attempts.courier.parked.close_all()
        await self._ledger.owed.paid()  # a stop meanwhile must find us among those it waits for

    def _let_go(self) -> None:
        for hop in self._hops.values():
            for parcel in hop.take_all():
                self._ledger.together.decided(parcel.mail.mail_id, ())
                self._active.end_lease(parcel)

    def _busy(self) -> frozenset[int]:
        """Mails that an older scheduler still has in work, and those of the one before it."""
        before = self._before
        if before is None:
            return frozenset()
        busy = before._active.mail_ids | before._busy()
        if not busy and not before._tasks:
            self._before = None
        return busy

    # -- mail comes ---------------------------------------------------------------------------

    def offer(self, mail: QueuedMail, content: Content) -> None:
        """A mail that was just committed. Refused silently when there is no room: the store has it."""
        if self._stopping or mail.mail_id in self._withdrawn.until:
            return
        is_full_for = self._active.is_full_for
        if not self._active.room or any(is_full_for(r.next_hop, mail.priority) for r in mail.recipients):
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
        excluding = self._active.mail_ids | self._withdrawn.ids(self._clock.monotonic()) | self._busy()
        mails = self._store.due(now=now, limit=limit, excluding=excluding)
        for mail in mails:
            hops = {r.next_hop for r in mail.recipients}
            full = frozenset(hop for hop in hops if self._active.is_full_for(hop, mail.priority))
            self._take_in(mail, None, put_off=full)
        self._store_has_more = len(mails) == limit
        return len(mails)

    def _forget_hops(self, now: float) -> None:
        """Hops that nobody needs; how often one failed is remembered for its longest rest.

        Now and then only: strangers make as many hops as they own names.
        """
        rested_before_at, now_s = now - self._queue.longest_retry_s, self._clock.monotonic()
        if now_s < self._forget_at_s:
            return
        self._forget_at_s = now_s + FORGET_S
        for key in [k for k, h in self._hops.items() if h.is_unused(rested_before_at, now_s)]:
            del self._hops[key]

    def _take_in(self, mail: QueuedMail, content: Content | None, *, put_off: frozenset[str]) -> None:
        parcels = self._active.lease(mail, content, put_off)
        self._ledger.together.expect(mail.mail_id, len(parcels))
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
        hop = self._hop(parcel.next_hop)
        held = self._held(hop, next_hop)
        if held is not None:
            self._put_off(parcel, held.why, due_at=held.until_at)
        else:
            hop.add(parcel)
            self._open_lanes(hop, next_hop)

    def _hop(self, key: str) -> Hop:
        hop = self._hops.get(key)
        if hop is None:
            hop = self._hops[key] = Hop(key, lead_s=self._delivery.priority_lead_s, sharers=self._sharers)
            way = self._router.by_key(key)
            if way.kind is not HopKind.UNREACHABLE:
                limits = self._limits.of(way)
                hop.connections, hop.pace.per_minute = limits.connections, limits.per_minute
        return hop

    def _held(self, hop: Hop | None, next_hop: NextHop) -> Held | None:
        now = self._clock.now()
        if hop is None or hop.suspended or next_hop.settings.suspended:
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
        return self._held(hop, way)  # without a hop it is suspended

    def _reroute(self, parcel: Parcel, slot: int | None = None, *, was_read: bool = False) -> None:
        """The configuration changed under the mail, or it was read for reports: ask routing again."""
        hops = (self._router.next_hop_of(parcel.mail, r, was_read=was_read) for r in parcel.recipients)
        keys = [None if hop.kind is HopKind.UNREACHABLE else hop.key for hop in hops]
        self._store_has_more = True
        self._ledger.settle(parcel, self._settling.rerouted(parcel, keys), slot)

    # -- lanes ------------------------------------------------------------------------------------

    def _open_lanes(self, hop: Hop, next_hop: NextHop) -> None:
        while not self._stopping and hop.wants_lane():
            wait_s = hop.pace.wait_s(self._clock.monotonic())
            if wait_s:
                self._wake(hop, next_hop, wait_s)
                return
            rank = self._known.ranks.get(hop.key, Rank.STRANGE)
            if not self._shares.take(hop.key, rank):
                self._counters.add("delivery_waits", 1, connector=next_hop.connector, why="connections")
                return
            hop.lane_opens()
            self._spawn(self._lane(hop, next_hop, rank))

    def _wake(self, hop: Hop, next_hop: NextHop, wait_s: float) -> None:
        """Look again when the next message may start."""

        def awake() -> None:
            hop.wakes = False
            self._open_lanes(hop, next_hop)

        if not hop.wakes:
            hop.wakes = True
            self._counters.add("delivery_waits", 1, connector=next_hop.connector, why="pace")
            asyncio.get_running_loop().call_later(wait_s, awake)

    def _pass_on(self, rank: Rank) -> None:
        """A lane has ended: those that wait for one have their turn."""
        self._shares.give_back(rank)
        while (key := self._shares.turn()) is not None:
            hop = self._hops.get(key)
            if hop is not None:
                self._open_lanes(hop, self._router.by_key(key))

    async def _lane(self, hop: Hop, next_hop: NextHop, rank: Rank) -> None:
        """Serve one hop until nothing waits, it rests, or the worker stops."""
        line: Line | None = None
        schedule = parse_schedule(next_hop.settings.schedule)
        try:
            while not self._stopping and (parcel := hop.take(now_s := self._clock.monotonic())) is not None:
                try:
                    line = await self._deliver(hop, next_hop, parcel, line, now_s)
                except NoHost as fault:
                    line = None
                    self._no_host(hop, parcel, fault)
                    break
                if hop.stumbles >= STUMBLES_LIMIT:
                    self._rest(hop, hop.take_all(), _BROKE_OFF)
                elif hop.opens_at(schedule, now := self._clock.now()) > now:
                    for waiting in hop.take_all():
                        self._queue_up(waiting)
                if hop.has_too_many_lanes or (self._shares.waiting and self._shares.someone_waits(rank)):
                    break
        finally:
            hop.lane_ends()
            if line is not None:
                self._attempts.courier.park(line)
            self._pass_on(rank)
            if not hop.rests(self._clock.now()):
                self._open_lanes(hop, next_hop)

    async def _deliver(
        self, hop: Hop, next_hop: NextHop, parcel: Parcel, line: Line | None, began_s: float
    ) -> Line | None:
        slot = self._in_flight.enter(parcel.mail.mail_id)
        hop.in_flight += 1
        attempted = False
        connector, into_mailbox = next_hop.connector, next_hop.settings.delivery != "smtp"
        taken = Taken(
            lambda some: self._ledger.settle_some(
                parcel, self._settling.after(parcel, some, connector, into_mailbox=into_mailbox)
            )
        )
        try:
            attempt, line = await self._attempts.make(parcel, next_hop, line, taken)
            attempted = True
        except NoHost:
            raise
        except Exception as bug:  # noqa: BLE001  # the edge of the lane: a bug of ours delays this mail, no other
            self._log.write("error", "delivery-bug", mail_id=parcel.mail.mail_id, what=repr(bug))
            attempt = Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, _BUG))
            line, attempted = None, True
        finally:
            hop.in_flight -= 1
            if not attempted:
                self._in_flight.leave(slot)
        if attempt.goes_on:
            self._reroute(parcel, slot, was_read=True)
            return line
        hop.spoke(attempt, hung_up=line is None)
        if next_hop.domain and self._known.spoke(
            hop.key, self._clock.monotonic() - began_s, attempt.outcomes
        ):
            self._active.is_known(hop.key)
        self._count(attempt, connector)
        settled = self._settling.after(parcel, taken.rest(attempt), connector, into_mailbox=into_mailbox)
        self._ledger.settle(parcel, settled, slot)
        return line

    def _no_host(self, hop: Hop, parcel: Parcel, fault: NoHost) -> None:
        """One lane among others just ends; the last one sends the whole hop to rest, with all its mail."""
        self._known.forget(hop.key)
        reply = safe_text(fault.reason if fault.reason.startswith(OWN_CODES) else f"451 4.4.1 {fault.reason}")
        if hop.lanes > 1:
            hop.lane_failed(reply)
            hop.add(parcel)
            return
        hop.last_reply = reply
        self._rest(hop, [parcel, *hop.take_all()], reply)

    def _rest(self, hop: Hop, parcels: Sequence[Parcel], reply: str) -> None:
        """Leave the hop alone for a while; its mails are deferred without trying one by one, each with `reply`."""
        now = self._clock.now()
        way = self._router.by_key(hop.key)
        rest_s = rest_delay_s(
            hop.failures + 1,
            self._queue,
            self._delivery,
            jitter=self._randomness.uniform(),
            longest_s=0.0 if way.kind is HopKind.UNREACHABLE else way.settings.longest_rest_s,
        )
        hop.failed(rest_until_at=now + rest_s, why=reply)
        self._log.write(
            "warning", "next-hop-down", next_hop=hop.key, why=hop.last_reply, rest_s=round(rest_s)
        )
        due_at, spread_s = now + rest_s, min(0.2 * rest_s, REST_SPREAD_S)
        for parcel in parcels:
            attempt = Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, reply))
            self._count(attempt, way.connector)
            settled = self._settling.after(parcel, attempt, way.connector, into_mailbox=False, due_at=due_at)
            self._ledger.settle(parcel, settled, None)
            due_at = now + rest_s + spread_s * self._randomness.uniform()

    # -- settling ---------------------------------------------------------------------------------

    def _put_off(self, parcel: Parcel, why: str, *, due_at: float) -> None:
        self._ledger.settle(parcel, self._settling.put_off(parcel, why, due_at=due_at), None)

    def _durable(self, parcel: Parcel, notices: Sequence[Accept], first_due_at: float) -> None:
        """A settlement is on stable storage: what it wrote goes out, and the pump looks again when it should."""
        self._active.end_lease(parcel)
        # The pump may have fallen asleep before there was anything to wait for.
        if self._store_has_more or first_due_at < self._sleeps_until_at:
            self._kicked.set()
        for notice in notices:
            self.offer(notice.mail, notice.content)

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
        self._sleeps_until_at = self._clock.now() + sleep_s
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
        if mail_id in self._busy():
            return False
        parcels = [(hop, parcel) for hop in self._hops.values() if (parcel := hop.take_mail(mail_id))]
        if mail_id in self._active and not self._is_only(mail_id, [parcel for _, parcel in parcels]):
            for hop, parcel in parcels:
                hop.add(parcel)
            return False
        for _, parcel in parcels:
            self._ledger.together.decided(mail_id, ())
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
            hop = self._hop(next_hop)
            hop.forced_until_at = self._clock.now() + FORCED_S
        for hop in self._hops.values():
            if hop.key == next_hop or not (next_hop or mail_ids):
                hop.try_now()
        self._kicked.set()

    def suspend(self, next_hop: str) -> None:
        """Attempt nothing for this hop until `resume`; what is in flight is finished."""
        hop = self._hop(next_hop)
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
