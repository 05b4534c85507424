"""Fakes that keep the promises of the ports, in memory."""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gatepost.adapters.store_filters import mail_matches, record_matches
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.queued import (
    Accept,
    Change,
    KeepDossier,
    KeepRecords,
    MailState,
    QueuedMail,
    QueuedRecipient,
    Settle,
    Settlement,
    StoredRecord,
)
from gatepost.ports.store import Done, HopSummary, MailFilter, RecordFilter
from gatepost.queue.states import settled

_WAITING = (MailState.READY, MailState.DEFERRED)


class FakeClock:
    """Time that moves when the test says so."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.wall = now
        self.steady = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def advance(self, seconds: float) -> None:
        """Both clocks, as in the world."""
        self.wall += seconds
        self.steady += seconds


class FakeSpool:
    """A body file in memory; its bytes appear in the store's `bodies` when it is kept."""

    def __init__(self, bodies: dict[str, bytes], name: str) -> None:
        self._bodies = bodies
        self._name = name
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def keep(self) -> SpooledBody:
        data = bytes(self._data)
        self._bodies[self._name] = data
        return SpooledBody(self._name, len(data), zlib.crc32(data))

    def discard(self) -> None:
        self._bodies.pop(self._name, None)


class FakeStore:
    """Keeps the promise of ports.store.Store in memory.

    Inside a running event loop a commit becomes durable at a later turn of the loop; without
    one, at once. While `held` is true nothing becomes durable until `sync()`. The next
    transaction fails with `failure` when that is set. `reason` is what why_not_accepting says.
    """

    def __init__(self) -> None:
        self.held = False
        self.failure: WorldFault | None = None
        self.reason = ""
        self.bodies: dict[str, bytes] = {}
        self.transactions: list[tuple[Change, ...]] = []
        self._mails: dict[int, QueuedMail] = {}
        self._contents: dict[int, Content] = {}
        self._records: list[StoredRecord] = []
        self._dossiers: dict[int, bytes] = {}
        self._waiting: list[tuple[tuple[Change, ...], Done | None]] = []
        self._last_mail_id = 0
        self._spools = 0
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def commit(self, changes: Sequence[Change], done: Done | None = None) -> None:
        self._waiting.append((tuple(changes), done))
        if self.held:
            return
        try:
            asyncio.get_running_loop().call_soon(self.sync)
        except RuntimeError:
            self.sync()

    def sync(self) -> None:
        """Make everything that was asked for durable now, each call of commit on its own."""
        waiting, self._waiting = self._waiting, []
        for changes, done in waiting:
            error: BaseException | None = self._apply(changes)
            if done is not None:
                done(error)

    def _apply(self, changes: tuple[Change, ...]) -> BaseException | None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            return failure
        before = (dict(self._mails), dict(self._contents), list(self._records), dict(self._dossiers))
        try:
            for change in changes:
                self._change(change)
        except ValueError as error:
            self._mails, self._contents, self._records, self._dossiers = before
            return error
        self.transactions.append(changes)
        return None

    def _change(self, change: Change) -> None:
        match change:
            case Accept(mail=mail, content=content):
                if mail.mail_id in self._mails:
                    raise ValueError(f"mail {mail.mail_id} is already stored")
                self._mails[mail.mail_id] = mail
                self._contents[mail.mail_id] = content
                self._last_mail_id = max(self._last_mail_id, mail.mail_id)
            case Settle():
                self._settle(change)
            case KeepRecords(records=records):
                self._records.extend(records)
            case KeepDossier(mail_id=mail_id, data=data):
                self._dossiers[mail_id] = data

    def _settle(self, change: Settle) -> None:
        mail_id = change.mail_id
        mail = self._mails.get(mail_id)
        if mail is None:
            return
        wishes = {s.number: s for s in change.settlements}
        recipients = tuple(_settle(r, wishes.get(r.number)) for r in mail.recipients)
        if all(r.state.is_final for r in recipients):
            del self._mails[mail_id]
            body = self._contents.pop(mail_id).body
            if isinstance(body, SpooledBody):
                self.bodies.pop(body.path, None)
        else:
            self._mails[mail_id] = replace(
                mail,
                recipients=recipients,
                expires_at=mail.expires_at if change.expires_at is None else change.expires_at,
            )

    def spool(self) -> FakeSpool:
        self._spools += 1
        return FakeSpool(self.bodies, f"{self._spools:08x}")

    def mail(self, mail_id: int) -> QueuedMail | None:
        mail = self._mails.get(mail_id)
        return mail and replace(mail, recipients=tuple(r for r in mail.recipients if not r.state.is_final))

    def content(self, mail_id: int) -> Content:
        if mail_id not in self._contents:
            raise WorldFault("content is missing", mail_id=mail_id)
        return self._contents[mail_id]

    def body_path(self, body: SpooledBody) -> str:
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        path = Path(self._directory.name, body.path)
        path.write_bytes(self.bodies[body.path])
        return str(path)

    def find(self, wanted: MailFilter, *, limit: int, after: int = 0) -> list[QueuedMail]:
        ids = sorted(i for i in self._mails if i > after)
        mails = (mail for i in ids if (mail := self.mail(i)))
        return [mail for mail in mails if mail_matches(mail, wanted)][:limit]

    def held_bytes(self, state: MailState) -> int:
        return sum(mail.size_bytes for mail in self.find(MailFilter(state=state), limit=len(self._mails)))

    def summary(self) -> list[HopSummary]:
        hops: dict[str, list[tuple[QueuedMail, QueuedRecipient]]] = {}
        for mail in self.find(MailFilter(), limit=len(self._mails)):
            for recipient in mail.recipients:
                hops.setdefault(recipient.next_hop, []).append((mail, recipient))
        return [_summary(hop, pairs) for hop, pairs in sorted(hops.items())]

    def records(self, wanted: RecordFilter, *, limit: int) -> list[StoredRecord]:
        found = [record for record in reversed(self._records) if record_matches(record, wanted)]
        return sorted(found, key=lambda record: -record.at)[:limit]

    def dossier(self, mail_id: int) -> bytes | None:
        return self._dossiers.get(mail_id)

    def due(self, *, now: float, limit: int, excluding: frozenset[int] = frozenset()) -> list[QueuedMail]:
        found: list[tuple[float, QueuedMail]] = []
        for mail in self._mails.values():
            waiting = tuple(r for r in mail.recipients if r.state in _WAITING and r.due_at <= now)
            if waiting and mail.mail_id not in excluding:
                found.append((min(r.due_at for r in waiting), replace(mail, recipients=waiting)))
        return [mail for _, mail in sorted(found, key=lambda pair: (pair[0], pair[1].mail_id))][:limit]

    def due_recipients(self, *, now: float, limit: int) -> int:
        return min(limit, sum(len(mail.recipients) for mail in self.due(now=now, limit=limit)))

    def next_due_at(self) -> float | None:
        times = [r.due_at for m in self._mails.values() for r in m.recipients if r.state in _WAITING]
        return min(times, default=None)

    def why_not_accepting(self) -> str:
        return self.reason

    @property
    def last_mail_id(self) -> int:
        return self._last_mail_id

    def close(self) -> None:
        self.sync()
        if self._directory is not None:
            self._directory.cleanup()


def _settle(recipient: QueuedRecipient, wish: Settlement | None) -> QueuedRecipient:
    if wish is None or recipient.state.is_final:
        return recipient
    state = settled(recipient.state, wish.state)
    if state is None:
        raise ValueError(f"a recipient that is {recipient.state.value} cannot become {wish.state.value}")
    return replace(
        recipient,
        state=state,
        due_at=wish.due_at,
        attempts=wish.attempts,
        last_reply=wish.last_reply,
        next_hop=recipient.next_hop if wish.next_hop is None else wish.next_hop,
    )


def _summary(hop: str, pairs: Sequence[tuple[QueuedMail, QueuedRecipient]]) -> HopSummary:
    latest = max(pairs, key=lambda pair: (pair[1].attempts > 0, pair[0].mail_id))[1]
    return HopSummary(
        next_hop=hop,
        recipients=len(pairs),
        mails=len({mail.mail_id for mail, _ in pairs}),
        oldest_at=min(mail.received_at for mail, _ in pairs),
        next_due_at=min((r.due_at for _, r in pairs if r.state in _WAITING), default=0.0),
        states=Counter(r.state.value for _, r in pairs),
        last_reply=latest.last_reply,
    )
