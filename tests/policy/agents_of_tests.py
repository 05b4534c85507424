"""Agents and facts for tests of the policy: each says or finds what it is made for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.policy.fakes import (
    World,
)

from gatepost.config.agent_table import AgentTable
from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.policy.folding import Decision
from gatepost.policy.hearing import Hearing
from gatepost.policy.third_party import ThirdParty

Find = Callable[[MailView], Any]
NO = Reply(550, "5.7.1", "No")
SMELLS = Finding(name="smells", means="It smells.", points=6.0)


@dataclass(frozen=True, slots=True)
class Slow:
    name: ClassVar[str] = "slow"
    answer: str = "yes"


@dataclass(frozen=True, slots=True)
class Other:
    name: ClassVar[str] = "other"
    answer: str = "yes"


@dataclass(frozen=True, slots=True)
class Whoever:
    name: ClassVar[str] = "whoever"
    user: str = ""


def gathers(find: Find, kind: type[Any] = Slow, **wishes: Any) -> Callable[[Sources], Gathering]:
    given: dict[str, Any] = {"scope": Scope.MAIL, "earliest": Stage.MAIL, "waits": True}
    return lambda _sources: Gathering(fact=kind, find=find, **{**given, **wishes})


def an_agent(
    examine: Callable[[MailView, Known], Any],
    needs: Mapping[Stage, tuple[type[Any], ...]],
    *,
    called: str = "tester",
    unknown: Action = Action.PASS,
    filters: bool = False,
    table: type[AgentTable] = AgentTable,
) -> Any:
    def made(self: Any, _settings: AgentTable, _site: Site) -> None:
        self.settings = _settings

    body = {
        "__init__": made,
        "name": called,
        "settings_type": table,
        "needs": needs,
        "when_unknown": unknown,
        "is_filter": filters,
        "findings": (),
        "examine": lambda _self, mail, known: examine(mail, known),
    }
    return type("Tester", (), body)


def passes(_mail: MailView, _known: Known) -> Verdict:
    return Verdict(agent="tester")


def finds(_mail: MailView, _known: Known) -> Verdict:
    return Verdict(agent="tester", findings=(SMELLS,))


def refuses(_mail: MailView, _known: Known) -> Verdict:
    return Verdict.reject("tester", NO, "so it was said")


def hearing(
    *agents: Any,
    facts: tuple[Callable[[Sources], Gathering], ...] = (),
    world: World | None = None,
    **wishes: Any,
) -> Hearing:
    used = world or World()
    return used.hearing(third_party=ThirdParty(agents=agents, gatherers=facts), **wishes)


async def answered(answer: Any) -> Any:
    return await answer if isinstance(answer, Coroutine) else answer


def decided(answer: tuple[Decision, ...] | Coroutine[Any, Any, Any]) -> tuple[Decision, ...]:
    assert isinstance(answer, tuple)
    return answer
