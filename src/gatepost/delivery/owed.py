"""Settlements on their way into the store: one that it cannot take is offered again until it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gatepost.model.fault import WorldFault
from gatepost.model.queued import Change
from gatepost.ports.log import Log
from gatepost.ports.store import Store

RETRY_S: Final = 5.0
LAST_RETRY_S: Final = 0.2
"""Between two offers when the worker wants to stop."""


@dataclass(slots=True, eq=False)
class _Owed:
    """What the store does not know yet."""

    mail_id: int
    changes: Sequence[Change]
    then: Callable[[], None]
    timer: asyncio.TimerHandle | None = None


class OwedSettlements:
    """Delivered is delivered: the mail stays leased, and its settlement owed, until the store has it."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._owed: dict[_Owed, None] = {}
        self._all_paid: asyncio.Future[None] | None = None

    def commit(self, mail_id: int, changes: Sequence[Change], then: Callable[[], None]) -> None:
        """Settle now or as soon as the store can; then is called when it is durable."""
        one = _Owed(mail_id, changes, then)
        self._owed[one] = None
        self._offer(one)

    async def paid(self) -> None:
        """Wait until the store has everything, however long that takes."""
        while self._owed:
            await asyncio.wait([self._payment()])

    async def finish(self, timeout_s: float) -> None:
        """Before a stop: offer what waits again and again, until all is durable or the time is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while self._owed and (left_s := until - loop.time()) > 0:
            for one in [one for one in self._owed if one.timer is not None]:
                self._offer(one)
            await asyncio.wait([self._payment()], timeout=min(left_s, LAST_RETRY_S))

    def _payment(self) -> asyncio.Future[None]:
        """Done when nothing is owed."""
        if self._all_paid is None or self._all_paid.done():
            self._all_paid = asyncio.get_running_loop().create_future()
        return self._all_paid

    def _offer(self, one: _Owed) -> None:
        if one.timer is not None:
            one.timer.cancel()
            one.timer = None

        def done(error: BaseException | None) -> None:
            if error is None:
                self._paid(one)
                one.then()
            elif isinstance(error, WorldFault):
                self._log.write("error", "settlement-waits", mail_id=one.mail_id, why=error.reason)
                one.timer = asyncio.get_running_loop().call_later(RETRY_S, self._offer, one)
            else:
                # The store calls it impossible: a bug. The lease is kept so that nothing is sent twice.
                self._log.write("error", "settlement-refused", mail_id=one.mail_id, what=repr(error))
                self._paid(one)

        self._store.commit(one.changes, done)

    def _paid(self, one: _Owed) -> None:
        self._owed.pop(one, None)
        if not self._owed and self._all_paid is not None and not self._all_paid.done():
            self._all_paid.set_result(None)
