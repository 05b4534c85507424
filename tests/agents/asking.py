"""Asks one agent, without a runner: facts are given, the verdict comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.config.schema import frozen
from gatepost.lab.trial import known_of
from gatepost.model.known import MailView
from gatepost.model.verdict import Verdict
from gatepost.policy.agent import Agent


def settings(kind: Any, given: Mapping[str, Any] | None = None) -> Any:
    """The agent's table, as a file gives it."""
    return kind.settings_type.model_validate(frozen(dict(given or {})))


def ask(agent: Agent, mail: MailView, *facts: object) -> Verdict:
    """Facts with a `recipient` are about that recipient."""
    return agent.examine(mail, known_of(*facts))


def said(verdict: Verdict) -> str:
    """ "pass", or the codes of the reply, or the action."""
    if verdict.reply is not None:
        return f"{verdict.reply.code} {verdict.reply.enhanced}"
    return verdict.action.name.lower()
