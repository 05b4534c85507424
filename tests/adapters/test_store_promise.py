"""The promise of ports.store, kept by SQLite and by the fake alike."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.adapters.store_mails import (
    NOW,
    accept,
    committed,
    content,
    every,
    in_memory,
    mail,
    mail_id,
    opened,
    recipient,
    settle,
)
from tests.fakes import FakeStore

from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.content import BodyForm, Content
from gatepost.model.envelope import BodyType, Notify, Recipient, Ret
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Accept, KeepDossier, KeepRecords, MailState, StoredRecord
from gatepost.ports.store import MailFilter, RecordFilter, Store
from gatepost.queue import states

Story = Callable[[Store], Awaitable[None]]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


@pytest.fixture(params=["fake", "sqlite", "sqlite-uvloop"])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story against one kind of store."""

    async def told(story: Story) -> None:
        store: Store = FakeStore() if request.param == "fake" else opened(tmp_path / "worker-0")
        try:
            await story(store)
        finally:
            store.close()

    def run(story: Story) -> None:
        if request.param == "sqlite-uvloop":
            uvloop.run(told(story))
        else:
            asyncio.run(told(story))

    return run


Tell = Callable[[Story], None]

STRANGE = mail(
    1,
    recipient(0, Address("plain", "example.com")),
    recipient(1, Address("two words", "example.com")),
    recipient(2, Address('quote"d', "example.com"), attempts=3, last_reply="451 later"),
    recipient(3, Address("at@sign", "example.com")),
    recipient(4, Address("postmaster", "")),
    recipient(5, Address("пример", "xn--e1afmkfd.example")),
    recipient(6, Address("lit", "[IPv6:2001:db8::1]")),
    dataclasses.replace(
        recipient(7),
        recipient=Recipient(
            address=Address("dsn", "example.com"), notify=Notify.SUCCESS | Notify.FAILURE, orcpt="rfc822;o@x"
        ),
    ),
    sender=Address("we ird", "example.org"),
    body_type=BodyType.BINARY_MIME,
    smtputf8=True,
    require_tls=True,
    ret=Ret.HDRS,
    envid="a+b",
    size_bytes=12345,
    source="SMTP:internet",
    client_ip="2001:db8::5",
    message_id="<x@y>",
    subject="Grüße ✓",
    scl=7,
    authenticated=True,
    is_notice=True,
)


def test_what_goes_in_comes_out(tell: Tell) -> None:
    form = BodyForm(size_bytes=9, has_nul=True, has_8bit=True, bare_newlines=True, longest_line_bytes=4)
    kept = Content(head=b"A: b\r\n\r\n", body=b"\x00\xff\r\nbody", form=form)

    async def story(store: Store) -> None:
        await committed(store, Accept(mail=STRANGE, content=kept))
        assert store.mail(mail_id(1)) == STRANGE
        assert store.content(mail_id(1)) == kept
        assert store.last_mail_id == mail_id(1)
        assert store.due(now=NOW, limit=10) == [STRANGE]

    tell(story)


def test_what_was_never_there(tell: Tell) -> None:
    async def story(store: Store) -> None:
        assert store.mail(5) is None
        assert store.dossier(5) is None
        assert store.due(now=NOW, limit=10) == []
        assert store.next_due_at() is None
        assert store.summary() == []
        assert store.why_not_accepting() == ""
        with pytest.raises(WorldFault):
            store.content(5)

    tell(story)


def test_due_recipients_are_counted_up_to_a_limit(tell: Tell) -> None:
    async def story(store: Store) -> None:
        assert store.due_recipients(now=NOW, limit=10) == 0
        later = dataclasses.replace(recipient(2), due_at=NOW + 100)
        await committed(store, accept(1, recipient(0), recipient(1), later), accept(2, recipient(0)))
        assert store.due_recipients(now=NOW, limit=10) == 3
        assert store.due_recipients(now=NOW, limit=2) == 2
        assert store.due_recipients(now=NOW + 100, limit=10) == 4

    tell(story)


def test_a_mail_leaves_when_its_last_recipient_is_final(tell: Tell) -> None:
    async def story(store: Store) -> None:
        await committed(store, accept(1, recipient(0), recipient(1)))
        await committed(store, settle(1, MailState.DELIVERED, 1))
        left = store.mail(mail_id(1))
        assert left is not None
        assert [r.number for r in left.recipients] == [0]
        await committed(store, settle(1, MailState.FAILED, 0))
        assert store.mail(mail_id(1)) is None
        with pytest.raises(WorldFault):
            store.content(mail_id(1))
        await committed(store, settle(1, MailState.DELIVERED, 0))  # it has left: no error

    tell(story)


def test_a_deferral_is_kept_with_its_words(tell: Tell) -> None:
    async def story(store: Store) -> None:
        await committed(store, accept(1))
        await committed(
            store,
            settle(
                1, MailState.DEFERRED, 0, due_at=NOW + 60, attempts=2, last_reply="450 busy", next_hop="other"
            ),
        )
        left = store.mail(mail_id(1))
        assert left is not None
        (r,) = left.recipients
        assert (r.state, r.due_at, r.attempts, r.last_reply, r.next_hop) == (
            MailState.DEFERRED,
            NOW + 60,
            2,
            "450 busy",
            "other",
        )
        assert store.next_due_at() == NOW + 60
        assert store.due(now=NOW + 59, limit=9) == []
        assert [m.mail_id for m in store.due(now=NOW + 60, limit=9)] == [mail_id(1)]

    tell(story)


def test_all_changes_of_a_commit_or_none(tell: Tell) -> None:
    """A quarantined recipient cannot be delivered: a bug, so nothing of that commit may stay (O13)."""

    async def story(store: Store) -> None:
        await committed(store, accept(1, recipient(0, state=MailState.QUARANTINED)))
        record = KeepRecords(records=(StoredRecord(kind="track", at=NOW, event="SEND"),))
        bad = (accept(3), record, settle(1, MailState.DELIVERED))
        answers = await every(store, [[accept(2)], bad, [accept(4)]])
        assert [type(answer) is type(None) for answer in answers] == [True, False, True]
        assert isinstance(answers[1], ValueError)
        assert store.mail(mail_id(3)) is None
        assert store.records(RecordFilter(), limit=9) == []
        assert store.mail(mail_id(2)) is not None
        assert store.mail(mail_id(4)) is not None
        held = store.mail(mail_id(1))
        assert held is not None
        assert held.recipients[0].state is MailState.QUARANTINED

    tell(story)


def test_the_same_id_twice_is_refused_alone(tell: Tell) -> None:
    async def story(store: Store) -> None:
        await committed(store, accept(1))
        first, again, other = await every(store, [[accept(2)], [accept(1)], [accept(3)]])
        assert first is None
        assert again is not None
        assert other is None

    tell(story)


def test_changes_are_applied_in_the_order_of_the_calls(tell: Tell) -> None:
    async def story(store: Store) -> None:
        store.commit([accept(1)])
        store.commit([settle(1, MailState.DEFERRED, due_at=NOW + 1, attempts=1)])
        store.commit([settle(1, MailState.DEFERRED, due_at=NOW + 2, attempts=2)])
        await committed(store, accept(2))
        found = store.mail(mail_id(1))
        assert found is not None
        assert found.recipients[0].attempts == 2

    tell(story)


def test_what_nobody_waits_for_is_stored_within_a_second(tell: Tell) -> None:
    async def story(store: Store) -> None:
        store.commit([KeepRecords(records=(StoredRecord(kind="agent", at=NOW, event="x"),))])
        await asyncio.sleep(0.3)
        assert len(store.records(RecordFilter(kind="agent"), limit=9)) == 1

    tell(story)


def test_due_is_oldest_first_and_leaves_out_what_is_in_memory(tell: Tell) -> None:
    async def story(store: Store) -> None:
        await committed(
            store,
            accept(1, recipient(0, due_at=NOW - 1)),
            accept(2, recipient(0, due_at=NOW - 3), recipient(1, due_at=NOW + 9)),
            accept(3, recipient(0, due_at=NOW - 2)),
            accept(4, recipient(0, due_at=NOW - 9, state=MailState.QUARANTINED)),
            accept(5, recipient(0, due_at=NOW - 9, state=MailState.SUSPENDED)),
        )
        found = store.due(now=NOW, limit=2)
        assert [m.mail_id for m in found] == [mail_id(2), mail_id(3)]
        assert [r.number for r in found[0].recipients] == [0]
        found = store.due(now=NOW, limit=9, excluding=frozenset({mail_id(2)}))
        assert [m.mail_id for m in found] == [mail_id(3), mail_id(1)]
        assert store.next_due_at() == NOW - 3

    tell(story)


MAILS = (
    accept(1, recipient(0, Address("Anna", "example.com"), next_hop="hop-a"), received_at=NOW - 100),
    accept(
        2, recipient(0, Address("bob", "example.net"), next_hop="hop-b"), sender=NULL_SENDER, source="DSN"
    ),
    accept(
        3,
        recipient(0, Address("anna", "example.com"), next_hop="hop-a", state=MailState.DEFERRED),
        recipient(1, Address("100%_~x", "example.com"), next_hop="hop-b"),
        client_ip="198.51.100.7",
    ),
    accept(4, recipient(0, Address("two words", "example.com"), next_hop="hop-c")),
)
FILTERS: dict[str, tuple[MailFilter, list[int]]] = {
    "everything": (MailFilter(), [1, 2, 3, 4]),
    "by id": (MailFilter(mail_id=mail_id(2)), [2]),
    "by next hop": (MailFilter(next_hop="hop-a"), [1, 3]),
    "by next hops": (MailFilter(next_hop="HOP-*"), [1, 2, 3, 4]),
    "null sender": (MailFilter(sender="<>"), [2]),
    "null sender as empty": (MailFilter(sender=""), [2]),
    "sender with stars": (MailFilter(sender="*@EXAMPLE.org"), [1, 3, 4]),
    "recipient, case ignored": (MailFilter(recipient="anna@example.com"), [1, 3]),
    "recipient with a part": (MailFilter(recipient="a*@*.com"), [1, 3]),
    "a star is nothing special to the database": (MailFilter(recipient="100%_~x@*"), [3]),
    "a percent sign is no wildcard": (MailFilter(recipient="%"), []),
    "a domain beyond ASCII": (MailFilter(recipient="*@bücher.example"), []),
    "a quoted recipient": (MailFilter(recipient='"two words"@example.com'), [4]),
    "by state": (MailFilter(state=MailState.DEFERRED), [3]),
    "one recipient must fulfil all": (MailFilter(recipient="anna*", next_hop="hop-b"), []),
    "older": (MailFilter(older_than_at=NOW), [1]),
    "by source": (MailFilter(source="dsn"), [2]),
    "by client": (MailFilter(client_ip="198.51.100.*"), [3]),
    "no leased mail is stored": (MailFilter(state=MailState.LEASED), []),
}


@pytest.mark.parametrize("name", FILTERS)
def test_finding_mails(tell: Tell, name: str) -> None:
    wanted, expected = FILTERS[name]

    async def story(store: Store) -> None:
        await committed(store, *MAILS)
        found = store.find(wanted, limit=10)
        assert [m.mail_id for m in found] == [mail_id(n) for n in expected]
        assert all(len(m.recipients) == len(MAILS[m.mail_id - mail_id(1)].mail.recipients) for m in found)

    tell(story)


def test_finding_page_by_page(tell: Tell) -> None:
    async def story(store: Store) -> None:
        await committed(store, *MAILS)
        first = store.find(MailFilter(), limit=3)
        rest = store.find(MailFilter(), limit=3, after=first[-1].mail_id)
        assert [m.mail_id for m in (*first, *rest)] == [mail_id(n) for n in (1, 2, 3, 4)]

    tell(story)


def test_the_summary_of_next_hops(tell: Tell) -> None:
    async def story(store: Store) -> None:
        await committed(store, *MAILS)
        await committed(
            store, settle(3, MailState.DEFERRED, 0, due_at=NOW + 5, attempts=1, last_reply="421 down")
        )
        hops = {hop.next_hop: hop for hop in store.summary()}
        assert list(hops) == ["hop-a", "hop-b", "hop-c"]
        a = hops["hop-a"]
        assert (a.recipients, a.mails, a.oldest_at, a.next_due_at) == (2, 2, NOW - 100, NOW)
        assert dict(a.states) == {"ready": 1, "deferred": 1}
        assert a.last_reply == "421 down"
        assert (hops["hop-b"].recipients, hops["hop-b"].mails) == (2, 2)

    tell(story)


def record(number: int, **fields: Any) -> StoredRecord:
    return StoredRecord(
        **{
            "kind": "track",
            "at": NOW + number,
            "event": "SEND",
            "mail_id": mail_id(number),
            "sender": "a@example.org",
            "recipients": "x@example.com",
            "message_id": f"<{number}@y>",
            "data": b'{"n":%d}' % number,
            **fields,
        }
    )


RECORDS = (
    record(1, event="RECEIVE", recipients="Anna@example.com;b@example.net"),
    record(2, sender="", recipients="jörg@xn--bcher-kva.example"),
    record(3, kind="agent"),
    record(4, recipients="ab@example.net;c@example.com"),
)
RECORD_FILTERS: dict[str, tuple[RecordFilter, list[int]]] = {
    "newest first": (RecordFilter(), [4, 2, 1]),
    "kind": (RecordFilter(kind="agent"), [3]),
    "since": (RecordFilter(since_at=NOW + 2), [4, 2]),
    "until": (RecordFilter(until_at=NOW + 2), [1]),
    "mail": (RecordFilter(mail_id=mail_id(2)), [2]),
    "event": (RecordFilter(event="rec*"), [1]),
    "null sender": (RecordFilter(sender="<>"), [2]),
    "one of the recipients": (RecordFilter(recipient="anna@example.com"), [1]),
    "a recipient beyond ASCII": (RecordFilter(recipient="jörg@bücher.example"), [2]),
    "a domain beyond ASCII": (RecordFilter(recipient="*@BÜCHER.example"), [2]),
    "a recipient is whole": (RecordFilter(recipient="b@example.net"), [1]),
    "a pattern stays within one recipient": (RecordFilter(recipient="ab@*.com"), []),
    "message id": (RecordFilter(message_id="<4@*"), [4]),
}


@pytest.mark.parametrize("name", RECORD_FILTERS)
def test_finding_records(tell: Tell, name: str) -> None:
    wanted, expected = RECORD_FILTERS[name]

    async def story(store: Store) -> None:
        await committed(store, KeepRecords(records=RECORDS))
        assert store.records(wanted, limit=9) == [RECORDS[n - 1] for n in expected]
        assert store.records(wanted, limit=1) == [RECORDS[n - 1] for n in expected[:1]]

    tell(story)


def test_records_are_newest_first_whatever_the_order_they_came_in(tell: Tell) -> None:
    """A clock that was set back, many records of one moment, times beyond reason: nothing is lost or doubled."""
    moments = [NOW + 5, NOW, NOW + 5, NOW + 5, NOW - 1, NOW + 5, -3.0, 1e12]
    kinds = ["track", "track", "agent", "track", "track", "track", "track", "track"]
    made = [record(n, kind=kind, at=at) for n, (kind, at) in enumerate(zip(kinds, moments, strict=True))]

    async def story(store: Store) -> None:
        for one in made:  # one after the other, then
            await committed(store, KeepRecords(records=(one,)))
        tracks = [made[n] for n in (7, 5, 3, 0, 1, 4, 6)]
        assert store.records(RecordFilter(), limit=99) == tracks
        assert store.records(RecordFilter(kind="agent"), limit=99) == [made[2]]
        assert store.records(RecordFilter(since_at=NOW + 5), limit=99) == tracks[:4]
        assert store.records(RecordFilter(until_at=NOW + 5), limit=99) == tracks[4:]
        assert store.records(RecordFilter(since_at=NOW, until_at=NOW + 5), limit=99) == [made[1]]
        assert store.records(RecordFilter(mail_id=mail_id(4)), limit=99) == [made[4]]

    tell(story)


def test_a_dossier_outlives_its_mail(tell: Tell) -> None:
    async def story(store: Store) -> None:
        await committed(store, accept(1), KeepDossier(mail_id=mail_id(1), at=NOW, data=b"facts"))
        await committed(store, settle(1, MailState.DELIVERED))
        assert store.dossier(mail_id(1)) == b"facts"

    tell(story)


def test_a_large_body_is_a_file(tell: Tell) -> None:
    async def story(store: Store) -> None:
        spool = store.spool()
        spool.write(b"x" * 100_000)
        spool.write(b"y" * 100_000)
        body = spool.keep()
        await committed(store, Accept(mail=mail(1), content=content(1, body)))
        found = store.content(mail_id(1))
        assert found.body == body
        assert Path(store.body_path(body)).read_bytes() == b"x" * 100_000 + b"y" * 100_000

    tell(story)


def test_a_discarded_body_is_gone(tell: Tell) -> None:
    async def story(store: Store) -> None:
        unnamed, named = store.spool(), store.spool()
        unnamed.discard()
        unnamed.discard()
        named.keep()
        named.discard()

    tell(story)


@pytest.mark.threat("O13")
@pytest.mark.parametrize("wish", [s for s in MailState if s is not MailState.LEASED])
def test_the_store_obeys_the_table_of_states(tell: Tell, wish: MailState) -> None:
    """Every stored state, settled to `wish`, becomes what queue.states says, or is refused."""
    stored = [s for s in MailState if s is not MailState.LEASED and not s.is_final]

    async def story(store: Store) -> None:
        for number, state in enumerate(stored):
            await committed(store, accept(number, recipient(0, state=state), recipient(1)))
        answers = await every(store, [[settle(n, wish)] for n in range(len(stored))])
        for number, state in enumerate(stored):
            expected = states.settled(state, wish)
            found = store.mail(mail_id(number))
            assert found is not None
            seen = {r.number: r.state for r in found.recipients}.get(0, wish)
            assert (answers[number] is None) == (expected is not None), state
            assert seen is (expected or state)

    tell(story)
