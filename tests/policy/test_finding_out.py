"""Facts that wait are found out together, as early as they can be, under one deadline; what fails is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.policy.agents_of_tests import (
    NO,
    Find,
    Other,
    Slow,
    an_agent,
    answered,
    gathers,
    hearing,
    passes,
    refuses,
)
from tests.policy.fakes import (
    World,
    at_once,
    view,
)

from gatepost.model.fault import WorldFault
from gatepost.model.known import Known, MailView
from gatepost.model.verdict import Action, Stage, Verdict
from gatepost.policy.agent import UNKNOWN_REPLY


def test_facts_of_a_stage_are_awaited_together() -> None:
    async def scene() -> None:
        both = asyncio.Barrier(2)  # opens only when both gatherers wait at the same time

        def together(kind: type[Any]) -> Find:
            async def find(_mail: MailView) -> Any:
                await both.wait()
                return kind()

            return find

        facts = (gathers(together(Slow)), gathers(together(Other), Other))
        used = hearing(an_agent(refuses, {Stage.MAIL: (Slow, Other)}), facts=facts)
        answer = used.ask(view(Stage.MAIL))
        assert isinstance(answer, Coroutine)
        assert (await asyncio.wait_for(answer, 5)).reply == NO

    asyncio.run(scene())


def test_a_fact_starts_as_early_as_it_can_be_known() -> None:
    async def scene() -> None:
        started = asyncio.Event()

        async def find(_mail: MailView) -> Slow:
            started.set()
            return Slow()

        used = hearing(an_agent(refuses, {Stage.DATA: (Slow,)}), facts=(gathers(find),))
        at_once(used.ask(view(Stage.CONNECT)))
        await asyncio.sleep(0)
        assert not started.is_set()
        at_once(used.ask(view(Stage.MAIL)))  # nobody waits for it here
        await asyncio.sleep(0)
        assert started.is_set()
        await asyncio.sleep(0)
        assert at_once(used.ask(view(Stage.DATA))).reply == NO  # and here it is known

    asyncio.run(scene())


LATE = [
    ("pass", Action.PASS, None),
    ("defer", Action.DEFER, UNKNOWN_REPLY),
]


@pytest.mark.threat("I9", "M01")
@pytest.mark.parametrize(("name", "unknown", "reply"), LATE, ids=[row[0] for row in LATE])
def test_a_fact_that_never_comes_is_unknown_at_the_deadline(name: str, unknown: Action, reply: Any) -> None:
    async def scene() -> None:
        async def find(_mail: MailView) -> Slow:
            await asyncio.Event().wait()
            return Slow()

        agent = an_agent(refuses, {Stage.MAIL: (Slow,)}, unknown=unknown)
        used = hearing(agent, facts=(gathers(find),), policy={"deadline": "100ms"})
        heard = await answered(used.ask(view(Stage.MAIL)))
        assert heard.reply == reply
        assert "slow is unknown: not known within 0.1 s" in heard.reason
        assert len(asyncio.all_tasks()) == 1 or await _soon_alone()

    asyncio.run(scene())


async def _soon_alone() -> bool:
    await asyncio.sleep(0)
    return len(asyncio.all_tasks()) == 1


def raising(error: BaseException) -> Find:
    def find(_mail: MailView) -> Any:
        raise error

    return find


def raising_later(error: Exception) -> Find:
    async def find(_mail: MailView) -> Any:
        await asyncio.sleep(0)
        raise error

    return find


FAILURES: list[tuple[str, Find, str, int]] = [
    ("the world fails", raising(WorldFault("resolver is dead")), "resolver is dead", 0),
    ("the world fails later", raising_later(WorldFault("resolver is dead")), "resolver is dead", 0),
    ("no answer in time", raising_later(TimeoutError()), "no answer in time", 0),
    ("a bug", raising(ZeroDivisionError("oh")), "a bug in its gatherer (ZeroDivisionError)", 1),
    ("a bug later", raising_later(KeyError("oh")), "a bug in its gatherer (KeyError)", 1),
    ("it ends the program", raising(SystemExit()), "a bug in its gatherer (SystemExit)", 1),
    ("another thing is found", lambda _mail: "what", "a bug in its gatherer (TypeError)", 1),
]


@pytest.mark.threat("I9", "P03")
@pytest.mark.parametrize(("name", "find", "reason", "bugs"), FAILURES, ids=[row[0] for row in FAILURES])
def test_a_fact_that_fails_is_unknown_whatever_the_cause(
    name: str, find: Find, reason: str, bugs: int
) -> None:
    async def scene() -> None:
        world = World()
        agent = an_agent(refuses, {Stage.MAIL: (Slow,)}, unknown=Action.DEFER)
        used = hearing(agent, facts=(gathers(find),), world=world)
        heard = await answered(used.ask(view(Stage.MAIL)))
        assert heard.reply == UNKNOWN_REPLY
        assert heard.reason == f"slow is unknown: {reason}"
        assert [line[1] for line in world.log.lines] == ["fact-bug"] * bugs

    asyncio.run(scene())


def test_what_is_on_its_way_stops_when_the_mail_is_forgotten() -> None:
    async def scene() -> None:
        stopped = asyncio.Event()

        async def find(_mail: MailView) -> Slow:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()
            return Slow()

        used = hearing(an_agent(passes, {Stage.DATA: (Slow,)}), facts=(gathers(find),))
        for end in (used.forget_mail, used.close, lambda: used.ask(view(Stage.DISCONNECT))):
            stopped.clear()
            used.ask(view(Stage.MAIL))
            await asyncio.sleep(0)
            end()
            await asyncio.wait_for(stopped.wait(), 5)

    asyncio.run(scene())


def test_a_command_that_is_given_up_leaves_no_task_behind() -> None:
    async def scene() -> None:
        async def find(_mail: MailView) -> Slow:
            await asyncio.Event().wait()
            return Slow()

        used = hearing(an_agent(passes, {Stage.MAIL: (Slow,)}), facts=(gathers(find),))
        waiting = asyncio.ensure_future(answered(used.ask(view(Stage.MAIL))))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())


def test_facts_at_the_end_of_the_data_may_wait_too() -> None:
    async def scene() -> None:
        async def find(_mail: MailView) -> Slow:
            await asyncio.sleep(0)
            return Slow("no")

        def reads(mail: MailView, known: Known) -> Verdict:
            return Verdict.reject("tester", NO, f"{mail.stage.value} {known[Slow].answer}")

        agent = an_agent(reads, {Stage.END_OF_DATA: (Slow,)})
        used = hearing(agent, facts=(gathers(find, earliest=Stage.END_OF_DATA),))
        (decision,) = await answered(used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",))))
        assert decision.disposition.reason == "end-of-data no"

    asyncio.run(scene())
