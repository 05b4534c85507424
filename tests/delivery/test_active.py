"""What is leased: each mail once, within limits, no next hop with more than half."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.fakes import CONTENT, mail_to, settings_of

from gatepost.delivery.hop import Hop
from gatepost.delivery.outcome import Attempt, Fate, all_alike
from gatepost.model.queued import MailState
from gatepost.queue.active import ActiveMails, Parcel


def active(mails: int = 10) -> ActiveMails:
    return ActiveMails(settings_of(queue={"active-mails": mails, "active-memory": "1MiB"}).queue)


def parcel(mail_id: int, *, at: float = 0.0) -> Parcel:
    mail = mail_to("b@b.example", mail_id=mail_id, now=at)
    return Parcel(mail, "out:smart", mail.recipients)


def test_one_parcel_for_each_next_hop() -> None:
    parcels = active().lease(mail_to("a@x.example", "b@y.example", "c@x.example", next_hop=""), CONTENT)
    assert [(p.next_hop, len(p.recipients)) for p in parcels] == [
        ("out:smtp:x.example", 2),
        ("out:smtp:y.example", 1),
    ]


def test_only_recipients_that_wait_are_leased() -> None:
    mail = mail_to("a@x.example", "b@x.example")
    held = replace(mail.recipients[1], state=MailState.QUARANTINED)
    leases = active()
    (only,) = leases.lease(replace(mail, recipients=(mail.recipients[0], held)), CONTENT)
    assert only.recipients == (mail.recipients[0],)
    assert leases.lease(replace(mail, mail_id=2, recipients=(held,)), CONTENT) == ()
    assert 2 not in leases


def test_a_mail_is_leased_once() -> None:
    leases = active()
    assert leases.lease(mail_to("b@b.example"), CONTENT)
    assert not leases.lease(mail_to("b@b.example"), CONTENT)


def test_the_limit_of_mails_is_kept() -> None:
    leases = active(10)
    taken = [bool(leases.lease(mail_to("b@b.example", mail_id=n), CONTENT)) for n in range(1, 13)]
    assert taken == [True] * 10 + [False] * 2


@pytest.mark.threat("G11")
def test_a_hop_is_full_at_half() -> None:
    leases = active(10)
    for n in range(1, 6):
        assert not leases.is_full_for("out:smart")
        leases.lease(mail_to("b@b.example", mail_id=n), CONTENT)
    assert leases.is_full_for("out:smart")
    assert not leases.is_full_for("out:other")


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=40))
def test_what_comes_goes_and_nothing_is_left(steps: list[tuple[int, bool]]) -> None:
    leases = active()
    held: dict[int, list[Parcel]] = {}
    for mail_id, comes in steps:
        if comes:
            mail = mail_to("a@x.example", "b@y.example", mail_id=mail_id, next_hop="")
            if parcels := leases.lease(mail, CONTENT):
                held[mail_id] = list(parcels)
        elif mail_id in held:
            last = leases.end_lease(held[mail_id].pop())
            assert last == (not held[mail_id])
            if last:
                del held[mail_id]
        assert leases.mail_ids == frozenset(held)
        assert leases.content_bytes == len(held) * CONTENT.size_bytes
    for rest in held.values():
        for one in rest:
            leases.end_lease(one)
    assert (len(leases), leases.content_bytes, leases.room) == (0, 0, 10)
    assert not leases.is_full_for("out:smtp:x.example")


def test_the_oldest_mail_goes_first() -> None:
    hop = Hop("h")
    for mail_id, at in ((1, 30.0), (2, 10.0), (3, 20.0), (4, 10.0)):
        hop.add(parcel(mail_id, at=at))
    order = []
    while (taken := hop.take(0.0)) is not None:
        order.append(taken.mail.mail_id)
    assert order == [2, 4, 3, 1]


def test_a_mail_is_taken_out_of_its_turn() -> None:
    hop = Hop("h")
    for mail_id in range(1, 8):
        hop.add(parcel(mail_id, at=float(mail_id)))
    taken = hop.take_mail(3)
    assert taken is not None
    assert taken.mail.mail_id == 3
    assert hop.take_mail(3) is None
    assert sorted(p.mail.mail_id for p in hop.take_all()) == [1, 2, 4, 5, 6, 7]
    assert hop.waiting == 0


def test_lanes_grow_with_success_and_shrink_with_failure() -> None:
    hop = Hop("h")
    for mail_id in range(1, 50):
        hop.add(parcel(mail_id))
    good = Attempt(outcomes=all_alike(parcel(1).recipients, Fate.DELIVERED, "250 ok"))
    opened = 0
    while hop.wants_lane():
        hop.lane_opens()
        opened += 1
    assert opened == 2
    hop.in_flight = 2
    hop.spoke(good, hung_up=False)
    assert hop.wants_lane()
    hop.connections = 2
    assert not hop.wants_lane()
    hop.lanes = 3
    hop.lane_failed("421 too many")
    assert hop.lanes_wanted == 2
    hop.failed(rest_until_at=100.0)
    assert hop.rests(99.0)
    assert not hop.rests(100.0)
    hop.try_now()
    assert not hop.rests(0.0)


@pytest.mark.threat("N08")
def test_conversations_that_break_off_are_counted_until_one_does_not() -> None:
    hop = Hop("h")
    broken = Attempt(outcomes=all_alike(parcel(1).recipients, Fate.DEFERRED, "421 bye"))
    for _ in range(2):
        hop.spoke(broken, hung_up=True)
    assert hop.stumbles == 2
    hop.spoke(broken, hung_up=False)
    assert hop.stumbles == 0
