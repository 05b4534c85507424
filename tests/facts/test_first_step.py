"""A coroutine begun without a task: it ends in place, goes on in a task, or is dropped with all that it waits for."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from tests.policy.fakes import Lines, view

from gatepost.adapters.counters import MemoryCounters
from gatepost.facts.first_step import Rest, begun
from gatepost.facts.gathering import Gathering
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.policy.alarm import Alarm
from gatepost.policy.gathering import Knowledge


@dataclass(frozen=True, slots=True)
class Found:
    name: ClassVar[str] = "found"

    text: str


async def at_once() -> Found:
    return Found("in memory")


async def after_a_turn() -> Found:
    await asyncio.sleep(0)
    return Found("a turn later")


async def of_two() -> Found:
    """Two questions side by side, one of them begun in place."""
    rest = begun(asyncio.sleep(3600, "never"))
    assert isinstance(rest, Rest)
    await asyncio.gather(asyncio.sleep(3600), rest.in_task())
    return Found("an hour later")


def told_by_the_loop(scenario: Callable[[], Awaitable[None]]) -> list[str]:
    """What asyncio complains of while the scenario runs, and what it has left behind."""
    told: list[str] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context)))
        await scenario()
        for _ in range(5):
            await asyncio.sleep(0)
        told.extend(f"left: {task}" for task in asyncio.all_tasks() - {asyncio.current_task()})
        gc.collect()

    asyncio.run(run())
    return told


def test_what_need_not_wait_ends_in_place() -> None:
    assert begun(at_once()) == Found("in memory")


def test_what_waits_goes_on_in_a_task() -> None:
    async def scenario() -> None:
        rest = begun(after_a_turn())
        assert isinstance(rest, Rest)
        assert await rest.in_task() == Found("a turn later")

    assert told_by_the_loop(scenario) == []


@pytest.mark.parametrize("turns", [0, 1, 2, 3], ids="stopped after {} turns".format)
def test_what_is_stopped_leaves_nothing_behind(turns: int) -> None:
    async def scenario() -> None:
        rest = begun(of_two())
        assert isinstance(rest, Rest)
        task = rest.in_task()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    assert told_by_the_loop(scenario) == []


@pytest.mark.parametrize("turns", [0, 1, 2, 3], ids="after {} turns".format)
def test_a_client_that_leaves_while_a_fact_is_found_out_leaves_nothing_behind(turns: int) -> None:
    def find(_mail: MailView) -> Any:
        return of_two()

    gathering = Gathering(
        fact=Found, scope=Scope.MAIL, earliest=Stage.MAIL, find=find, waits=True, begins_at_once=True
    )

    async def scenario() -> None:
        knowledge = Knowledge(Alarm(Lines(), MemoryCounters()), deadline_s=10)
        assert knowledge.gather((gathering,), view(Stage.MAIL))
        for _ in range(turns):
            await asyncio.sleep(0)
        knowledge.close()

    assert told_by_the_loop(scenario) == []
