"""One next hop as the scheduler sees it: what waits for it, how many lanes serve it, when it rests."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from gatepost.config.schedule import Schedule
from gatepost.delivery.limits import Pace, Sharers
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.queue.active import Parcel


@dataclass(frozen=True, slots=True, kw_only=True)
class HopStatus:
    """For the administrator: one next hop in this worker's memory. Times are seconds since the epoch."""

    next_hop: str
    waiting: int
    in_flight: int
    connections: int
    suspended: bool
    last_reply: str
    failures: int
    backing_off_until_at: float
    """0.0: it is not backing off."""


@dataclass(slots=True)
class Hop:
    """Parcels that wait, in the order of their turns, and the state of the way. Decides; starts nothing."""

    key: str
    lanes: int = 0
    in_flight: int = 0
    suspended: bool = False
    last_reply: str = ""
    """For the administrator; it may be about one recipient, so it is not put down for others."""
    resting_because: str = ""
    """Why it rests, in words that may stand beside any mail."""
    failures: int = 0
    stumbles: int = 0
    lanes_wanted: int = 2
    """Slow start: a dead host is knocked at by two; each success lets one more lane open, each put-off halves them."""
    backing_off_until_at: float = 0.0
    connections: int = 20
    """Most lanes of all workers."""
    sharers: Sharers = field(default_factory=Sharers)
    lead_s: float = 0.0
    """How much older mail of high priority counts."""
    pace: Pace = field(default_factory=Pace)
    wakes: bool = False
    """A timer will open lanes when the pace allows the next message."""
    forced_until_at: float = 0.0
    """An administrator wants attempts now, whatever the connector's schedule says."""
    _heap: list[tuple[float, int, Parcel]] = field(default_factory=list)

    def add(self, parcel: Parcel) -> None:
        """Let it wait its turn."""
        heapq.heappush(self._heap, (*parcel.turn(self.lead_s), parcel))

    def take(self, now_s: float) -> Parcel | None:
        """The parcel whose turn it is; None when nothing waits, or not before a while. now_s: monotonic."""
        if not self._heap or self.pace.wait_s(now_s):
            return None
        self.pace.started(now_s, self.sharers.count(self.key, joined=self.lanes > 0))
        return heapq.heappop(self._heap)[-1]

    def take_all(self) -> list[Parcel]:
        """Everything that waits."""
        parcels = [entry[-1] for entry in self._heap]
        self._heap.clear()
        return parcels

    def take_mail(self, mail_id: int) -> Parcel | None:
        """The parcel of one mail, out of its turn."""
        for position, entry in enumerate(self._heap):
            if entry[1] == mail_id:
                del self._heap[position]
                heapq.heapify(self._heap)
                return entry[-1]
        return None

    @property
    def waiting(self) -> int:
        """Parcels that wait."""
        return len(self._heap)

    def is_unused(self, rested_before_at: float, now_s: float) -> bool:
        """Nothing would be lost by forgetting it. now_s: monotonic."""
        in_use = self._heap or self.lanes or self.suspended or self.pace.wait_s(now_s)
        return not in_use and max(self.backing_off_until_at, self.forced_until_at) <= rested_before_at

    def opens_at(self, schedule: Schedule, now: float) -> float:
        """When mail may be sent: `now`, the schedule's next time, or infinity."""
        return now if now < self.forced_until_at else schedule.opens_at(now)

    def rests(self, now: float) -> bool:
        """It failed as a whole a short while ago: nothing is tried before the time."""
        return now < self.backing_off_until_at

    @property
    def most_lanes(self) -> int:
        """This worker's share, at least one: others that serve the next hop now have as much each."""
        return max(1, self.connections // self.sharers.count(self.key, joined=self.lanes > 0))

    def wants_lane(self) -> bool:
        """Whether one more lane should be opened."""
        starting = self.lanes - self.in_flight
        return self.waiting > starting and self.lanes < min(self.most_lanes, self.lanes_wanted)

    @property
    def has_too_many_lanes(self) -> bool:
        """The next hop put mail off meanwhile, or another worker came: a lane should end. The last one never should."""
        return self.lanes > max(1, min(self.most_lanes, self.lanes_wanted))

    def lane_opens(self) -> None:
        """One lane more."""
        if not self.lanes:
            self.sharers.joined(self.key)
        self.lanes += 1

    def lane_ends(self) -> None:
        """One less."""
        self.lanes -= 1
        if not self.lanes:
            self.sharers.left(self.key)

    def spoke(self, attempt: Attempt, *, hung_up: bool) -> None:
        """A conversation took place. hung_up: and the connection is gone."""
        self.last_reply = attempt.outcomes[0].reply
        put_off = all(o.fate is Fate.DEFERRED for o in attempt.outcomes)
        if put_off:  # 421, 45x: it has enough of us, or of everybody (threats N08)
            self.lanes_wanted = max(1, self.lanes_wanted // 2)
        if put_off and hung_up:
            self.stumbles += 1
            return
        self.failures, self.stumbles, self.backing_off_until_at = 0, 0, 0.0
        if not put_off:
            self.lanes_wanted = min(self.connections, self.lanes_wanted + 1)

    def lane_failed(self, reply: str) -> None:
        """One lane found no host while others are served: the host wants fewer connections."""
        self.lanes_wanted = max(1, self.lanes - 1)
        self.last_reply = reply

    def failed(self, *, rest_until_at: float, why: str = "") -> None:
        """No host could be spoken to, or every conversation broke off. why: for the mails that wait meanwhile."""
        self.resting_because = why
        self.failures += 1
        self.stumbles, self.lanes_wanted = 0, 1
        self.backing_off_until_at = rest_until_at

    def try_now(self) -> None:
        """An administrator wants no more rest."""
        self.backing_off_until_at, self.lanes_wanted = 0.0, 2

    @property
    def status(self) -> HopStatus:
        """As it is now."""
        return HopStatus(
            next_hop=self.key,
            waiting=self.waiting,
            in_flight=self.in_flight,
            connections=self.lanes,
            suspended=self.suspended,
            last_reply=self.last_reply,
            failures=self.failures,
            backing_off_until_at=self.backing_off_until_at,
        )
