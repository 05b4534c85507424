"""A connector with a schedule sends at its times, and when an administrator says so."""

from __future__ import annotations

from tests.delivery.fakes import FakeHost, Yard, settings_of
from tests.delivery.playing import play, state_of, to

# The clock of the fakes stands at 2027-01-15 08:00 UTC, a Friday.
EVENINGS = settings_of({"schedule": ["20:00-21:00"], "connections": 1})
NEVER = settings_of({"schedule": ["never"]})


def test_mail_waits_for_the_time_of_its_connector() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given a mail in the morning
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 0)])
        mail = made.store.mail(1)
        assert mail is not None
        assert mail.recipients[0].due_at == made.clock.wall + 12 * 3600
        assert mail.recipients[0].last_reply == "451 4.3.2 The send connector sends at other times"
        # When it is evening
        await made.pass_time(12 * 3600 + 1)
        # Then it is sent
        await made.settle(lambda: made.store.mail(1) is None)
        assert hosts["b.example"].attempts == 1

    play(test, "b.example", settings=EVENINGS)


def test_what_is_not_sent_in_time_waits_for_the_next() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given an hour in the evening, and a next hop that needs it for one mail
        hosts["b.example"].on_taken = lambda: made.clock.advance(3600)
        await made.pass_time(12 * 3600 + 1)
        for mail_id in range(1, 4):
            made.put(to("b@b.example", mail_id=mail_id))
        # Then the others wait for tomorrow's
        await made.settle(lambda: made.store.mail(1) is None)
        await made.settle(lambda: state_of(made, 2) == state_of(made, 3) == [("deferred", 0)])
        assert hosts["b.example"].taken == ["b@b.example"]

    play(test, "b.example", settings=EVENINGS)


def test_never_means_until_somebody_retries() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("b@b.example", mail_id=1))
        for _ in range(3):
            await made.pass_time(86400)
        assert state_of(made, 1) == [("deferred", 0)]
        assert hosts["b.example"].attempts == 0
        # When an administrator retries the next hop
        made.scheduler.retry_now(next_hop="out:smtp:b.example")
        made.clock.advance(30)
        made.put(to("c@b.example", mail_id=2))
        await made.settle(lambda: made.store.mail(2) is None)
        # Then it is open for a minute, and closed after it
        made.clock.advance(31)
        made.put(to("d@b.example", mail_id=3))
        await made.settle(lambda: state_of(made, 3) == [("deferred", 0)])

    play(test, "b.example", settings=NEVER)
