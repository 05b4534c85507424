"""A fact that does to the worker what the subject of a mail says. Not a test: a file for policy.agents-directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

from gatepost.config.agent_table import AgentTable
from gatepost.facts.gathering import Gathering, Sources
from gatepost.message.headers import HeaderIndex
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Action, AddHeader, Stage, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """The fact."""

    name: ClassVar[str] = "mood"

    is_good: bool = True


def gatherer(_sources: Sources) -> Gathering:
    """Found out inside the worker, as every fact."""

    async def find(mail: MailView) -> Mood:
        subject = HeaderIndex.parse(mail.head).first(b"subject") or b""
        if subject.strip() == b"end the worker":
            os._exit(1)
        return Mood()

    return Gathering(fact=Mood, scope=Scope.MAIL, earliest=Stage.END_OF_HEADERS, find=find, waits=True)


class Agent:
    """Writes the mood into the mail."""

    name = "mood"
    settings_type = AgentTable
    needs: ClassVar[dict[Stage, Any]] = {Stage.END_OF_HEADERS: (Mood,)}
    when_unknown = Action.PASS
    is_filter = False
    findings = ()

    def __init__(self, _settings: AgentTable, _site: Site) -> None:
        pass

    def examine(self, _mail: MailView, known: Known) -> Verdict:
        return Verdict(agent=self.name, edits=(AddHeader("X-Mood", f"good: {known[Mood].is_good}"),))
