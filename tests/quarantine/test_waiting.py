"""Quarantine: mail that waits for a person, in the store like any other."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from tests.adapters.store_mails import NOW, accept, mail, mail_id, recipient
from tests.fakes import FakeStore

from gatepost.config.settings import Queue
from gatepost.model.queued import KeepRecords, MailState, QueuedRecipient, Settle, StoredRecord
from gatepost.quarantine.waiting import (
    delete,
    release,
    waiting_for_a_person,
)

QUEUE = Queue()
DAY_S = 86400.0
RECORD = StoredRecord(kind="track", at=NOW, event="RELEASE", mail_id=mail_id(1))


def suspect(number: int) -> QueuedRecipient:
    return replace(recipient(number), state=MailState.QUARANTINED, last_reply="content-filter: SCL 8")


def test_what_a_quarantined_mail_is() -> None:
    held = mail(1, suspect(0), recipient(1), suspect(2))
    assert [r.number for r in waiting_for_a_person(held)] == [0, 2]
    assert waiting_for_a_person(mail(1)) == ()


@pytest.mark.threat("O13")
def test_a_release_frees_every_copy_in_one_commit() -> None:
    store = FakeStore()
    held = mail(1, suspect(0), recipient(1), suspect(2))
    store.commit([msgspec.structs.replace(accept(1), mail=held)])
    store.commit(release(held, now=NOW + 1, queue=QUEUE, records=(RECORD,)))
    freed = store.mail(mail_id(1))
    assert freed is not None
    assert [r.state for r in freed.recipients] == [MailState.READY] * 3
    assert [r.recipient for r in freed.recipients] == [r.recipient for r in held.recipients]
    assert [m.mail_id for m in store.due(now=NOW + 1, limit=9)] == [mail_id(1)]
    assert len(store.transactions[-1]) == 2


LIVES = {
    "released soon, its life is as it was begun anew": (1.0, False, NOW + 1.0 + 5 * DAY_S),
    "released after its life would have ended": (30 * DAY_S, False, NOW + 35 * DAY_S),
    "a notice lives shorter, but never loses time": (1.0, True, NOW + 5 * DAY_S),
}


@pytest.mark.parametrize("name", LIVES)
def test_a_released_mail_has_a_life_before_it(name: str) -> None:
    waited_s, is_notice, expected = LIVES[name]
    settle, _ = release(mail(1, suspect(0), is_notice=is_notice), now=NOW + waited_s, queue=QUEUE)
    assert isinstance(settle, Settle)
    assert settle.expires_at == expected


def test_one_copy_can_be_released_and_another_deleted() -> None:
    store = FakeStore()
    held = mail(1, suspect(0), suspect(1))
    store.commit([msgspec.structs.replace(accept(1), mail=held)])
    store.commit(release(held, now=NOW, queue=QUEUE, numbers=frozenset({1})))
    store.commit(delete(held, records=(RECORD,), numbers=frozenset({0})))
    left = store.mail(mail_id(1))
    assert left is not None
    assert [(r.number, r.state) for r in left.recipients] == [(1, MailState.READY)]


def test_a_deleted_mail_leaves_nothing_but_its_record() -> None:
    store = FakeStore()
    held = mail(1, suspect(0))
    store.commit([msgspec.structs.replace(accept(1), mail=held)])
    changes = delete(held, records=(RECORD,))
    assert changes[1] == KeepRecords(records=(RECORD,))
    store.commit(changes)
    assert store.mail(mail_id(1)) is None


@pytest.mark.parametrize("numbers", [None, frozenset({0})])
def test_nothing_waits_nothing_changes(numbers: frozenset[int] | None) -> None:
    assert release(mail(1), now=NOW, queue=QUEUE, numbers=numbers) == []
    assert delete(mail(1), numbers=numbers) == []
