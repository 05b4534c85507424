"""An agent of your own in thirty lines: clients that are called like a dial-up line are worth two points."""

from __future__ import annotations

import re
from typing import ClassVar

from gatepost.facts.reverse_dns import ReverseDns
from gatepost.model.known import Known, MailView
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict

DIAL_UP = Finding(name="dial-up-client", means="The client is called like a dial-up line.", points=2.0)
SIGNS = re.compile(r"(\d+[.-]){3}\d+|\b(dyn|dynamic|dsl|dialup|dhcp|pool)\b")


class Agent:
    """Score clients whose name in reverse DNS is that of a dial-up line."""

    name = "dial-up"
    needs: ClassVar = {Stage.MAIL: (ReverseDns,)}
    when_unknown = Action.PASS
    is_filter = True
    judges_origin = True
    findings = (DIAL_UP,)

    def __init__(self, _settings: object, _site: Site) -> None:
        """Nothing to set."""

    def examine(self, _mail: MailView, known: Known) -> Verdict:
        """Points for the first name that looks like it."""
        client = known[ReverseDns]
        found = next((name for name in client.names if SIGNS.search(name)), "")
        if not found:
            return Verdict(agent=self.name)
        return Verdict(
            agent=self.name, findings=(DIAL_UP,), reason=f"it is called {found}", because=(client,)
        )
