"""The examples work as they are printed: loaded from a folder, asked, explained; and their own tests pass."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.policy.fakes import HEAD, Mailboxes, Names, World, site, view

from gatepost.config.schema import frozen
from gatepost.facts.gathering import Sources
from gatepost.model.known import MailView
from gatepost.model.verdict import Action, Disposition, Stage
from gatepost.policy.dossier import OpaqueFact, decode_fact, encode_fact
from gatepost.policy.explain import explain
from gatepost.policy.folding import Decision
from gatepost.policy.hearing import Hearing
from gatepost.policy.order import agent_settings, fact_types, finding_names, rows
from gatepost.policy.third_party import ThirdParty, find_third_party

EXAMPLES = Path(__file__).parents[2] / "examples"
DOCUMENT = Path(__file__).parents[2] / "docs" / "writing-agents.md"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """policy.agents-directory with the example in it."""
    (tmp_path / "subject_words.py").write_text((EXAMPLES / "subject_words.py").read_text())
    return str(tmp_path)


def hearing_with(theirs: ThirdParty, folder: str, words: list[str]) -> Hearing:
    table = agent_settings(folder)["subject-words"].model_validate(frozen({"words": words}))
    return World().hearing(third_party=theirs, agents={"subject-words": table})


def decisions_of(used: Hearing, mail: MailView) -> tuple[Decision, ...]:
    decisions = used.decide(mail)
    assert isinstance(decisions, tuple)
    return decisions


def mail_about(subject: bytes) -> MailView:
    return view(Stage.END_OF_DATA, recipients=("bob@gate.test",), head=HEAD.replace(b"hello", subject))


SUBJECTS = [
    ("an ordinary subject", b"hello", Action.PASS),
    ("a word of the list", b"your invoice", Action.QUARANTINE),
    ("an encoded word", b"=?utf-8?q?your_invoice?=", Action.QUARANTINE),
]


@pytest.mark.parametrize(("name", "subject", "action"), SUBJECTS, ids=[row[0] for row in SUBJECTS])
def test_the_example_judges_mail(folder: str, name: str, subject: bytes, action: Action) -> None:
    used = hearing_with(find_third_party(folder), folder, ["invoice"])
    (decision,) = decisions_of(used, mail_about(subject))
    assert decision.disposition.action is action


def test_the_example_can_be_explained_with_and_without_its_file(folder: str) -> None:
    theirs = find_third_party(folder)
    used = hearing_with(theirs, folder, ["invoice"])
    mail = mail_about(b"your invoice")
    data = used.dossier(mail, decisions_of(used, mail))
    installed = explain(data, fact_types(theirs, sources()))
    gone = explain(data, fact_types(ThirdParty()))
    for tree in (installed, gone):
        text = "\n".join(tree.lines())
        assert "decided by subject-words" in text
        assert "example-subject: text your invoice" in text
        assert "invoice were not in words" in text


def test_the_smallest_agent_is_an_agent(tmp_path: Path) -> None:
    for name in ("dial_up.py", "test_dial_up.py"):
        (tmp_path / name).write_text((EXAMPLES / name).read_text())
    names = Names(pointers={"192.0.2.7": ["192-0-2-7.pool.isp.example"]})
    used = World(names=names).hearing(third_party=find_third_party(str(tmp_path)))

    async def judged() -> Disposition:
        answer = used.ask(view(Stage.MAIL))
        return answer if isinstance(answer, Disposition) else await answer

    verdicts = asyncio.run(judged()).verdicts
    assert [finding.name for verdict in verdicts for finding in verdict.findings] == ["dial-up-client"]


def test_the_example_stands_in_the_table_behind_ours(folder: str) -> None:
    last = rows(folder)[-1]
    assert (last.name, last.third_party, last.is_filter) == ("subject-words", True, True)
    assert "subject-word" in finding_names(folder)


def test_the_example_s_fact_keeps_the_promise_of_replay(folder: str) -> None:
    theirs = find_third_party(folder)
    types = fact_types(theirs, sources())
    fact: Any = types["example-subject"](text="hello")
    assert decode_fact(fact.name, encode_fact(fact), types) == fact
    assert isinstance(decode_fact(fact.name, encode_fact(fact), fact_types(ThirdParty())), OpaqueFact)


def sources() -> Sources:
    return Sources(site=site(), resolver=Names(), directory=Mailboxes())


def test_the_document_shows_each_example_word_for_word() -> None:
    text = DOCUMENT.read_text()
    for file in sorted(path.name for path in EXAMPLES.glob("*.py")):
        for block in (EXAMPLES / file).read_text().split("\n\n\n"):
            assert block.strip() in text, f"{file}: not in the document: {block[:60]}"


def test_the_examples_own_tests_pass() -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n0",
            "-p",
            "no:cacheprovider",
            str(EXAMPLES),
        ],
        cwd=EXAMPLES.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
