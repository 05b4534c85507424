"""Facts that stand on other facts: found out behind them, once, under one deadline, and never from thin air."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from tests.policy.fakes import Lines, view

from gatepost.adapters.counters import MemoryCounters
from gatepost.facts.gathering import Gathering
from gatepost.model.fault import WorldFault
from gatepost.model.known import Known, MailView, Scope, Unknown
from gatepost.model.verdict import Stage
from gatepost.policy.alarm import Alarm
from gatepost.policy.gathering import Knowledge
from gatepost.policy.panel import _with_grounds


@dataclass(frozen=True, slots=True)
class Ground:
    name: ClassVar[str] = "ground"
    word: str


@dataclass(frozen=True, slots=True)
class House:
    name: ClassVar[str] = "house"
    on: str


@dataclass(frozen=True, slots=True)
class Roof:
    name: ClassVar[str] = "roof"
    on: str


def gathering(kind: type[Any], **wishes: Any) -> Gathering:
    return Gathering(fact=kind, scope=Scope.MAIL, earliest=Stage.END_OF_DATA, **wishes)


def house(_mail: MailView, known: Known) -> House:
    ground = known.get(Ground)
    return House(ground.word if ground is not None else "nothing")


async def roof(_mail: MailView, known: Known) -> Roof:
    await asyncio.sleep(0)
    found = known.get(House)
    return Roof(found.on if found is not None else "air")


async def slowly(_mail: MailView) -> Ground:
    await asyncio.sleep(0)
    return Ground("rock")


async def never(_mail: MailView) -> Ground:
    await asyncio.Event().wait()
    raise AssertionError


async def fails(_mail: MailView) -> Ground:
    await asyncio.sleep(0)
    raise WorldFault("no answer")


HOUSE = gathering(House, find_from=house, stands_on=(Ground,))
ROOF = gathering(Roof, find_from=roof, stands_on=(House,), waits=True)


def found(*gatherings: Gathering, deadline_s: float = 10.0) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        knowledge = Knowledge(Alarm(Lines(), MemoryCounters()), deadline_s=deadline_s)
        if pending := knowledge.gather(gatherings, view(Stage.END_OF_DATA)):
            await knowledge.wait(pending)
        return {fact.fact if isinstance(fact, Unknown) else fact.name: fact for fact in knowledge.facts}

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "ground", "on"),
    [
        ("a ground known at once", {"find": lambda _: Ground("sand")}, "sand"),
        ("a ground that takes time", {"find": slowly, "waits": True}, "rock"),
        ("a ground nobody knows", {"find": fails, "waits": True}, "nothing"),
    ],
)
def test_a_chain_is_found_out_in_order(name: str, ground: dict[str, Any], on: str) -> None:
    facts = found(gathering(Ground, **ground), HOUSE, ROOF)
    assert (facts["house"], facts["roof"]) == (House(on), Roof(on)), name


def test_a_ground_that_nothing_finds_out_is_absent() -> None:
    assert found(HOUSE)["house"] == House("nothing")


def test_what_stands_on_a_late_fact_is_late_too() -> None:
    facts = found(gathering(Ground, find=never, waits=True), HOUSE, ROOF, deadline_s=0.01)
    assert all(isinstance(facts[name], Unknown) for name in ("ground", "house", "roof"))


def test_a_gathering_without_a_way_is_a_bug_that_is_told() -> None:
    assert isinstance(found(gathering(Ground))["ground"], Unknown)


def test_grounds_come_first() -> None:
    known: dict[type[Any], Gathering] = {House: HOUSE, Roof: ROOF, Ground: gathering(Ground, find=slowly)}
    assert _with_grounds([Roof], known) == (Ground, House, Roof)
    assert _with_grounds([Roof], {Roof: ROOF}) == (Roof,)
