"""Each lying store breaks the promise it is named after, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from crash.mutants import MUTANTS, LyingStore

from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.envelope import Recipient
from gatepost.model.fault import WorldFault
from gatepost.model.queued import (
    Accept,
    Change,
    KeepRecords,
    MailState,
    QueuedMail,
    QueuedRecipient,
    Settle,
    Settlement,
)
from gatepost.ports.store import Done
from gatepost.protocol.addresses import parse_mailbox

ANN: Address = parse_mailbox("ann@crash.test")
MAIL = QueuedMail(
    mail_id=1,
    session_id="s",
    received_at=1.0,
    expires_at=2.0,
    sender=ANN,
    recipients=(QueuedRecipient(number=0, recipient=Recipient(address=ANN), next_hop="h"),),
)
ACCEPT = Accept(mail=MAIL, content=Content(head=b"A: b\r\n\r\n", body=b"abcdef"))
DEFERRED = Settle(mail_id=1, settlements=(Settlement(number=0, state=MailState.DEFERRED),))


class Remembering:
    """A store that keeps what it was asked for and says when."""

    in_flight = SimpleNamespace(enter=lambda _mail_id: 5)

    def __init__(self) -> None:
        self.committed: list[Change] = []
        self.last_mail_id = 7

    def mail(self, _mail_id: int) -> QueuedMail:
        return MAIL

    def commit(self, changes: Sequence[Change], done: Done | None = None) -> None:
        self.committed += changes
        if done is not None:
            done(None)


def with_lie(
    name: str, scene: Callable[[LyingStore, Remembering], None], *, wait_s: float = 0.0
) -> Remembering:
    async def play() -> Remembering:
        honest: Any = Remembering()
        scene(MUTANTS[name].store(honest), honest)
        await asyncio.sleep(wait_s)
        return honest  # type: ignore[no-any-return]

    return asyncio.run(play())


def test_early_acknowledgement_answers_before_the_commit() -> None:
    told: list[int] = []

    def scene(store: LyingStore, honest: Remembering) -> None:
        store.commit([ACCEPT], lambda _error: told.append(len(honest.committed)))

    honest = with_lie("early-acknowledgement", scene, wait_s=0.3)
    assert told == [0]
    assert honest.committed == [ACCEPT]


def test_four_is_fine_writes_down_a_delivery() -> None:
    honest = with_lie("four-is-fine", lambda store, _: store.commit([DEFERRED]))
    (settle,) = honest.committed
    assert isinstance(settle, Settle)
    assert [s.state for s in settle.settlements] == [MailState.DELIVERED]


def test_settled_too_early_writes_down_a_delivery_that_has_only_begun() -> None:
    def scene(store: LyingStore, _honest: Remembering) -> None:
        slots: Any = store
        assert slots.in_flight.enter(1) == 5

    honest = with_lie("settled-too-early", scene)
    (settle,) = honest.committed
    assert isinstance(settle, Settle)
    assert [s.state for s in settle.settlements] == [MailState.DELIVERED]


NOTICE = Accept(mail=replace(MAIL, mail_id=2, is_notice=True), content=ACCEPT.content)


@pytest.mark.parametrize(
    ("lie", "first"),
    [("notice-beside", [DEFERRED]), ("notice-first", [NOTICE])],
    ids=lambda one: str(one)[:14],
)
def test_a_notice_in_a_transaction_of_its_own(lie: str, first: list[Change]) -> None:
    honest = with_lie(lie, lambda store, _: store.commit([DEFERRED, NOTICE]))
    assert honest.committed == first
    honest = with_lie(lie, lambda store, _: store.commit([DEFERRED, NOTICE]), wait_s=0.3)
    assert len(honest.committed) == 2


def test_forgotten_settlement_keeps_only_the_records() -> None:
    records = KeepRecords(records=())

    def scene(store: LyingStore, _honest: Remembering) -> None:
        for _ in range(20):
            store.commit([DEFERRED, records])

    honest = with_lie("forgotten-settlement", scene)
    assert honest.committed.count(DEFERRED) == 19
    assert honest.committed.count(records) == 20


def test_late_settlement_is_not_there_when_it_should_be() -> None:
    assert with_lie("late-settlement", lambda store, _: store.commit([DEFERRED]), wait_s=0.1).committed == []


def test_accepted_but_refused_keeps_what_it_denies() -> None:
    told: list[BaseException | None] = []

    def scene(store: LyingStore, _honest: Remembering) -> None:
        for _ in range(20):
            store.commit([ACCEPT], told.append)

    honest = with_lie("accepted-but-refused", scene)
    assert [type(error) for error in told] == [type(None)] * 19 + [WorldFault]
    assert len(honest.committed) == 20


def test_altered_body_changes_one_octet() -> None:
    def scene(store: LyingStore, _honest: Remembering) -> None:
        for _ in range(20):
            store.commit([ACCEPT])

    bodies = [c.content.body for c in with_lie("altered-body", scene).committed if isinstance(c, Accept)]
    assert bodies == [b"abcdef"] * 19 + [b"abcxef"]


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_lying_store_is_honest_in_everything_else(name: str) -> None:
    def scene(store: LyingStore, honest: Remembering) -> None:
        assert store.last_mail_id == honest.last_mail_id
        store.commit([KeepRecords(records=())])

    assert with_lie(name, scene).committed == [KeepRecords(records=())]
