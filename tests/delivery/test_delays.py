"""A sender is told once that the mail waits, and what failed where is on record."""

from __future__ import annotations

from typing import Any

import pytest
from tests.delivery.fakes import CONTENT, FakeHost, Yard, mail_to, settings_of
from tests.delivery.playing import play, to
from tests.fakes import FakeStore

from gatepost.delivery.delays import A_SECOND_LIMIT, Delays
from gatepost.model.address import NULL_SENDER
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import Accept, QueuedMail
from gatepost.ports.store import RecordFilter
from gatepost.records import tracking

NOW = 1_800_000_000.0
FOUR_HOURS = settings_of(notices={"delay-after": "4h"}, queue={"longest-retry": "1h"})


@pytest.mark.threat("L15")
def test_a_waiting_mail_is_reported_once() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given a mail for two hops, both of which put it off
        made.notice_to = "ann@us.example"
        hosts["b.example"].state = hosts["c.example"].state = "defers"
        made.put(to("b@b.example", "c@c.example", mail_id=1))
        for _ in range(3):
            await made.pass_time(3600)
        assert made.delays == []
        # When four hours have passed, and many more
        for _ in range(6):
            await made.pass_time(3600)
        # Then its sender is told once, of both recipients
        assert made.delays == [(1, ("b@b.example", "c@c.example"))]
        marks = made.store.records(RecordFilter(mail_id=1, event="DSN"), limit=10)
        assert [tracking.decode(r).custom_data for r in marks] == [
            f"delayed, told by {mail_id_text(10**6 + 1)}"
        ]
        await made.settle(lambda: hosts["us.example"].taken == ["ann@us.example"])

    play(test, "b.example", "c.example", "us.example", settings=FOUR_HOURS)


@pytest.mark.threat("L15")
def test_by_default_nobody_is_told() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "defers"
        made.put(to("b@b.example", mail_id=1))
        for _ in range(50):
            await made.pass_time(7200)
        assert made.delays == []

    play(test, "b.example")


def test_mail_that_rests_with_its_hop_is_reported_too() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "down"
        made.put(to("b@b.example", mail_id=1))
        for _ in range(10):
            await made.pass_time(3600)
        assert made.delays == [(1, ("b@b.example",))]

    play(test, "b.example", settings=FOUR_HOURS)


def waiting(mail_id: int = 1, **fields: Any) -> QueuedMail:
    return mail_to("b@b.example", mail_id=mail_id, now=NOW - 20_000, **fields)


def asked(delays: Delays, mail: QueuedMail, now: float = NOW) -> bool:
    return bool(delays.notice(mail, mail.recipients, lambda: CONTENT, now)[0])


def delays_of(store: FakeStore) -> Delays:
    def write(mail: QueuedMail, *_: Any) -> Accept:
        return Accept(mail=mail_to("ann@us.example", mail_id=mail.mail_id + 10**6), content=CONTENT)

    return Delays(after_s=14400, store=store, write=write, hostname="gate.example")


def test_after_a_restart_nobody_is_told_again() -> None:
    # Given a worker that has told a sender, and died
    store = FakeStore()
    changes, _ = delays_of(store).notice(waiting(), waiting().recipients, lambda: CONTENT, NOW)
    store.commit(changes)
    # Then the next one knows it, from the record
    assert not asked(delays_of(store), waiting())
    assert asked(delays_of(store), waiting(2))


def test_notices_and_mail_without_a_sender_are_not_reported() -> None:
    delays = delays_of(FakeStore())
    assert not asked(delays, waiting(1, is_notice=True))
    assert not asked(delays, waiting(2, sender=NULL_SENDER))
    assert asked(delays, waiting(3))


def test_a_second_has_a_limit() -> None:
    # Given more mails that wait than are looked at in a second
    delays = delays_of(FakeStore())
    told = [n for n in range(A_SECOND_LIMIT + 5) if asked(delays, waiting(n))]
    assert len(told) == A_SECOND_LIMIT
    # Then the others are told at a later attempt
    assert asked(delays, waiting(A_SECOND_LIMIT + 1), NOW + 1)


def test_what_failed_where_is_on_record() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given a mail for two hops that refuse it, and a sender to tell
        made.notice_to = "ann@us.example"
        hosts["b.example"].state = hosts["c.example"].state = "refuses"
        made.put(to("b@b.example", "c@c.example", mail_id=1))
        await made.settle(lambda: made.store.mail(1) is None)
        # Then each failure has its connector and its host
        records = [tracking.decode(r) for r in made.store.records(RecordFilter(event="FAIL"), limit=10)]
        assert sorted((r.connector_id, r.server_hostname, r.recipient_address) for r in records) == [
            ("out", "mx.b.example", ("b@b.example",)),
            ("out", "mx.c.example", ("c@c.example",)),
        ]

    play(test, "b.example", "c.example", "us.example")
