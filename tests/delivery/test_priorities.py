"""Of the mail that waits for one next hop, high goes first, mass mail last, and nothing waits for ever."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.fakes import CONTENT, mail_to, settings_of
from tests.delivery.playing import internet

from gatepost.delivery.hop import Hop
from gatepost.model.queued import Priority, QueuedMail
from gatepost.queue.active import ActiveMails, Parcel

HOUR_S = 3600.0
HIGH, NORMAL, LOW, MASS = Priority.HIGH, Priority.NORMAL, Priority.LOW, Priority.NONE


def of(priority: Priority, at: float, mail_id: int) -> Parcel:
    mail = replace(mail_to("b@b.example", mail_id=mail_id, now=at), priority=priority)
    return Parcel(mail, "out:smart", mail.recipients)


def order(*parcels: Parcel, lead_s: float = HOUR_S) -> list[int]:
    hop = Hop("out:smart", lead_s=lead_s)
    for parcel in parcels:
        hop.add(parcel)
    taken = []
    while (parcel_now := hop.take(0.0)) is not None:
        taken.append(parcel_now.mail.mail_id)
    return taken


def test_high_before_normal_before_low_before_mass_mail() -> None:
    parcels = [of(priority, 0.0, 10 - priority) for priority in (MASS, LOW, NORMAL, HIGH)]
    assert order(*parcels) == [9, 10, 11, 12]


def test_mail_that_has_waited_for_the_lead_goes_before_high_mail() -> None:
    assert order(of(NORMAL, 0.0, 1), of(HIGH, HOUR_S - 1, 2), of(HIGH, HOUR_S + 1, 3)) == [2, 1, 3]


def test_without_a_lead_age_alone_counts() -> None:
    assert order(of(MASS, 0.0, 1), of(HIGH, 1.0, 2), of(NORMAL, 2.0, 3), lead_s=0.0) == [1, 2, 3]


@given(st.lists(st.tuples(st.sampled_from(list(Priority)), st.floats(0, 20000)), max_size=40))
def test_no_mail_is_overtaken_by_mail_three_leads_younger(mails: list[tuple[Priority, float]]) -> None:
    arrived = {mail_id: at for mail_id, (_, at) in enumerate(mails, 1)}
    taken = order(*(of(priority, at, mail_id) for mail_id, (priority, at) in enumerate(mails, 1)))
    for position, mail_id in enumerate(taken):
        assert all(arrived[before] <= arrived[mail_id] + 3 * HOUR_S for before in taken[:position])


def test_a_hop_that_has_its_half_still_takes_high_mail() -> None:
    leases = ActiveMails(settings_of(queue={"active-mails": 20}).queue)
    for mail_id in range(1, 11):
        assert not leases.is_full_for("out:smart")
        leases.lease(mail_to("b@b.example", mail_id=mail_id), CONTENT)
    assert leases.is_full_for("out:smart")
    assert not leases.is_full_for("out:smart", HIGH)
    for mail_id in range(11, 16):
        leases.lease(mail_to("b@b.example", mail_id=mail_id), CONTENT)
    assert leases.is_full_for("out:smart", HIGH)


@pytest.mark.threat("G11")
def test_high_mail_overtakes_a_long_queue() -> None:
    async def run() -> None:
        # Given a next hop with one connection and more mail than may be in memory for it
        settings = settings_of({"connections": 1}, queue={"active-mails": 100})
        made, hosts = internet("b.example", settings=settings)
        urgent: list[int] = []

        def look() -> None:
            if "urgent@b.example" in hosts["b.example"].taken and not urgent:
                urgent.append(len(hosts["b.example"].taken))

        hosts["b.example"].on_taken = look
        for mail_id in range(1, 301):
            made.put(mail("x@b.example", mail_id=mail_id), offer=False)
        made.scheduler.start()
        await made.settle(lambda: len(hosts["b.example"].taken) > 2)
        # When an urgent one comes
        made.put(replace(mail("urgent@b.example", mail_id=900), priority=HIGH))
        await made.settle(lambda: bool(urgent))
        # Then it did not wait for what was in memory before it
        assert urgent[0] < 40
        await made.scheduler.stop(0.05)

    def mail(address: str, *, mail_id: int) -> QueuedMail:
        return mail_to(address, mail_id=mail_id, next_hop="")

    asyncio.run(run())


def test_high_mail_is_taken_into_memory_where_other_mail_is_left_in_the_store() -> None:
    async def run() -> None:
        # Given a next hop that has its half of ten
        made, hosts = internet("b.example", settings=settings_of(queue={"active-mails": 10}))
        hosts["b.example"].state = "hangs"
        for mail_id in range(1, 6):
            made.put(mail_to("x@b.example", mail_id=mail_id, next_hop=""))
        # When one more comes, and an urgent one
        made.put(mail_to("x@b.example", mail_id=6, next_hop=""))
        made.put(replace(mail_to("x@b.example", mail_id=7, next_hop=""), priority=HIGH))
        assert made.scheduler._active.mail_ids == {1, 2, 3, 4, 5, 7}
        await made.scheduler.stop(0.0)

    asyncio.run(run())
