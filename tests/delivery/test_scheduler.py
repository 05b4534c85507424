"""The scheduler: fair over next hops, patient with dead ones, and honest about what it settled."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest
from tests.delivery.fakes import CONTENT, FakeHost, Yard, mail_to, settings_of
from tests.delivery.playing import internet, play, records_of, state_of, to
from tests.fakes import FakeStore

from gatepost.delivery.needs import needs_of
from gatepost.model.address import NULL_SENDER
from gatepost.model.envelope import Notify
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState, QueuedMail


def test_an_offered_mail_is_delivered_and_leaves_the_store() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: made.store.mail(1) is None)
        assert hosts["b.example"].taken == ["b@b.example"]
        assert records_of(made) == ["SEND"]
        assert made.slots.taken == {}

    play(test, "b.example")


def test_mail_found_in_the_store_at_the_start_is_delivered() -> None:
    async def run() -> None:
        made, hosts = internet("b.example")
        for mail_id in range(1, 30):
            made.put(to("b@b.example", mail_id=mail_id), offer=False)
        made.scheduler.start()
        await made.settle(lambda: len(hosts["b.example"].taken) == 29)
        await made.scheduler.stop(1)

    asyncio.run(run())


@pytest.mark.threat("G11")
def test_a_dead_destination_costs_the_others_nothing() -> None:
    # Given a queue full of mail for a dead host, more than may be in memory
    settings = settings_of(queue={"active-mails": 100})

    async def run() -> None:
        made, hosts = internet("dead.example", "well.example", settings=settings)
        hosts["dead.example"].state = "down"
        for mail_id in range(1, 2000):
            made.put(to("x@dead.example", mail_id=mail_id), offer=False)
        made.scheduler.start()
        await asyncio.sleep(0.02)
        # When mail for a living one comes
        for mail_id in range(5000, 5050):
            made.put(to("x@well.example", mail_id=mail_id))
        await made.settle(lambda: len(hosts["well.example"].taken) == 50, turns=30_000)
        # Then the dead host was knocked at a few times, and its mail was deferred together
        await made.settle(
            lambda: all(s == [("deferred", 1)] or s == [("deferred", 0)] for s in states(made)), turns=30_000
        )
        assert hosts["dead.example"].attempts <= 4
        assert len(made.scheduler._active) == 0
        await made.scheduler.stop(0.05)

    def states(made: Yard) -> list[list[tuple[str, int]]]:
        return [state_of(made, mail_id) for mail_id in range(1, 2000)]

    asyncio.run(run())


@pytest.mark.threat("G12", "N09")
def test_a_destination_that_hangs_holds_its_share_and_no_more() -> None:
    settings = settings_of({"connections": 4}, queue={"active-mails": 100})

    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["slow.example"].state = "hangs"
        for mail_id in range(1, 300):
            made.put(to("x@slow.example", mail_id=mail_id))
        for mail_id in range(1000, 1040):
            made.put(to("x@well.example", mail_id=mail_id))
        await made.settle(lambda: len(hosts["well.example"].taken) == 40)
        assert hosts["slow.example"].most_connections <= 4
        slow = next(s for s in made.scheduler.status() if "slow" in s.next_hop)
        assert slow.waiting + slow.in_flight <= 50

    play(test, "slow.example", "well.example", settings=settings)


def test_a_hop_that_failed_rests_and_is_tried_again_when_due() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        host = hosts["b.example"]
        host.state = "down"
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 1)])
        (status,) = made.scheduler.status()
        assert status.backing_off_until_at > made.clock.now()
        assert "refused" in status.last_reply
        # A mail that comes meanwhile does not knock
        made.put(to("c@b.example", mail_id=2))
        await made.settle(lambda: state_of(made, 2) == [("deferred", 0)])
        assert host.attempts == 1
        # When the time has come and the host is back
        host.state = "well"
        await made.pass_time(400)
        await made.settle(lambda: sorted(host.taken) == ["b@b.example", "c@b.example"])
        assert records_of(made).count("DEFER") == 1

    play(test, "b.example")


def test_the_rests_grow() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "down"
        made.put(to("b@b.example", mail_id=1))
        rests = []
        for attempt in range(1, 6):
            await made.settle(lambda attempt=attempt: state_of(made, 1) == [("deferred", attempt)])  # type: ignore[misc]
            mail = made.store.mail(1)
            assert mail is not None
            rests.append(mail.recipients[0].due_at - made.clock.now())
            await made.pass_time(rests[-1] + 500)
        # A minute or so twice, in case it is only a restart; then five, and more each time
        assert all(60 <= rest <= 72 for rest in rests[:2])
        assert 300 <= rests[2] <= 360
        assert all(later > earlier * 1.2 for earlier, later in itertools.pairwise(rests[2:]))

    play(test, "b.example")


def test_an_administrator_may_retry_at_once() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "down"
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 1)])
        hosts["b.example"].state = "well"
        made.clock.advance(340)
        made.scheduler.retry_now(next_hop="out:smtp:b.example")
        await made.settle(lambda: made.store.mail(1) is None)

    play(test, "b.example")


def test_a_mail_past_its_time_is_given_up_with_a_notice() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "defers"
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 1)])
        await made.pass_time(432000)
        await made.settle(lambda: bool(made.notices))
        assert made.notices == [(1, ("b@b.example",))]

    # The clock's jump is a wait in truth: both clocks move
    play(test, "b.example")


def test_expiry_says_why() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "defers"
        made.put(to("b@b.example", mail_id=1, sender=NULL_SENDER))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 1)])
        await made.pass_time(432000)
        await made.settle(lambda: state_of(made, 1) == [("dead", 2)])
        mail = made.store.mail(1)
        assert mail is not None
        assert "4.4.7" in mail.recipients[0].last_reply
        assert "450 4.2.0 later" in mail.recipients[0].last_reply
        assert records_of(made)[-1] == "BADMAIL"

    play(test, "b.example")


@pytest.mark.threat("L11")
def test_one_notice_for_all_next_hops_of_a_mail() -> None:
    # Given a mail to four domains of which three do not exist
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("a@no1.example", "b@b.example", "c@no2.example", "d@no3.example", mail_id=1))
        await made.settle(lambda: bool(made.notices))
        await made.settle(lambda: made.scheduler._active.room == 10000)
        assert [sorted(failed) for _, failed in made.notices] == [
            ["a@no1.example", "c@no2.example", "d@no3.example"]
        ]
        assert hosts["b.example"].taken == ["b@b.example"]

    play(test, "b.example")


def test_who_asked_for_a_report_of_success_gets_ours_when_the_next_hop_sends_none() -> None:
    # Given a host without DSN, and two recipients of whom one was asked about
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        mail = to("a@b.example", "b@b.example", mail_id=1)
        asked = replace(mail.recipients[0].recipient, notify=Notify.SUCCESS)
        made.put(replace(mail, recipients=(replace(mail.recipients[0], recipient=asked), mail.recipients[1])))
        await made.settle(lambda: made.store.mail(1) is None)
        assert made.reports == [(1, ("a@b.example",), True)]

    play(test, "b.example")


def test_a_name_server_that_is_silent_is_no_reason_to_give_up() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.resolver.unknown.add("b.example")
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 1)])
        mail = made.store.mail(1)
        assert mail is not None
        assert mail.recipients[0].last_reply.startswith("451 4.4.3 ")

    play(test, "b.example")


@pytest.mark.threat("N14")
@pytest.mark.parametrize("ip", ["127.0.0.1", "169.254.169.254", "::1", "224.0.0.1", "10.0.0.1", "0.0.0.0"])
def test_addresses_inside_are_not_dialled_because_dns_says_so(ip: str) -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.resolver.addresses_of["mx.b.example"] = (ip,)
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: bool(made.notices))
        assert hosts["b.example"].attempts == 0

    play(test, "b.example")


def test_withdraw_takes_a_waiting_mail_away_and_leaves_one_in_flight() -> None:
    settings = settings_of({"connections": 1})

    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "hangs"
        for mail_id in (1, 2, 3):
            made.put(to("b@b.example", mail_id=mail_id))
        await made.settle(lambda: made.scheduler.status()[0].in_flight == 1)
        assert not made.scheduler.withdraw(1)
        assert made.scheduler.withdraw(2)
        assert made.scheduler.withdraw(99)
        assert made.scheduler.status()[0].waiting == 1
        # It is not taken again behind control's back
        made.scheduler.retry_now(next_hop="")
        await asyncio.sleep(0.03)
        assert 2 not in made.scheduler._active
        # until control says so
        made.scheduler.retry_now(mail_ids=[2])
        await made.settle(lambda: 2 in made.scheduler._active)

    play(test, "b.example", settings=settings)


def test_a_mail_with_one_next_hop_in_flight_is_not_withdrawn_by_halves() -> None:
    settings = settings_of({"connections": 1})

    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = hosts["c.example"].state = "hangs"
        made.put(to("x@c.example", mail_id=1))
        await asyncio.sleep(0.01)
        made.put(to("x@b.example", "x@c.example", mail_id=2))
        await asyncio.sleep(0.01)
        assert not made.scheduler.withdraw(2)
        waiting = {s.next_hop: s.waiting for s in made.scheduler.status()}
        assert waiting == {"out:smtp:b.example": 0, "out:smtp:c.example": 1}

    play(test, "b.example", "c.example", settings=settings)


def test_a_suspended_hop_is_not_attempted_until_it_is_resumed() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.scheduler.suspend("out:smtp:b.example")
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 0)])
        assert hosts["b.example"].attempts == 0
        made.scheduler.resume("out:smtp:b.example")
        await made.pass_time(700)
        await made.settle(lambda: made.store.mail(1) is None)

    play(test, "b.example")


def test_a_suspended_connector_is_not_attempted() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 0)])
        assert hosts["b.example"].attempts == 0

    play(test, "b.example", settings=settings_of({"suspended": True}))


def test_mail_whose_connector_is_gone_is_routed_again() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(mail_to("b@b.example", mail_id=1, next_hop="old:smart"))
        made.scheduler.retry_now()
        await made.settle(lambda: hosts["b.example"].taken == ["b@b.example"])

    play(test, "b.example")


def test_mail_that_no_connector_carries_waits_as_unreachable() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(mail_to("b@b.example", mail_id=1, next_hop="old:smart"))
        await made.settle(lambda: state_of(made, 1) == [("unreachable", 0)])

    play(test, settings=settings_of({"address-spaces": ["other.example"]}))


def test_what_was_delivered_is_not_sent_again_when_the_store_fails_to_hear_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gatepost.delivery.owed.RETRY_S", 0.01)

    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("b@b.example", mail_id=1))
        made.store.failure = WorldFault("disk full")
        await made.settle(lambda: "settlement-waits" in made.log.events())
        assert made.slots.taken, "the crash file still names it"
        made.scheduler.retry_now()
        await made.settle(lambda: made.store.mail(1) is None)
        assert hosts["b.example"].taken == ["b@b.example"]
        assert made.slots.taken == {}

    play(test, "b.example")


def test_a_mail_stays_leased_until_its_settlement_is_durable() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("b@b.example", mail_id=1))
        made.store.held = True
        await made.settle(lambda: hosts["b.example"].taken == ["b@b.example"])
        for _ in range(3):
            made.scheduler.retry_now()
            await asyncio.sleep(0.02)
        assert hosts["b.example"].taken == ["b@b.example"]
        made.store.held = False
        made.store.sync()
        assert made.store.mail(1) is None

    play(test, "b.example")


def test_a_bug_delays_one_mail_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    real = needs_of

    def broken(mail: QueuedMail, *args: Any) -> Any:
        if mail.mail_id == 1:
            raise RuntimeError("a bug")
        return real(mail, *args)

    monkeypatch.setattr("gatepost.delivery.connection.needs_of", broken)

    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("a@b.example", mail_id=1))
        made.put(to("b@b.example", mail_id=2))
        await made.settle(lambda: made.store.mail(2) is None and state_of(made, 1) == [("deferred", 1)])
        assert "delivery-bug" in made.log.events()

    play(test, "b.example")


def test_stop_lets_deliveries_finish_and_breaks_off_the_rest() -> None:
    async def run() -> None:
        made, hosts = internet("slow.example")
        hosts["slow.example"].state = "hangs"
        made.scheduler.start()
        made.put(to("x@slow.example", mail_id=1))
        await made.settle(lambda: bool(made.slots.taken))
        await made.scheduler.stop(0.02)
        # An orderly stop is no crash: the file of mails in flight is empty, the mail is still there
        assert made.slots.taken == {}
        assert state_of(made, 1) == [("ready", 0)]

    asyncio.run(run())


def test_after_a_restart_everything_goes_on() -> None:
    async def run() -> None:
        store = FakeStore()
        made, hosts = internet("b.example", store=store)
        hosts["b.example"].state = "hangs"
        made.scheduler.start()
        for mail_id in range(1, 20):
            made.put(to("b@b.example", mail_id=mail_id))
        await asyncio.sleep(0.01)
        await made.scheduler.stop(0.0)
        again, hosts = internet("b.example", store=store)
        again.scheduler.start()
        await again.settle(lambda: len(hosts["b.example"].taken) == 19)
        await again.scheduler.stop(1)

    asyncio.run(run())


def test_memory_for_content_is_bounded_and_no_mail_is_refused_for_it() -> None:
    settings = settings_of(queue={"active-memory": "1MiB"})
    big = replace(CONTENT, body=b"x" * 400_000 + b"\r\n")

    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        from gatepost.model.queued import Accept

        hosts["b.example"].state = "hangs"
        for mail_id in range(1, 9):
            mail = to("b@b.example", mail_id=mail_id)
            made.store.commit([Accept(mail=mail, content=big)])
            made.store.sync()
            made.scheduler.offer(mail, big)
        assert len(made.scheduler._active) == 8
        assert made.scheduler._active.content_bytes <= 1 << 20

    play(test, "b.example", settings=settings)


def test_the_states_of_the_queue_are_as_the_table_allows() -> None:
    # FakeStore refuses what queue/states.py does not allow: a refusal would be logged
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["c.example"].state = "defers"
        made.put(to("a@b.example", "b@c.example", "c@no.example", mail_id=1))
        await made.settle(lambda: bool(made.notices))
        await made.settle(lambda: len(made.scheduler._active) == 0)
        assert state_of(made, 1) == [(MailState.DEFERRED.value, 1)] or len(state_of(made, 1)) == 2
        assert "settlement-refused" not in made.log.events()

    play(test, "b.example", "c.example")


@pytest.mark.threat("N08")
def test_a_hop_whose_conversations_all_break_off_rests_as_a_whole() -> None:
    settings = settings_of({"connections": 1})

    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "hangs up"
        for mail_id in range(1, 60):
            made.put(to("b@b.example", mail_id=mail_id))
        await made.settle(lambda: all(state_of(made, n) == [("deferred", 1)] for n in range(1, 60)))
        assert hosts["b.example"].attempts == 3

    play(test, "b.example", settings=settings)


@pytest.mark.threat("G11")
def test_more_than_half_for_one_hop_is_put_off_and_comes_later() -> None:
    settings = settings_of({"connections": 2}, queue={"active-mails": 20})

    async def run() -> None:
        made, hosts = internet("slow.example", "well.example", settings=settings)
        hosts["slow.example"].state = "hangs"
        for mail_id in range(1, 100):
            made.put(to("x@slow.example", mail_id=mail_id), offer=False)
        made.put(to("x@well.example", mail_id=1000), offer=False)
        made.scheduler.start()
        # The one that stands behind a hundred others is not held up by them
        await made.settle(lambda: hosts["well.example"].taken == ["x@well.example"])
        await made.settle(lambda: len(made.scheduler._active) <= 10)
        put_off = [
            m for n in range(1, 100) if (m := made.store.mail(n)) and m.recipients[0].due_at > m.received_at
        ]
        assert len(put_off) == 89
        assert {m.recipients[0].attempts for m in put_off} == {0}
        await made.scheduler.stop(0.05)

    asyncio.run(run())


def test_a_notice_leaves_at_once() -> None:
    # Given a mail that fails, and a notice that goes to a living host
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.notice_to = "ann@b.example"
        made.put(to("x@no.example", mail_id=1))
        await made.settle(lambda: hosts["b.example"].taken == ["ann@b.example"])
        assert "DSN" in records_of(made)

    play(test, "b.example")
