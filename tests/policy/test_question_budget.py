"""What the facts about one mail may ask the DNS has an end; the next mail begins anew."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from tests.policy.fakes import view

from gatepost.adapters.counters import MemoryCounters
from gatepost.facts.gathering import Gathering
from gatepost.model.fault import WorldFault
from gatepost.model.known import MailView, Scope, Unknown
from gatepost.model.verdict import Stage
from gatepost.policy.alarm import Alarm
from gatepost.policy.gathering import Knowledge
from gatepost.ports.resolver import ASKING_FOR


class Silent:
    def write(self, level: str, event: str, /, **fields: object) -> None:
        """Nobody reads it."""


@dataclass(frozen=True, slots=True)
class First:
    name: ClassVar[str] = "first"
    left: int


@dataclass(frozen=True, slots=True)
class Second:
    name: ClassVar[str] = "second"
    left: int


async def spend(kind: type[First | Second]) -> First | Second:
    """A fact that asks once, as the resolver counts it."""
    budget = ASKING_FOR.get()
    assert budget is not None
    if budget.left <= 0:
        raise WorldFault("used up")
    budget.left -= 1
    return kind(budget.left)


def gathering(kind: type[First | Second], own_questions: int = 0) -> Gathering:
    async def find(_mail: MailView) -> First | Second:
        return await spend(kind)

    return Gathering(
        fact=kind, scope=Scope.MAIL, earliest=Stage.MAIL, find=find, waits=True, own_questions=own_questions
    )


@pytest.mark.threat("M14")
def test_facts_of_one_mail_share_their_questions() -> None:
    async def scene() -> list[list[object]]:
        knowledge = Knowledge(Alarm(Silent(), MemoryCounters()), deadline_s=10, questions_per_mail=1)
        seen = []
        for _ in range(2):
            await knowledge.wait(knowledge.gather([gathering(First), gathering(Second)], view(Stage.MAIL)))
            seen.append(list(knowledge.facts))
            knowledge.forget_mail()
        assert ASKING_FOR.get() is None, "the conversation itself asks for nobody"
        return seen

    assert asyncio.run(scene()) == [[First(0), Unknown("second", "used up")]] * 2


@pytest.mark.threat("M14")
def test_a_fact_with_questions_of_its_own_has_them_for_each_mail() -> None:
    async def scene() -> list[list[object]]:
        knowledge = Knowledge(Alarm(Silent(), MemoryCounters()), deadline_s=10, questions_per_mail=0)
        seen = []
        for _ in range(2):
            wanted = [gathering(First), gathering(Second, own_questions=5)]
            await knowledge.wait(knowledge.gather(wanted, view(Stage.MAIL)))
            seen.append(list(knowledge.facts))
            knowledge.forget_mail()
        return seen

    assert asyncio.run(scene()) == [[Unknown("first", "used up"), Second(4)]] * 2


@pytest.mark.filterwarnings("error")
def test_what_is_stopped_before_it_began_leaves_nothing_behind() -> None:
    """The fact's coroutine is closed, not left for the garbage collector to complain about."""
    begun: list[Any] = []

    async def find(_mail: MailView) -> First:
        return First(1)

    def remembered(mail: MailView) -> Any:
        begun.append(find(mail))
        return begun[-1]

    async def scene() -> None:
        knowledge = Knowledge(Alarm(Silent(), MemoryCounters()), deadline_s=10)
        fact = Gathering(fact=First, scope=Scope.MAIL, earliest=Stage.MAIL, find=remembered, waits=True)
        assert knowledge.gather([fact], view(Stage.MAIL))
        knowledge.forget_mail()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(scene())
    assert inspect.getcoroutinestate(begun[0]) == inspect.CORO_CLOSED
