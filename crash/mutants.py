"""Gateways that lie: the real one with a doctored store. A crash test that passes one of them proves nothing.

`python -m crash.mutants early-acknowledgement --config FILE run` is the gateway with one lie.
The product has no setting for any of this.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from crash import moments
from crash.judge import Finding
from crash.notes import NoteFinding
from gatepost.model.content import Content
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Accept, Change, KeepRecords, MailState, Settle, Settlement
from gatepost.ports.store import Done, Store

_COMMIT_LATER_S: Final = 0.1
_SETTLE_LATER_S: Final = 3.0


class LyingStore:
    """A store that keeps every promise but the one its subclass breaks."""

    def __init__(self, honest: Store) -> None:
        self._honest = honest
        self._count = itertools.count(1)

    def commit(self, changes: Sequence[Change], done: Done | None = None) -> None:
        """As ports.store.Store.commit, with the lie."""
        accepts = any(isinstance(change, Accept) for change in changes)
        settles = any(isinstance(change, Settle) for change in changes)
        if accepts and not settles:
            self.accept(changes, done)
        elif settles:
            self.settle(changes, done)
        else:
            self._honest.commit(changes, done)

    def accept(self, changes: Sequence[Change], done: Done | None) -> None:
        """A mail comes in."""
        self._honest.commit(changes, done)

    def settle(self, changes: Sequence[Change], done: Done | None) -> None:
        """A delivery was tried."""
        self._honest.commit(changes, done)

    def every(self, period: int) -> bool:
        """True once in `period` calls."""
        return next(self._count) % period == 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


class EarlyAcknowledgement(LyingStore):
    """Says 250 before the mail is on disk."""

    def accept(self, changes: Sequence[Change], done: Done | None) -> None:
        """The commit comes a tenth of a second after the answer."""
        loop = asyncio.get_running_loop()
        if done is not None:
            loop.call_soon(done, None)
        loop.call_later(_COMMIT_LATER_S, self._honest.commit, changes, None)


class FourIsFine(LyingStore):
    """Takes a next hop's 4xx for a delivery."""

    def settle(self, changes: Sequence[Change], done: Done | None) -> None:
        """Every settlement says delivered."""
        self._honest.commit([_all_delivered(change) for change in changes], done)


class SettledTooEarly(LyingStore):
    """Writes a mail down as delivered when its attempt begins, before the next hop has said anything."""

    def __init__(self, honest: Store) -> None:
        super().__init__(honest)
        self.in_flight = _Hasty(honest)


class _Hasty:
    """The file of mails in work (ports.in_flight) of SettledTooEarly."""

    def __init__(self, honest: Store) -> None:
        self._honest: Any = honest

    def enter(self, mail_id: int) -> int:
        """As ports.in_flight.InFlight.enter, with the lie."""
        mail = self._honest.mail(mail_id)
        if mail is not None:
            delivered = [Settlement(number=r.number, state=MailState.DELIVERED) for r in mail.recipients]
            self._honest.commit([Settle(mail_id=mail_id, settlements=tuple(delivered))])
        return int(self._honest.in_flight.enter(mail_id))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest.in_flight, name)


class ForgottenSettlement(LyingStore):
    """Forgets every twentieth settlement: the mail goes out again after the next start."""

    def settle(self, changes: Sequence[Change], done: Done | None) -> None:
        """The records are kept, so that it looks well."""
        if self.every(20):
            changes = [change for change in changes if isinstance(change, KeepRecords)]
        self._honest.commit(changes, done)


class LateSettlement(LyingStore):
    """Writes settlements down only after some seconds."""

    def settle(self, changes: Sequence[Change], done: Done | None) -> None:
        """As if somebody wanted larger groups."""
        asyncio.get_running_loop().call_later(_SETTLE_LATER_S, self._honest.commit, changes, done)


class AcceptedButRefused(LyingStore):
    """Answers every twentieth mail 451 and delivers it all the same."""

    def accept(self, changes: Sequence[Change], done: Done | None) -> None:
        """The commit succeeds, the caller hears that it failed."""
        if done is not None and self.every(20):
            told = done
            self._honest.commit(changes, lambda _error: told(WorldFault("a lie")))
        else:
            self._honest.commit(changes, done)


class AlteredBody(LyingStore):
    """Changes one octet of every twentieth body."""

    def accept(self, changes: Sequence[Change], done: Done | None) -> None:
        """Bodies in files are left alone."""
        if self.every(20):
            changes = [_altered(change) for change in changes]
        self._honest.commit(changes, done)


class NoticeBeside(LyingStore):
    """Keeps a notice in a transaction of its own, after the one that settles what it is about."""

    def settle(self, changes: Sequence[Change], done: Done | None) -> None:
        """A death between the two, and nobody is told."""
        notices = [change for change in changes if isinstance(change, Accept)]
        self._honest.commit([change for change in changes if not isinstance(change, Accept)], done)
        if notices:
            asyncio.get_running_loop().call_later(_COMMIT_LATER_S, self._honest.commit, notices, None)


class NoticeFirst(LyingStore):
    """Keeps a notice before the settlement it belongs to."""

    def settle(self, changes: Sequence[Change], done: Done | None) -> None:
        """A death between the two, and the sender is told twice."""
        notices = [change for change in changes if isinstance(change, Accept)]
        rest = [change for change in changes if not isinstance(change, Accept)]
        if not notices:
            self._honest.commit(rest, done)
            return
        self._honest.commit(notices, None)
        asyncio.get_running_loop().call_later(_COMMIT_LATER_S, self._honest.commit, rest, done)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One lie, and what the judge must find."""

    store: Callable[[Store], LyingStore]
    must_find: Finding | NoteFinding


MUTANTS: Final = {
    "early-acknowledgement": Mutant(EarlyAcknowledgement, Finding.LOST),
    "four-is-fine": Mutant(FourIsFine, Finding.LOST),
    "settled-too-early": Mutant(SettledTooEarly, Finding.LOST),
    "forgotten-settlement": Mutant(ForgottenSettlement, Finding.DUPLICATE_FORBIDDEN),
    "late-settlement": Mutant(LateSettlement, Finding.DUPLICATE_FORBIDDEN),
    "accepted-but-refused": Mutant(AcceptedButRefused, Finding.INVENTED),
    "altered-body": Mutant(AlteredBody, Finding.ALTERED),
    "notice-beside": Mutant(NoticeBeside, NoteFinding.MISSING),
    "notice-first": Mutant(NoticeFirst, NoteFinding.TWICE),
}


def _all_delivered(change: Change) -> Change:
    if not isinstance(change, Settle):
        return change
    delivered = (
        msgspec.structs.replace(s, state=MailState.DELIVERED, due_at=0.0) for s in change.settlements
    )
    return msgspec.structs.replace(change, settlements=tuple(delivered))


def _altered(change: Change) -> Change:
    if not isinstance(change, Accept) or not isinstance(change.content.body, bytes):
        return change
    return msgspec.structs.replace(change, content=_with_other_octet(change.content, change.content.body))


def _with_other_octet(content: Content, body: bytes) -> Content:
    middle = len(body) // 2
    other = b"x" if body[middle : middle + 1] != b"x" else b"y"
    return replace(content, body=body[:middle] + other + body[middle + 1 :])


def main(arguments: Sequence[str]) -> None:
    """The gateway's command line with the lie named first."""
    moments.install()
    doctor(MUTANTS[arguments[0]].store)
    run_gateway(arguments[1:])


def doctor(lie: Callable[[Store], LyingStore]) -> None:
    """From now on every worker of this process and its children has this store."""
    from gatepost.main import own_store

    names = vars(own_store)
    open_honestly = names["open_store"]

    def open_lying(*places: Any, **wishes: Any) -> Any:
        return lie(open_honestly(*places, **wishes))

    names["open_store"] = open_lying


def run_gateway(arguments: Sequence[str]) -> None:
    """The gateway's command line in this process."""
    from gatepost.main import command_line

    sys.argv = ["gatepost", *arguments]
    command_line.main()


if __name__ == "__main__":
    main(sys.argv[1:])
