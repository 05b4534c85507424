"""Agents and facts of third parties that fail again and again are switched off; what mail is answered then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from tests.fakes import FakeClock
from tests.policy.fakes import World, settings_of, view

from gatepost.config.agent_table import AgentTable
from gatepost.config.scan_settings import Faults
from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.fault import WorldFault
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.verdict import Action, Disposition, Stage, Verdict
from gatepost.policy.assembly import build, third_party_agents
from gatepost.policy.fuses import FAULTS_SPACE, OFF_SPACE, Fuses, forget_faults
from gatepost.policy.scan_question import decode_question, encode_bug, encode_verdict
from gatepost.policy.third_party import ThirdParty
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.scanning import ScanDied
from gatepost.routing.accepted import accepted_domains

pytestmark = pytest.mark.threat("P03")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """The fact of a third party."""

    name: ClassVar[str] = "weather"

    is_fine: bool = True


class Forecaster:
    """Says nothing of mail; needs the weather."""

    name = "forecaster"
    settings_type = AgentTable
    needs: ClassVar[dict[Stage, Any]] = {Stage.END_OF_HEADERS: (Weather,)}
    when_unknown = Action.PASS
    is_filter = False
    findings = ()
    does: ClassVar[Callable[[], object]] = lambda: None

    def __init__(self, _settings: Any, _site: Any) -> None:
        pass

    def examine(self, _mail: MailView, known: Known) -> Verdict:
        assert known[Weather].is_fine
        return type(self).does() or Verdict(agent=self.name)  # type: ignore[return-value]


class Cautious(Forecaster):
    """The same, and mail waits while it has no opinion."""

    when_unknown = Action.DEFER


class Elsewhere:
    """Keeps the promise of ports.scanning.Scanner in this process."""

    def __init__(self) -> None:
        self.agents: dict[tuple[str, str], Any] = {}
        self.does: Callable[[], bytes | None] = lambda: None
        self.asked = 0

    async def ask(self, question: bytes) -> bytes:
        self.asked += 1
        if (octets := self.does()) is not None:
            return octets
        asked = decode_question(question)
        agent = self.agents[asked.connector, asked.agent]
        return encode_verdict(agent.examine(asked.view, asked.known), asked)


class Blamed:
    """Keeps the promise of ports.blame.Blame."""

    def __init__(self) -> None:
        self.now = ""
        self.all: list[str] = []

    def enter(self, plug_in: str) -> None:
        self.now = plug_in
        self.all.append(plug_in)

    def leave(self) -> None:
        self.now = ""


class Place:
    """A policy with an agent and a fact of a third party. shared: with other workers."""

    def __init__(
        self,
        *,
        agent: Any = Forecaster,
        elsewhere: bool = False,
        shared: MemoryShared | None = None,
        clock: FakeClock | None = None,
        **faults: Any,
    ) -> None:
        self.world, self.clock, self.blamed = World(), clock or FakeClock(), Blamed()
        self.scanner = Elsewhere()
        self.find: Callable[[MailView], Any] = lambda _: Weather()
        self.shared = shared or MemoryShared(self.clock.now)
        table = {name.replace("_", "-"): value for name, value in {"limit": 3, **faults}.items()}
        self.fuses = Fuses(
            Faults.model_validate(table),
            shared=self.shared,
            log=self.world.log,
            counters=self.world.counters,
            now=self.clock.now,
            monotonic=self.clock.monotonic,
            blame=self.blamed,
        )
        settings = settings_of()
        third_party = ThirdParty(agents=(agent,), gatherers=(self._gatherer,))
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
            shared=self.shared,
            scanner=self.scanner if elsewhere else None,
            fuses=self.fuses,
        )

    def _gatherer(self, _sources: Sources) -> Gathering:
        return Gathering(
            fact=Weather,
            scope=Scope.MAIL,
            earliest=Stage.END_OF_HEADERS,
            find=self._find,
            waits=True,
        )

    def _find(self, mail: MailView) -> Any:
        return self.find(mail)

    def mail(self, subject: str = "hello") -> Disposition:
        """What becomes of one mail."""

        async def run() -> Disposition:
            hearing = self.runner.hearing("internet")
            head = f"Subject: {subject}\r\n\r\n".encode()
            decided = hearing.decide(view(Stage.END_OF_DATA, head=head, recipients=("bob@gate.test",)))
            (decision,) = decided if isinstance(decided, tuple) else await decided
            hearing.close()
            return decision.disposition

        return asyncio.run(run())

    def mails(self, number: int) -> list[int]:
        """The codes of so many different mails; 250: taken."""
        said = [self.mail(f"mail {n}") for n in range(number)]
        return [one.reply.code if one.reply is not None else 250 for one in said]

    def told(self, event: str) -> list[dict[str, object]]:
        return [fields for _, name, fields in self.world.log.lines if name == event]


def fail() -> None:
    raise ValueError("a bug")


def leave() -> None:
    raise SystemExit(3)


def die() -> None:
    raise ScanDied("the scan worker died")


BUGS: list[tuple[str, bool, Callable[[], object]]] = [
    ("it raises in the worker", False, fail),
    ("it exits in the worker", False, leave),
    ("it returns nonsense in the worker", False, lambda: "\r\nX-Forged: yes"),
    ("it raises in a scan worker", True, lambda: encode_bug("ValueError", "the trace")),
    ("a scan worker answers nonsense", True, lambda: b"\xff\xff"),
]


@pytest.mark.parametrize(("name", "elsewhere", "deed"), BUGS, ids=[bug[0] for bug in BUGS])
def test_an_agent_is_switched_off(
    monkeypatch: pytest.MonkeyPatch, name: str, elsewhere: bool, deed: Callable[[], Any]
) -> None:
    place = Place(elsewhere=elsewhere)
    if elsewhere:
        place.scanner.does = deed
    else:
        monkeypatch.setattr(Forecaster, "does", staticmethod(deed))
    # Three different mails are put off for it; then it is not asked any more, and that is no secret
    assert place.mails(5) == [451, 451, 451, 250, 250]
    said = place.mail("and now").verdicts[0]
    assert said.agent == "forecaster"
    assert "is switched off after 3 faults" in said.reason
    (line,) = place.told("plug-in-off")
    assert (line["name"], line["value"], line["actual"]) == ("agent forecaster", 3, 3)
    samples = {(name, labels) for name, labels, _ in place.world.counters.samples()}
    assert ("plug_ins_switched_off", (("plug_in", "agent forecaster"),)) in samples
    assert [labels for _, labels, _ in place.fuses.samples()] == [(("plug_in", "agent forecaster"),)]


MEANWHILE: list[tuple[str, Any, dict[str, Any], int]] = [
    ("as it says itself: pass", Forecaster, {}, 250),
    ("as it says itself: put off", Cautious, {}, 451),
    ("put off, whatever it says", Forecaster, {"meanwhile": "defer"}, 451),
    ("put off for this one", Forecaster, {"meanwhile_of": {"forecaster": "defer"}}, 451),
    (
        "put off for all but this one",
        Forecaster,
        {"meanwhile": "defer", "meanwhile_of": {"forecaster": "as-unknown"}},
        250,
    ),
]


@pytest.mark.parametrize(("name", "agent", "faults", "code"), MEANWHILE, ids=[row[0] for row in MEANWHILE])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["in the worker", "in scan workers"])
def test_what_mail_is_answered_meanwhile(
    name: str, agent: Any, faults: dict[str, Any], code: int, elsewhere: bool
) -> None:
    place = Place(agent=agent, elsewhere=elsewhere, limit=1, **faults)
    place.fuses.fault("agent forecaster", "ValueError")
    assert place.mails(1) == [code]
    assert place.scanner.asked == 0


def waiting(then: Callable[[], Any]) -> Callable[[MailView], Any]:
    async def find(_mail: MailView) -> Any:
        await asyncio.sleep(0)
        return then()

    return find


FACTS: list[tuple[str, Callable[[MailView], Any]]] = [
    ("it raises", lambda _: fail()),
    ("it exits", lambda _: leave()),
    ("it finds something else", lambda _: "fine"),
    ("it raises while it waits", waiting(fail)),
    ("it finds something else while it waits", waiting(lambda: "fine")),
]


@pytest.mark.parametrize(("name", "find"), FACTS, ids=[fact[0] for fact in FACTS])
@pytest.mark.parametrize("agent", [Forecaster, Cautious])
def test_a_fact_is_switched_off(agent: Any, name: str, find: Callable[[MailView], Any]) -> None:
    place = Place(agent=agent)
    asked = []

    def found(mail: MailView) -> Any:
        asked.append(mail)
        return find(mail)

    place.find = found
    assert place.mails(6) == [250 if agent is Forecaster else 451] * 6
    assert len(asked) == 3
    assert place.told("plug-in-off")[0]["name"] == "fact weather"


def test_what_is_no_fault_of_its_own_does_not_count() -> None:
    def out_of_reach(_mail: MailView) -> Any:
        raise WorldFault("the server does not answer")

    place = Place()
    for find in (out_of_reach, waiting(lambda: out_of_reach(None)), lambda _: Weather(), waiting(Weather)):  # type: ignore[arg-type]
        place.find = find
        assert place.mails(5) == [250] * 5
    assert not place.told("plug-in-off")


def test_a_fact_that_holds_the_worker_up_is_switched_off() -> None:
    place = Place(blocking="1s")

    def slow(_mail: MailView) -> Weather:
        place.clock.advance(1.5)
        return Weather()

    place.find = slow
    assert place.mails(4) == [250] * 4
    assert place.told("plug-in-off")[0]["error"] == "held the worker up for 1.5 s"
    place = Place(blocking="1s")
    place.find = waiting(lambda: slow(None))  # type: ignore[arg-type]
    place.mails(3)
    assert place.fuses.why_off("fact weather") == (
        "fact weather is switched off after 3 faults (held the worker up for 1.5 s)"
    )


def test_what_a_worker_dies_in_is_written_down_and_switched_off_at_the_second_death() -> None:
    place = Place(limit=10)
    inside = []

    def look(_mail: MailView) -> Weather:
        inside.append(place.blamed.now)
        return Weather()

    place.find = look
    place.mails(1)
    assert inside == ["fact weather"]
    assert place.blamed.now == ""
    assert "agent forecaster" in place.blamed.all
    place.fuses.death("fact weather")
    assert not place.fuses.why_off("fact weather")
    place.fuses.death("fact weather")
    assert place.fuses.why_off("fact weather")


def test_one_mail_that_is_sent_again_and_again_switches_nothing_off() -> None:
    place = Place(elsewhere=True)
    place.scanner.does = die
    assert [place.mail("the same").action for _ in range(3)] == [
        Action.DEFER,
        Action.DEFER,
        Action.QUARANTINE,
    ]
    place.scanner.does = lambda: encode_bug("ValueError", "the trace")
    for _ in range(10):
        assert place.mail("another").reply is not None
    assert not place.told("plug-in-off")
    assert place.mails(2) == [451, 250]


def test_faults_count_for_their_window_and_over_all_workers() -> None:
    clock = FakeClock()
    shared = MemoryShared(clock.now)
    one, other = Place(shared=shared, clock=clock), Place(shared=shared, clock=clock)
    for place in (one, other):
        place.fuses.fault("agent forecaster", "ValueError")
    clock.advance(600)
    for place in (one, other):
        place.fuses.fault("agent forecaster", "ValueError")
        assert not place.fuses.why_off("agent forecaster")
    one.fuses.fault("agent forecaster", "KeyError")
    assert "KeyError" in other.fuses.why_off("agent forecaster")
    assert len(one.told("plug-in-off")) + len(other.told("plug-in-off")) == 1


def test_how_it_comes_back() -> None:
    place = Place(limit=1, cool_down="5m")
    place.fuses.fault("agent forecaster", "ValueError")
    place.fuses.fault("fact weather", "ValueError")
    # By a word, for that one
    assert forget_faults(place.shared, "fact weather") == ["fact weather"]
    assert not place.fuses.why_off("fact weather")
    assert place.fuses.why_off("agent forecaster")
    # By itself
    place.clock.advance(300)
    assert not place.fuses.why_off("agent forecaster")
    assert place.told("plug-in-on")[-1]["name"] == "agent forecaster"
    # By a reload, which forgets what was counted, too
    place = Place(limit=2)
    for _ in range(3):
        place.fuses.fault("agent forecaster", "ValueError")
    place.clock.advance(1e6)
    assert place.fuses.off()[0].until == 0
    place.fuses.forget()
    assert not place.fuses.why_off("agent forecaster")
    assert not place.shared.items(OFF_SPACE)
    assert not place.shared.items(FAULTS_SPACE)


def test_a_limit_of_0_switches_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forecaster, "does", staticmethod(fail))
    place = Place(limit=0)
    assert set(place.mails(50)) == {451}
    place.fuses.death("agent forecaster")
    assert not place.fuses.off()


def test_what_cannot_be_read_is_off() -> None:
    place = Place()
    place.shared.put(OFF_SPACE, "agent forecaster", b"\xff", expires_at=1e11)
    assert "cannot be read" in place.fuses.why_off("agent forecaster")
