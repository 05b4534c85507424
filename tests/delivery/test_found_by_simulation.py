"""Faults of the delivery that the simulation found, each alone."""

from __future__ import annotations

import asyncio

import pytest
from tests.delivery.fakes import FakeHost, Yard, mail_to, parcel_of, to_port, yard
from tests.delivery.playing import internet, play, records_of, state_of, to
from tests.delivery.scripted import scripted
from tests.fakes import FakeClock

from gatepost.delivery import owed, taken
from gatepost.delivery.outcome import Attempt, Fate, all_alike
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState, Settle
from gatepost.queue.schedule import QueueClock


def test_what_was_said_about_one_mail_is_not_put_down_for_another() -> None:
    """Mail that only waited for the hop got the reply to somebody else's recipient, and its sender was told so."""

    async def see(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["a.example"].state = "hangs up"
        for number in range(1, 20):
            made.put(to(f"u{number}@a.example", mail_id=number))
        await made.settle(lambda: all(state_of(made, n) == [("deferred", 1)] for n in range(1, 20)))
        made.put(to("late@a.example", mail_id=20))
        await made.settle(lambda: state_of(made, 20) == [("deferred", 0)])
        replies = [m.recipients[0].last_reply for n in range(1, 21) if (m := made.store.mail(n))]
        untried = [reply for reply in replies if "bye" not in reply]
        assert 0 < len(replies) - len(untried) < 10
        assert set(untried) == {"451 4.4.2 Conversations with the next hop broke off one after another"}

    play(see, "a.example")


def test_a_mail_whose_life_a_long_outage_prolonged_is_not_tried_all_the_time() -> None:
    """Its next attempt was at its expiry, which had passed: every second one, for as long as the outage had been."""
    clock = FakeClock()
    made = yard()
    settling = made.scheduler._settling
    object.__setattr__(settling, "clock", QueueClock(clock, last_seen_at=clock.now() - 40_000))
    parcel = parcel_of(mail_to("b@b.example", now=clock.now() - 432_100))
    attempt = Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, "450 4.2.0 later"))
    for settled in (
        settling.after(parcel, attempt, "out", into_mailbox=False),
        settling.put_off(parcel, "451 4.3.2 not now", due_at=clock.now() + 4000),
    ):
        (settle,) = (change for change in settled.changes if isinstance(change, Settle))
        assert settle.settlements[0].state is MailState.DEFERRED
        assert clock.now() + 200 < settle.settlements[0].due_at < clock.now() + 39_900


def test_a_stop_waits_for_a_settlement_the_store_could_not_take() -> None:
    """Delivered, and the disk failed to note it: a stop before the next try made the mail go out twice."""

    async def run() -> None:
        made, hosts = internet("b.example")
        made.scheduler.start()
        made.put(to("b@b.example", mail_id=1))
        made.store.failure = WorldFault("the disk failed")
        await made.settle(lambda: "settlement-waits" in made.log.events())
        assert hosts["b.example"].taken == ["b@b.example"]
        await made.scheduler.stop(30.0)
        assert state_of(made, 1) == []

    asyncio.run(run())


def test_a_stop_forgets_no_recipient_that_lmtp_has_answered() -> None:
    """The first mailbox had its mail, the second's answer was awaited: after the stop both were tried again."""
    script = """
        > 220 box.example
        <
        > 250 box.example
        <
        > 250 sender
        <
        > 250 first
        <
        > 250 second
        <
        > 354 go
        <.
        > 250 2.0.0 laid into the first box
        ~
        """

    async def run() -> None:
        async with scripted(script) as server:
            made = yard(to_port(server.port, delivery="lmtp", **{"protocol-log": True}))
            made.scheduler.start()
            made.put(mail_to("a@b.example", "b@b.example"))
            await made.settle(lambda: any("first box" in line for line in made.said))
            await made.scheduler.stop(0.0)
            mail = made.store.mail(1)
            assert mail is not None
            assert [(r.number, r.state.value) for r in mail.recipients] == [(1, "deferred")]
            assert made.slots.taken == {}

    asyncio.run(run())


TWO_BOXES = """
    > 220 box.example
    <
    > 250 box.example
    <
    > 250 sender
    <
    > 250 first
    <
    > 250 second
    <
    > 354 go
    <.
    > 250 2.0.0 laid into the first box
    |
    > 450 4.2.2 the second box is full
    ~
    """


@pytest.mark.parametrize("disk_fails", [False, True])
def test_who_lmtp_has_answered_is_settled_while_the_others_are_awaited(
    monkeypatch: pytest.MonkeyPatch, disk_fails: bool
) -> None:
    """The first mailbox had its mail, the second hung; a worker killed then brought it to the first again."""
    monkeypatch.setattr(taken, "SETTLE_AFTER_S", 0.5 if disk_fails else 0.01)

    async def run() -> None:
        async with scripted(TWO_BOXES) as server:
            made = yard(to_port(server.port, delivery="lmtp"))
            made.scheduler.start()
            made.put(to("a@b.example", "b@b.example", mail_id=1))
            if disk_fails:
                await made.settle(lambda: any(heard.endswith(b"\r\n.\r\n") for heard in server.heard))
                made.store.failure = WorldFault("the disk failed")
                await made.settle(lambda: "settlement-waits" in made.log.events())
                made.store.failure = None
            else:
                await made.settle(lambda: state_of(made, 1) == [("ready", 0)])
            assert made.slots.taken  # the other is still under way
            server.go.set()
            await made.settle(lambda: ("deferred", 1) in state_of(made, 1))
            await made.scheduler.stop(30.0)
            assert state_of(made, 1) == [("deferred", 1)]
            assert made.slots.taken == {}
            assert records_of(made).count("DELIVER") == 1
            assert server.connections == 1

    asyncio.run(run())


def test_a_second_transaction_that_breaks_off_does_not_repeat_the_first() -> None:
    """The peer took two recipients and stumbled over the next two: the mail went out to all four again."""
    first = """
        > 220 mx.example
        <
        raw 250-mx.example\\r\\n250-PIPELINING\\r\\n250 LIMITS RCPTMAX=2\\r\\n
        <
        <
        <
        <
        raw 250 sender\\r\\n250 one\\r\\n250 two\\r\\n354 go\\r\\n
        <.
        > 250 2.0.0 taken
        <
        """

    async def run() -> None:
        async with scripted(first, first) as server:
            made = yard(to_port(server.port))
            hop = made.router.by_key("out:smart")
            mail = mail_to("a@b.example", "b@b.example", "c@b.example", "d@b.example")
            attempt, _ = await made.attempts.make(parcel_of(mail), hop, None)
            delivered = [Fate.DELIVERED, Fate.DELIVERED, Fate.DEFERRED, Fate.DEFERRED]
            assert [outcome.fate for outcome in attempt.outcomes] == delivered
            assert sum(heard.endswith(b"\r\n.\r\n") for heard in server.heard) == 1

    asyncio.run(run())


def test_a_stop_forgets_no_transaction_that_was_answered() -> None:
    """A mail for many goes in several transactions: those of the first were tried again after a stop in the second."""
    script = """
        > 220 mx.example
        <
        raw 250-mx.example\\r\\n250 LIMITS RCPTMAX=1\\r\\n
        <
        > 250 sender
        <
        > 250 first
        <
        > 354 go
        <.
        > 250 2.0.0 the first has it
        <
        ~
        """

    async def run() -> None:
        async with scripted(script) as server:
            made = yard(to_port(server.port))
            made.scheduler.start()
            made.put(to("a@b.example", "b@b.example", mail_id=1))
            await made.settle(lambda: sum(heard.startswith(b"MAIL") for heard in server.heard) == 2)
            await made.scheduler.stop(0.0)
            assert [state for state, _ in state_of(made, 1)] == ["deferred"]

    asyncio.run(run())


def test_an_older_configuration_is_not_over_while_the_store_owes_it_a_settlement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reload, a disk that failed to note a delivery, a stop within seconds: the mail went out twice."""
    monkeypatch.setattr(owed, "RETRY_S", 0.5)

    async def run() -> None:
        made, hosts = internet("b.example")
        made.scheduler.start()
        made.put(to("b@b.example", mail_id=1))
        made.store.failure = WorldFault("the disk failed")
        await made.settle(lambda: "settlement-waits" in made.log.events())
        assert hosts["b.example"].taken == ["b@b.example"]
        retiring = asyncio.ensure_future(made.scheduler.retire())
        await asyncio.sleep(0)
        assert not retiring.done()
        await retiring
        assert state_of(made, 1) == []

    asyncio.run(run())
