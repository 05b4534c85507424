"""Books what became of a parcel: one transaction with states, records and notices; only then the lease ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gatepost.delivery.owed import OwedSettlements
from gatepost.delivery.settling import FailuresTogether, Settled, Settling, first_due_at
from gatepost.model.content import Content
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Accept, Change
from gatepost.ports.in_flight import InFlight
from gatepost.ports.store import Store
from gatepost.queue.active import Parcel

_NO_CONTENT: Final = Content(head=b"", body=b"")

Durable = Callable[[Parcel, Sequence[Accept], float], None]
"""(parcel, notices written with it, when the first of its recipients is due again): it is on stable storage."""


@dataclass(slots=True)
class _Some:
    """Settlements of some of a parcel's recipients that are not durable yet, and what waits for them."""

    open: int = 0
    end: Callable[[], None] | None = None


@dataclass(slots=True, kw_only=True)
class Ledger:
    """The settlements of one worker."""

    store: Store
    in_flight: InFlight
    settling: Settling
    durable: Durable
    owed: OwedSettlements
    together: FailuresTogether = field(default_factory=FailuresTogether)
    _some: dict[Parcel, _Some] = field(default_factory=dict)

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

    def settle_some(self, parcel: Parcel, settled: Settled) -> None:
        """Commit what is certain of some recipients while the parcel is under way; its lease waits for this, too."""
        some = self._some.setdefault(parcel, _Some())
        some.open += 1

        def durable() -> None:
            some.open -= 1
            if not some.open:
                del self._some[parcel]
                if some.end is not None:
                    some.end()

        self.owed.commit(parcel.mail.mail_id, settled.changes, durable)

    def _commit(
        self, parcel: Parcel, changes: tuple[Change, ...], notices: Sequence[Accept], slot: int | None
    ) -> None:
        self.owed.commit(parcel.mail.mail_id, changes, lambda: self._end(parcel, changes, notices, slot))

    def _end(
        self, parcel: Parcel, changes: Sequence[Change], notices: Sequence[Accept], slot: int | None
    ) -> None:
        if (some := self._some.get(parcel)) is not None:
            some.end = lambda: self._end(parcel, changes, notices, slot)
            return
        if slot is not None:
            self.in_flight.leave(slot)
        self.durable(parcel, notices, first_due_at(changes))

    def _content_of(self, parcel: Parcel) -> Content:
        try:
            return parcel.content or self.store.content(parcel.mail.mail_id)
        except WorldFault:
            return _NO_CONTENT
