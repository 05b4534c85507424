"""Dead letters go when they are old, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.delivery.fakes import CONTENT, mail_to
from tests.fakes import FakeStore

from gatepost.model.queued import Accept, MailState, QueuedMail
from gatepost.ports.store import MailFilter, RecordFilter
from gatepost.queue.graves import AT_ONCE_LIMIT, old_graves

NOW = 1_800_000_000.0
MONTH_S = 2_592_000.0


def mail(mail_id: int, age_s: float, *states: MailState) -> QueuedMail:
    made = mail_to(*(f"r{n}@b.example" for n in range(len(states))), mail_id=mail_id, now=NOW - age_s)
    recipients = tuple(replace(r, state=s) for r, s in zip(made.recipients, states, strict=True))
    return replace(made, recipients=recipients)


def test_only_old_dead_letters_go() -> None:
    store = FakeStore()
    for kept in (
        mail(1, MONTH_S + 1, MailState.DEAD),
        mail(2, MONTH_S - 1, MailState.DEAD),
        mail(3, MONTH_S + 1, MailState.DEAD, MailState.DEFERRED),
        mail(4, MONTH_S + 1, MailState.QUARANTINED),
    ):
        store.commit([Accept(mail=kept, content=CONTENT)])
    # When the old ones are removed
    store.commit(old_graves(store, now=NOW, age_s=MONTH_S))
    # Then what else waits stays, and each removal is on record
    left = {m.mail_id: [r.state for r in m.recipients] for m in store.find(MailFilter(), limit=10)}
    assert left == {2: [MailState.DEAD], 3: [MailState.DEFERRED], 4: [MailState.QUARANTINED]}
    removed = store.records(RecordFilter(event="REMOVE"), limit=10)
    assert sorted(r.mail_id for r in removed) == [1, 3]
    assert old_graves(store, now=NOW, age_s=MONTH_S) == ()


def test_many_go_in_several_turns() -> None:
    store = FakeStore()
    for n in range(AT_ONCE_LIMIT + 1):
        store.commit([Accept(mail=mail(n + 1, 2 * MONTH_S, MailState.DEAD), content=CONTENT)])
    store.commit(old_graves(store, now=NOW, age_s=MONTH_S))
    assert len(store.find(MailFilter(), limit=1000)) == 1


@pytest.mark.threat("O05")
def test_the_oldest_go_before_their_age_when_all_are_too_large() -> None:
    store = FakeStore()
    for n in range(10):
        large = replace(mail(n + 1, 1000.0 - n, MailState.DEAD), size_bytes=1000)
        store.commit([Accept(mail=large, content=CONTENT)])
    store.commit(
        [Accept(mail=replace(mail(99, 9.0, MailState.QUARANTINED), size_bytes=10**6), content=CONTENT)]
    )
    store.commit(old_graves(store, now=NOW, age_s=MONTH_S, size_bytes=4500))
    assert [m.mail_id for m in store.find(MailFilter(), limit=100)] == [7, 8, 9, 10, 99]
    assert len(store.records(RecordFilter(event="REMOVE"), limit=100)) == 6
    assert old_graves(store, now=NOW, age_s=MONTH_S, size_bytes=4500) == ()
    assert old_graves(store, now=NOW, age_s=0.0, size_bytes=0) == ()
    assert len(old_graves(store, now=NOW, age_s=0.0, size_bytes=3000)) == 2
