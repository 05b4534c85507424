"""Books what became of a parcel: one transaction with states, records and notices; only then the lease ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gatepost.delivery.settling import FailuresTogether, Settled, Settling, first_due_at
from gatepost.model.content import Content
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Accept, Change
from gatepost.ports.in_flight import InFlight
from gatepost.ports.log import Log
from gatepost.ports.store import Store
from gatepost.queue.active import Parcel

COMMIT_RETRY_S: Final = 5.0
_NO_CONTENT: Final = Content(head=b"", body=b"")

Durable = Callable[[Parcel, Sequence[Accept], float], None]
"""(parcel, notices written with it, when the first of its recipients is due again): it is on stable storage."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The settlements of one worker."""

    store: Store
    in_flight: InFlight
    log: Log
    settling: Settling
    durable: Durable
    together: FailuresTogether = field(default_factory=FailuresTogether)

    def settle(self, parcel: Parcel, settled: Settled, slot: int | None) -> None:
        """Commit it, with the notices it asks for. slot: the parcel's in ports.in_flight, given back afterwards."""
        changes, mail = settled.changes, parcel.mail
        notices: list[Accept] = []
        failed = self.together.decided(mail.mail_id, settled.failed, settled.peer)
        if failed:
            last, notice = self.settling.give_up(mail, failed, lambda: self._content_of(parcel))
            changes = (*changes, *last)
            notices += [notice] if notice is not None else []
        if settled.waiting:
            more, delay = self.settling.delay(mail, settled.waiting, lambda: self._content_of(parcel))
            changes = (*changes, *more)
            notices += [delay] if delay is not None else []
        if settled.succeeded:
            more, report = self.settling.report(
                mail, settled.succeeded, lambda: self._content_of(parcel), relayed=settled.relayed
            )
            changes = (*changes, *more)
            notices += [report] if report is not None else []
        if changes:
            self._commit(parcel, changes, notices, slot)
        else:  # its failures wait for the mail's other parcels
            self._end(parcel, (), (), slot)

    def _commit(
        self, parcel: Parcel, changes: tuple[Change, ...], notices: Sequence[Accept], slot: int | None
    ) -> None:
        def done(error: BaseException | None) -> None:
            if error is None:
                self._end(parcel, changes, notices, slot)
            elif isinstance(error, WorldFault):
                # Delivered is delivered: the mail stays leased until the store knows it.
                self.log.write("error", "settlement-waits", mail_id=parcel.mail.mail_id, why=error.reason)
                asyncio.get_running_loop().call_later(
                    COMMIT_RETRY_S, self._commit, parcel, changes, notices, slot
                )
            else:
                # The store calls it impossible: a bug. The lease is kept so that nothing is sent twice.
                self.log.write("error", "settlement-refused", mail_id=parcel.mail.mail_id, what=repr(error))

        self.store.commit(changes, done)

    def _end(
        self, parcel: Parcel, changes: Sequence[Change], notices: Sequence[Accept], slot: int | None
    ) -> None:
        if slot is not None:
            self.in_flight.leave(slot)
        self.durable(parcel, notices, first_due_at(changes))

    def _content_of(self, parcel: Parcel) -> Content:
        try:
            return parcel.content or self.store.content(parcel.mail.mail_id)
        except WorldFault:
            return _NO_CONTENT
