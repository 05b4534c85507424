"""Asks one agent, without a runner: facts are given, the verdict comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatepost.config.schema import frozen
from gatepost.model.known import Known, MailView
from gatepost.model.verdict import Verdict
from gatepost.policy.agent import Agent


def settings(kind: Any, given: Mapping[str, Any] | None = None) -> Any:
    """The agent's table, as a file gives it."""
    return kind.settings_type.model_validate(frozen(dict(given or {})))


def ask(agent: Agent, mail: MailView, *facts: object) -> Verdict:
    """Facts with a `recipient` are about that recipient."""
    general = {type(fact): fact for fact in facts if not hasattr(fact, "recipient")}
    of_recipient: dict[Any, dict[type[Any], Any]] = {}
    for fact in facts:
        if hasattr(fact, "recipient"):
            of_recipient.setdefault(fact.recipient, {})[type(fact)] = fact
    return agent.examine(mail, Known(general, of_recipient))


def said(verdict: Verdict) -> str:
    """ "pass", or the codes of the reply, or the action."""
    if verdict.reply is not None:
        return f"{verdict.reply.code} {verdict.reply.enhanced}"
    return verdict.action.name.lower()
