"""What the facts about one mail may ask the DNS has an end; the next mail begins anew."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

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


def gathering(kind: type[First | Second]) -> Gathering:
    async def find(_mail: MailView) -> First | Second:
        return await spend(kind)

    return Gathering(fact=kind, scope=Scope.MAIL, earliest=Stage.MAIL, find=find, waits=True)


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
