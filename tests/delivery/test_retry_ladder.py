"""When a mail is tried again: soon after a glitch, after five minutes when greylisted, later and later else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.delivery.fakes import Dice, FakeHost, Yard, mail_to, parcel_of, settings_of, to_port, yard
from tests.delivery.playing import play, state_of, to
from tests.delivery.scripted import scripted
from tests.fakes import FakeClock

from gatepost.config.settings import Settings
from gatepost.delivery.outcome import Attempt, Fate, Outcome, all_alike
from gatepost.delivery.settling import Settling
from gatepost.model.queued import Settle
from gatepost.queue.active import Parcel
from gatepost.queue.schedule import QueueClock

GREYLISTED = "450 4.7.1 Greylisted, come back in five minutes"
UNREACHED = "451 4.4.1 no connection to 192.0.2.1 port 25: refused"
BROKEN = "4.4.2 host.example closed the connection"
CASES = [
    # attempts before, last reply, this one's reply, is it a glitch -> the wait, at least
    ("greylisted", 0, "", GREYLISTED, False, 300),
    ("put off again", 1, GREYLISTED, GREYLISTED, False, 510),
    ("the wire broke before the content", 0, "", BROKEN, True, 60),
    ("and again", 1, BROKEN, BROKEN, True, 60),
    ("and again and again", 2, BROKEN, BROKEN, True, 300),
    ("the wire broke after the content: it may have arrived", 0, "", BROKEN, False, 300),
    ("greylisted after a long outage", 9, UNREACHED, GREYLISTED, False, 300),
    ("greylisted after a broken wire", 5, BROKEN, GREYLISTED, False, 300),
    ("put off for the tenth time", 9, GREYLISTED, GREYLISTED, False, 4000),
]


@pytest.mark.threat("N08", "N10")
@pytest.mark.parametrize(
    ("attempts", "last_reply", "reply", "is_glitch", "wait_s"),
    [c[1:] for c in CASES],
    ids=[c[0] for c in CASES],
)
def test_the_next_attempt(attempts: int, last_reply: str, reply: str, is_glitch: bool, wait_s: float) -> None:
    settings, clock = settings_of(), FakeClock()
    mail = mail_to("bob@there.example", now=clock.now())
    (recipient,) = (replace(r, attempts=attempts, last_reply=last_reply) for r in mail.recipients)
    attempt = Attempt(outcomes=(Outcome(recipient, Fate.DEFERRED, reply, is_glitch=is_glitch),))
    # When the attempt is settled
    settled = settling(settings, clock).after(
        Parcel(mail, "out:smart", (recipient,)), attempt, "out", into_mailbox=False
    )
    # Then the wait is at least that long, and at most a fifth longer
    (due_at,) = (s.due_at for c in settled.changes if isinstance(c, Settle) for s in c.settlements)
    assert wait_s <= due_at - clock.now() <= wait_s * 1.2


def settling(settings: Settings, clock: FakeClock) -> Settling:
    return Settling(
        queue=settings.queue,
        delivery=settings.delivery,
        hostname="gate.example",
        clock=QueueClock(clock),
        randomness=Dice(),
        write_notice=lambda *_: None,
    )


def test_mail_comes_back_when_the_rest_of_its_next_hop_is_over() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given a mail with many attempts behind it, and a next hop that has just gone
        hosts["b.example"].state = "down"
        made.put(with_attempts(8))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 9)])
        # When the host is back after a minute
        hosts["b.example"].state = "well"
        await made.pass_time(75)
        # Then the mail goes out: it does not wait the hour that its own attempts would make
        await made.settle(lambda: hosts["b.example"].taken == ["b@b.example"])

    def with_attempts(attempts: int):  # type: ignore[no-untyped-def]
        mail = to("b@b.example", mail_id=1)
        return replace(mail, recipients=tuple(replace(r, attempts=attempts) for r in mail.recipients))

    play(test, "b.example")


def test_a_connector_knocks_at_its_own_mail_server_often() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "down"
        made.put(to("b@b.example", mail_id=1))
        for attempt in range(1, 9):
            await made.settle(lambda attempt=attempt: state_of(made, 1) == [("deferred", attempt)])  # type: ignore[misc]
            mail = made.store.mail(1)
            assert mail is not None
            wait_s = mail.recipients[0].due_at - made.clock.now()
            assert wait_s <= 120 * 1.2
            await made.pass_time(wait_s + 1)

    play(test, "b.example", settings=settings_of({"longest-rest": "2m"}))


def test_only_those_without_an_answer_had_a_glitch() -> None:
    mail = mail_to("a@b.example", "b@b.example")
    assert not any(o.is_glitch for o in all_alike(mail.recipients, Fate.DEFERRED, GREYLISTED))


GREETING = "> 220 x\n<\n> 250 x\n"
BREAKS = [
    ("at MAIL", GREETING + "<\n", True),
    ("at RCPT", GREETING + "<\n> 250 ok\n<\n", True),
    ("in the content", GREETING + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<?", False),
    ("after the content", GREETING + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.", False),
    ("not at all: it puts off", GREETING + "<\n> 250 ok\n<\n> 450 4.2.0 later\n<?", False),
]


@pytest.mark.threat("N05")
@pytest.mark.parametrize(("script", "is_glitch"), [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_where_the_wire_breaks(script: str, is_glitch: bool) -> None:
    async def run() -> Attempt:
        async with scripted(script) as server:
            made = yard(to_port(server.port))
            parcel = parcel_of(mail_to("b@b.example"))
            attempt, line = await made.attempts.make(parcel, made.router.by_key("out:smart"), None)
            if line is not None:
                line.connection.close()
            return attempt

    (outcome,) = asyncio.run(run()).outcomes
    assert (outcome.fate, outcome.is_glitch) == (Fate.DEFERRED, is_glitch)


def test_the_pump_wakes_for_a_retry_that_is_due_before_it_meant_to_look() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given a pump that has nothing to wait for, and a mail that is put off for five minutes
        hosts["b.example"].state = "defers"
        await made.settle(lambda: made.scheduler._sleeps_until_at > made.clock.now() + 20)
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: state_of(made, 1) == [("deferred", 1)])
        # Then it does not sleep on for half a minute
        await made.settle(lambda: made.scheduler._sleeps_until_at < made.clock.now() + 2)

    play(test, "b.example", settings=settings_of(queue={"first-retry": "1s"}))


def test_after_a_rest_one_mail_knocks_and_the_others_follow() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given twenty mails for a next hop that is down
        hosts["b.example"].state = "down"
        for mail_id in range(1, 21):
            made.put(to("b@b.example", mail_id=mail_id))
        await made.settle(lambda: all(state_of(made, n) == [("deferred", 1)] for n in range(1, 21)))
        # Then one is due when the rest is over, and the others in the minute after it
        (hop,) = made.scheduler.status()
        found = [made.store.mail(n) for n in range(1, 21)]
        late_s = sorted(m.recipients[0].due_at - hop.backing_off_until_at for m in found if m is not None)
        assert late_s[0] == pytest.approx(0.0, abs=0.001)
        assert 0.0 < late_s[1] <= late_s[-1] <= 12.0 * 1.2
        # And all of them arrive when the host is back
        hosts["b.example"].state = "well"
        await made.pass_time(100)
        await made.settle(lambda: len(hosts["b.example"].taken) == 20)

    play(test, "b.example")
