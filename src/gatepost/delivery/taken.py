"""Recipients that a next hop has taken while it is silent about the others: settled after a second, not at the end.

LMTP answers one recipient after the other (RFC 2033 §4.2), and a mail for more than a hundred goes in
several transactions. A worker that dies while the rest hangs must not bring it twice to those who have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from gatepost.delivery.outcome import Attempt, Fate, Outcome
from gatepost.model.envelope import Notify

SETTLE_AFTER_S: Final = 1.0
"""How long the other answers are waited for; mostly they come at once, and one transaction settles all."""


class Taken:
    """What is certain of one parcel before its attempt is over."""

    def __init__(self, settle: Callable[[Attempt], None]) -> None:
        """settle: is called with an attempt of delivered recipients only, each of them once."""
        self._settle = settle
        self._waiting: dict[int, Outcome] = {}
        self._told: set[int] = set()
        self._where = Attempt(outcomes=())
        self._timer: asyncio.TimerHandle | None = None

    def note(self, attempt: Attempt) -> None:
        """So far. Who was promised a report of success is settled at the end, together with it."""
        for outcome in attempt.outcomes:
            number = outcome.recipient.number
            if outcome.fate is Fate.DELIVERED and number not in self._told and not _wants_report(outcome):
                self._waiting[number] = outcome
        if self._waiting and self._timer is None:
            self._where = attempt
            self._timer = asyncio.get_running_loop().call_later(SETTLE_AFTER_S, self._tell)

    def rest(self, attempt: Attempt) -> Attempt:
        """The attempt when it is over, without those who are settled; no later fault undoes what was taken."""
        self._stop()
        if not self._told and not self._waiting:
            return attempt
        left = [o for o in attempt.outcomes if o.recipient.number not in self._told]
        return replace(attempt, outcomes=tuple(self._waiting.get(o.recipient.number, o) for o in left))

    def _tell(self) -> None:
        self._timer = None
        outcomes = tuple(self._waiting.values())
        self._told.update(self._waiting)
        self._waiting.clear()
        self._settle(replace(self._where, outcomes=outcomes))

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _wants_report(outcome: Outcome) -> bool:
    return outcome.we_report and Notify.SUCCESS in outcome.recipient.recipient.notify
