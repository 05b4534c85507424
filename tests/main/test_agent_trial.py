"""An agent that a worker could not use is a mistake in the configuration: told before anything runs with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.config.errors import ConfigurationErrors
from gatepost.main.configuration import load_configuration, load_to_run

AGENT = """
from gatepost.facts.author import Author
from gatepost.facts.gathering import Gathering
from gatepost.model.known import Scope
from gatepost.model.verdict import Action, Stage, Verdict

class Mine:
    name = "mine"

class Agent:
    "Say nothing."
    name = "quiet"
    needs = {Stage.END_OF_HEADERS: (Author,)}
    when_unknown = Action.PASS
    is_filter = False
    findings = ()

    def __init__(self, settings, site):
        pass

    def examine(self, mail, known):
        return Verdict(agent=self.name)
"""
GATHERER = """
def gatherer(sources):
    ask = sources.resolver.texts
    return Gathering(fact=Mine, scope=Scope.MAIL, earliest=Stage.END_OF_HEADERS, find=lambda mail: Mine())
"""

GOOD = [
    ("an agent", AGENT),
    ("an agent with a fact of its own", AGENT.replace("(Author,)", "(Mine,)") + GATHERER),
]
MISTAKES = [
    (
        "a fact that is known later",
        AGENT.replace("END_OF_HEADERS", "MAIL"),
        "agent quiet needs Author at mail: it is known from end-of-headers on",
    ),
    (
        "a fact that nobody finds out",
        AGENT.replace("(Author,)", "(Mine,)"),
        "agent quiet needs Mine, which nothing finds out",
    ),
    (
        "a class that cannot be made",
        AGENT.replace("        pass", "        settings.words"),
        "AttributeError",
    ),
    ("a fact that cannot be made", AGENT + GATHERER.replace("texts", "texts.words"), "AttributeError"),
    ("a fact without a way", AGENT + "\ndef gatherer(sources):\n    return None\n", "AttributeError"),
]


def file_with(folder: Path, agent: str) -> str:
    """A configuration whose fifth line names the folder with the agent."""
    agents = folder / "agents"
    agents.mkdir(mode=0o755)
    (agents / "quiet.py").write_text(agent, "utf-8")
    file = folder / "gatepost.toml"
    file.write_text(
        '[server]\nhostname = "mx.ours.example"\nuser = "nobody"\n'
        f'[policy]\nagents-directory = "{agents}"\n'
        '[receive-connectors.internet]\nlisten = ["127.0.0.1:2525"]\n',
        "utf-8",
    )
    file.chmod(0o640)
    return str(file)


@pytest.mark.parametrize("agent", [row[1] for row in GOOD], ids=[row[0] for row in GOOD])
def test_agents_that_can_be_used(tmp_path: Path, agent: str) -> None:
    assert "quiet" in load_configuration(file_with(tmp_path, agent)).agents


@pytest.mark.parametrize(("agent", "said"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_agents_that_cannot(tmp_path: Path, agent: str, said: str) -> None:
    file = file_with(tmp_path, agent)
    for load in (load_configuration, load_to_run):
        with pytest.raises(ConfigurationErrors) as told:
            load(file)
        (error,) = told.value.errors
        assert (error.line, error.key) == (5, "policy.agents-directory")
        assert said in error.message
