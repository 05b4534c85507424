"""When the next attempt is due, when a mail is given up, and which time of day the queue believes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gatepost.config.delivery_settings import Delivery
from gatepost.config.settings import Queue
from gatepost.ports.world import Clock

JUMP_LIMIT_S: Final = 3600.0
_EXPONENT_LIMIT: Final = 64  # 1.7 ** 64 is past every longest-retry; keeps the power from overflowing


@dataclass(frozen=True, slots=True)
class Held:
    """Why a next hop takes nothing for now, and until when. until_at: seconds since the epoch."""

    why: str
    until_at: float


def retry_delay_s(attempt: int, queue: Queue, *, jitter: float) -> float:
    """Seconds to wait after a failed attempt.

    attempt: 1 for the first failure.
    jitter:  0.0-1.0; makes the wait up to 20 percent longer, so that mails deferred together do not come
             back together. Never shorter: a peer that greylists for five minutes means five.

    RFC 5321 §4.5.4.1 wants half an hour or more between attempts and 4-5 days of trying. The
    first waits are shorter, because a peer that greylists takes the mail after some minutes.
    Raises ValueError when attempt is below 1.
    """
    if attempt < 1:
        raise ValueError("attempts are counted from 1")
    wait_s = queue.first_retry_s * queue.retry_factor ** min(attempt - 1, _EXPONENT_LIMIT)
    return min(wait_s, queue.longest_retry_s) * (1.0 + 0.2 * jitter)


def rest_delay_s(
    failure: int, queue: Queue, delivery: Delivery, *, jitter: float, longest_s: float = 0.0
) -> float:
    """Seconds before trying again where nobody listened, or the conversation broke off before the content.

    failure:   1 for the first. The first delivery.glitch-retries come soon: a restart takes a minute.
    longest_s: the send connector's longest-rest; 0.0: queue.longest-retry.
    Raises ValueError when failure is below 1.
    """
    if 1 <= failure <= delivery.glitch_retries:
        wait_s = min(delivery.glitch_wait_s, queue.first_retry_s) * (1.0 + 0.2 * jitter)
    else:
        wait_s = retry_delay_s(failure - delivery.glitch_retries, queue, jitter=jitter)
    return min(wait_s, longest_s * (1.0 + 0.2 * jitter)) if longest_s else wait_s


def next_attempt_at(now: float, wait_s: float, *, expires_at: float) -> float:
    """When to try again; not after the expiry, so that the sender hears of it in time. Never before `now`."""
    return max(now, min(now + wait_s, expires_at))


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock left the steady one by more than JUMP_LIMIT_S. Above 0: forward."""

    by_s: float


class QueueTime:
    """The time the queue lives by: the wall clock, as long as it is sane (threats O17, O18).

    Pure: it is told both clocks and answers. The rules:

    - Differences up to JUMP_LIMIT_S are followed (time servers, leap seconds, a slow start).
    - A greater one is not: time goes on as the monotonic clock says, nothing expires and nothing
      becomes due by it, until `confirm` or until the wall clock comes back.
    - At a start the last time the store saw is the measure. A clock that is more than the limit
      behind it is not believed; of a gap ahead of it nobody knows whether we were down or the
      clock is wrong, so it is believed, but does not count for the life of a mail (`credit_s`).
    """

    def __init__(self, *, wall_at: float, monotonic_s: float, last_seen_at: float | None = None) -> None:
        gap_s = 0.0 if last_seen_at is None else wall_at - last_seen_at
        behind = last_seen_at is not None and gap_s < -JUMP_LIMIT_S
        self._base_at = last_seen_at if behind and last_seen_at is not None else wall_at
        self._base_s = monotonic_s
        self.credit_s = gap_s if gap_s > JUMP_LIMIT_S else 0.0
        """Added to every expiry of this run."""
        self.jump: Jump | None = Jump(gap_s) if behind else None
        """The difference that is not believed at the moment."""

    def at(self, wall_at: float, monotonic_s: float) -> float:
        """Queue time for these readings of both clocks; never goes back while a jump is held off."""
        steady_at = self._base_at + (monotonic_s - self._base_s)
        difference_s = wall_at - steady_at
        if not -JUMP_LIMIT_S <= difference_s <= JUMP_LIMIT_S:
            self.jump = Jump(difference_s)
            return steady_at
        self.jump = None
        self._base_at, self._base_s = wall_at, monotonic_s
        return wall_at

    def confirm(self, wall_at: float, monotonic_s: float) -> None:
        """An administrator says that the wall clock is right: believe it, and let no mail pay for it."""
        gap_s = wall_at - self.at(wall_at, monotonic_s)
        self.credit_s += max(0.0, gap_s)
        self._base_at, self._base_s, self.jump = wall_at, monotonic_s, None

    def has_expired(self, expires_at: float, now: float) -> bool:
        """now: queue time."""
        return now >= expires_at + self.credit_s


class QueueClock:
    """A Clock that tells queue time; for the scheduler, and for everything that writes a due time."""

    def __init__(self, clock: Clock, *, last_seen_at: float | None = None) -> None:
        self._clock = clock
        self._wall, self.monotonic = clock.now, clock.monotonic  # read for every command of every session
        self.time = QueueTime(wall_at=clock.now(), monotonic_s=clock.monotonic(), last_seen_at=last_seen_at)

    def now(self) -> float:
        """Queue time: seconds since the epoch."""
        return self.time.at(self._wall(), self.monotonic())

    @property
    def jump_s(self) -> float:
        """How far the wall clock is from the time the queue believes; 0.0 while it is believed."""
        self.now()
        return self.time.jump.by_s if self.time.jump is not None else 0.0

    def confirm(self) -> None:
        """Believe the wall clock now."""
        self.time.confirm(self._clock.now(), self._clock.monotonic())

    def given_up_at(self, expires_at: float) -> float:
        """When a mail with this expiry is given up: later than that after a long outage."""
        return expires_at + self.time.credit_s

    def has_expired(self, expires_at: float, now: float | None = None) -> bool:
        """Whether a mail with this expiry is to be given up. now: what `now` has just told."""
        return self.time.has_expired(expires_at, self.now() if now is None else now)
