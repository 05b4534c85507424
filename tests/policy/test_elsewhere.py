"""Third parties' agents whose opinion comes from somewhere else: as the hearing hears it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.policy.fakes import World, settings_of, site, view

from gatepost.config.agent_table import AgentTable
from gatepost.facts.gathering import Sources
from gatepost.model.fault import WorldFault
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Disposition, Stage, Verdict
from gatepost.policy.assembly import build, third_party_agents
from gatepost.policy.folding import Decision
from gatepost.policy.scan_question import (
    Question,
    decode_question,
    encode_bug,
    encode_question,
    encode_verdict,
)
from gatepost.policy.third_party import ThirdParty, find_third_party
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.scanning import ScanDied
from gatepost.routing.accepted import accepted_domains


class Theirs:
    """Refuses mail of a client that says refuse, and mail that says so."""

    name = "theirs"
    settings_type = AgentTable
    needs: ClassVar[dict[Stage, Any]] = {Stage.MAIL: (), Stage.END_OF_HEADERS: ()}
    when_unknown = Action.PASS
    is_filter = False
    findings = ()

    def __init__(self, _settings: Any, _site: Any) -> None:
        pass

    def examine(self, mail: MailView, _known: Known) -> Verdict:
        if b"refuse" in mail.head or mail.session.helo == "refuse.test":
            return Verdict.reject(self.name, Reply(550, "5.7.1", "No"), "it says refuse", unless="it did not")
        return Verdict(agent=self.name)


class ScanWorkers:
    """Keeps the promise of ports.scanning.Scanner in this process; `does` may fail first."""

    def __init__(self) -> None:
        self.agents: dict[tuple[str, str], Any] = {}
        self.does: Callable[[], bytes | None] = lambda: None
        self.asked = 0

    async def ask(self, question: bytes) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if (octets := self.does()) is not None:
            return octets
        asked = decode_question(question)
        agent = self.agents[asked.connector, asked.agent]
        return encode_verdict(agent.examine(asked.view, asked.known), asked)


class Place:
    """A policy whose third party is asked elsewhere."""

    def __init__(self) -> None:
        self.world, self.scanner = World(), ScanWorkers()
        settings, third_party = settings_of(), ThirdParty(agents=(Theirs,))
        accepted = accepted_domains(settings)
        self.scanner.agents = third_party_agents(settings, {}, third_party, accepted)
        self.runner = build(
            settings,
            {},
            accepted=accepted,
            resolver=self.world.names,
            directory=self.world.mailboxes,
            log=self.world.log,
            counters=self.world.counters,
            revision="0123456789ab",
            third_party=third_party,
            shared=MemoryShared(),
            scanner=self.scanner,
        )

    def decide(self, head: bytes = b"Subject: hello\r\n\r\n") -> Decision:
        """What becomes of one mail."""

        async def run() -> Decision:
            hearing = self.runner.hearing("internet")
            decided = hearing.decide(view(Stage.END_OF_DATA, head=head, recipients=("bob@gate.test",)))
            (decision,) = decided if isinstance(decided, tuple) else await decided
            hearing.close()
            return decision

        return asyncio.run(run())

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.world.log.lines]


def test_its_opinion_counts_as_any_other() -> None:
    place = Place()
    assert place.decide().disposition.reply is None
    refused = place.decide(b"Subject: refuse\r\n\r\n").disposition
    assert refused.decided_by == "theirs"
    assert str(refused.reply) == "550 5.7.1 No"
    assert place.scanner.asked == 2


def test_it_is_asked_at_every_stage_it_names() -> None:
    async def run() -> Disposition:
        from tests.policy.fakes import session

        answer = Place().runner.hearing("internet").ask(view(Stage.MAIL, who=session(helo="refuse.test")))
        return answer if isinstance(answer, Disposition) else await answer

    assert str(asyncio.run(run()).reply) == "550 5.7.1 No"


@pytest.mark.threat("P02")
def test_a_mail_that_kills_scan_workers_is_put_off_then_held_and_not_asked_about_again() -> None:
    place = Place()

    def dies() -> bytes:
        raise ScanDied("the scan worker died over it")

    place.scanner.does = dies
    for _ in range(2):
        put_off = place.decide().disposition
        assert put_off.action is Action.DEFER
        assert str(put_off.reply).startswith("451 4.3.0")
    assert place.decide().disposition.action is Action.QUARANTINE
    assert place.decide().disposition.action is Action.QUARANTINE
    assert place.scanner.asked == 3
    assert place.events.count("scan-died") == 3
    place.scanner.does = lambda: None
    assert place.decide(b"Subject: another\r\n\r\n").disposition.action is Action.PASS


def test_without_a_free_scan_worker_its_opinion_is_unknown() -> None:
    place = Place()

    def nobody() -> bytes:
        raise WorldFault("no scan worker was free within 70 s")

    place.scanner.does = nobody
    decision = place.decide().disposition
    assert decision.action is Action.PASS  # when_unknown
    (said,) = [v for v in decision.verdicts if v.agent == "theirs"]
    assert said.reason == "opinion of theirs is unknown: no scan worker was free within 70 s"


@pytest.mark.threat("P03")
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("a bug", encode_bug("ValueError", "Traceback ... ValueError: x")),
        ("nonsense", b"\xc1"),
        ("an opinion in another form", b"\x90"),
    ],
)
def test_a_bug_and_nonsense_put_the_mail_off(name: str, answer: bytes) -> None:  # the row's id
    place = Place()
    place.scanner.does = lambda: answer
    put_off = place.decide().disposition
    assert put_off.action is Action.DEFER
    assert "agent-bug" in place.events


def test_facts_from_files_are_known_by_name_on_both_sides(tmp_path: Path) -> None:
    """The worker may have read the file earlier than the scan worker: with a reload that was refused, say."""
    (tmp_path / "their_mood.py").write_text(MOOD, "utf-8")
    sources = Sources(site=site(), resolver=World().names, directory=World().mailboxes)
    before, after = (find_third_party(str(tmp_path)).gatherers[0](sources).fact for _ in range(2))
    assert before is not after
    asked = Question.of("theirs", (before,), view(Stage.MAIL), Known({before: before(how="good")}))
    heard = decode_question(encode_question(asked))
    assert heard.known[after].how == "good"


MOOD = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from gatepost.facts.gathering import Gathering
from gatepost.model.known import Scope
from gatepost.model.verdict import Stage

@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    name: ClassVar[str] = "their-mood"
    how: str

def gatherer(_sources):
    return Gathering(fact=Mood, scope=Scope.MAIL, earliest=Stage.MAIL, find=lambda _: Mood(how="good"))
"""
