"""Greylisting: what is put off, what passes, and what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import Mailboxes, Names, site, to, view

from gatepost.agents.greylisting import Greylisting
from gatepost.facts.gathering import Sources
from gatepost.facts.greylisting import GreylistState, gatherer
from gatepost.facts.ip_lists import IpListing
from gatepost.facts.sender_reputation import Reputation
from gatepost.facts.spf import SpfResult
from gatepost.model.greylist import ATTEMPTS_SPACE, NETWORKS_SPACE, Attempt, attempt_key
from gatepost.model.known import Known, MailView
from gatepost.model.verdict import Remember, Stage, Tally
from gatepost.ports.memory_shared import MemoryShared

BOB = "bob@gate.test"
NOW = view(Stage.RCPT, recipient=BOB).now
DAY = 86400.0
IP = "192.0.2.7"


def state(**known: Any) -> GreylistState:
    return GreylistState(
        recipient=to(BOB).address,
        key="192.0.2.0/24 client.test bob@gate.test",
        network="192.0.2.0/24",
        **known,
    )


SPF_COUNTS = {"spf-pass-exempts": True}


def spf_of(given: Any) -> tuple[Any, ...]:
    if not isinstance(given, tuple):
        return ()
    return (SpfResult(result=given[0], term=given[1], domain="client.test", identity="mailfrom", ip=IP),)


@dataclass(frozen=True)
class Case:
    name: str
    found: GreylistState
    expected: str
    given: dict[str, Any] = field(default_factory=dict)
    allowed_by: str = ""
    level: int = -1
    earned: int | None = None
    """None: the level itself."""
    spf: Any = None
    """A result and its term; None: it is unknown."""
    remembered: tuple[str, ...] = ()
    """Spaces that are written."""


CASES = [
    Case("the first attempt", state(), "451 4.7.1", remembered=(ATTEMPTS_SPACE,)),
    Case("too early", state(first_at=NOW - 299), "451 4.7.1"),
    Case("in time", state(first_at=NOW - 301), "pass", remembered=(ATTEMPTS_SPACE, NETWORKS_SPACE)),
    Case("too late", state(first_at=NOW - 3 * DAY), "451 4.7.1", remembered=(ATTEMPTS_SPACE,)),
    Case(
        "a wait of one's own",
        state(first_at=NOW - 61),
        "pass",
        {"earliest": "1m"},
        remembered=(ATTEMPTS_SPACE, NETWORKS_SPACE),
    ),
    Case("it passed today", state(first_at=NOW - 2 * DAY, passed_at=NOW - 9), "pass"),
    Case(
        "it passed last week",
        state(first_at=NOW - 9 * DAY, passed_at=NOW - 7 * DAY),
        "pass",
        remembered=(ATTEMPTS_SPACE,),
    ),
    Case(
        "it passed long ago",
        state(first_at=NOW - 99 * DAY, passed_at=NOW - 37 * DAY),
        "451 4.7.1",
        remembered=(ATTEMPTS_SPACE,),
    ),
    Case("a network that passes", state(network_passes=5), "pass", remembered=(NETWORKS_SPACE,)),
    Case(
        "networks never do",
        state(network_passes=50),
        "451 4.7.1",
        {"network-passes": 0},
        remembered=(ATTEMPTS_SPACE,),
    ),
    Case("the allow list", state(), "pass", allowed_by="192.0.2.0/24"),
    Case("an exempt network", state(), "pass", {"exempt-networks": ["192.0.2.0/24"]}),
    Case("an exempt recipient", state(), "pass", {"exempt-recipients": [BOB]}),
    Case("an exempt domain", state(), "pass", {"exempt-recipients": ["@gate.test"]}),
    Case("a client of good reputation", state(), "pass", level=2),
    Case("a client of no good reputation", state(), "451 4.7.1", level=3, remembered=(ATTEMPTS_SPACE,)),
    Case(
        "a stranger among neighbours who guess recipients",
        state(),
        "451 4.7.1",
        level=2,
        earned=4,
        remembered=(ATTEMPTS_SPACE,),
    ),
    Case(
        "reputation does not count",
        state(),
        "451 4.7.1",
        {"good-reputation-exempts": False},
        level=0,
        remembered=(ATTEMPTS_SPACE,),
    ),
    Case("SPF pass counts where it should", state(), "pass", SPF_COUNTS, spf=("pass", "ip4:192.0.2.0/24")),
    Case(
        "SPF pass does not count",
        state(),
        "451 4.7.1",
        spf=("pass", "ip4:192.0.2.0/24"),
        remembered=(ATTEMPTS_SPACE,),
    ),
    Case(
        "everybody has SPF pass",
        state(),
        "451 4.7.1",
        SPF_COUNTS,
        spf=("pass", "+all"),
        remembered=(ATTEMPTS_SPACE,),
    ),
    Case(
        "SPF softfail",
        state(),
        "451 4.7.1",
        SPF_COUNTS,
        spf=("softfail", "~all"),
        remembered=(ATTEMPTS_SPACE,),
    ),
    Case("SPF has no answer", state(), "451 4.7.1", SPF_COUNTS, remembered=(ATTEMPTS_SPACE,)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_attempts(case: Case) -> None:
    agent = Greylisting(settings(Greylisting, case.given), site())
    client = Reputation(
        address=IP, level=case.level, earned=case.level if case.earned is None else case.earned
    )
    facts = (case.found, client, IpListing(address=IP, allowed_by=case.allowed_by))
    mail = view(Stage.RCPT, recipient=BOB)
    assert (SpfResult in agent.wants[Stage.RCPT]) is bool(case.given.get("spf-pass-exempts"))
    verdict = ask(agent, mail, *facts, *spf_of(case.spf))
    assert said(verdict) == case.expected
    assert tuple(e.space for e in verdict.effects if isinstance(e, Remember)) == case.remembered
    assert all(e.agent == "greylisting" for e in verdict.effects if isinstance(e, Remember | Tally))


def test_an_attempt_that_comes_again_passes_and_so_does_its_network_in_the_end() -> None:
    """Agent and fact together, over what is shared."""
    clock = [NOW]
    shared = MemoryShared(lambda: clock[0])
    table = settings(Greylisting, {"network-passes": 2})
    agent = Greylisting(table, site())
    gathering = gatherer(
        Sources(
            site=site(), resolver=Names(), directory=Mailboxes(), shared=shared, tables={"greylisting": table}
        )
    )

    def attempt(sender: str, after_s: float) -> str:
        clock[0] = NOW + after_s
        mail = view(Stage.RCPT, sender=sender, recipient=BOB)
        mail = MailView(
            stage=mail.stage,
            session=mail.session,
            now=clock[0],
            envelope=mail.envelope,
            recipient=mail.recipient,
        )
        verdict = ask(
            agent, mail, gathering.begin(mail, Known()), Reputation(address=IP), IpListing(address=IP)
        )
        for effect in verdict.effects:
            if isinstance(effect, Remember):
                shared.put(effect.space, effect.key, effect.value, expires_at=effect.expires_at)
        return said(verdict)[:4].strip()

    assert [attempt("a@x.test", 0), attempt("a@x.test", 100), attempt("b@y.test", 100)] == ["451"] * 3
    assert [attempt("other@x.test", 400), attempt("a@x.test", 500)] == ["pass"] * 2  # the domain counts
    assert attempt("c@z.test", 500) == "451"
    assert attempt("b@y.test", 600) == "pass"
    assert attempt("c@z.test", 601) == "pass"  # by its network


def test_keys() -> None:
    ann, bob, nobody = to("ann@client.test").address, to(BOB).address, to("").address
    assert attempt_key("network-sender-recipient", "n", ann, bob) == f"n client.test {bob.key}"
    assert attempt_key("network-sender", "n", nobody, bob) == "n <>"
    assert attempt_key("network", "n", ann, bob) == "n"


@pytest.mark.parametrize("data", [None, b"", b"x" * 21, Attempt(1.5, 2.5, 3).encode()])
def test_what_is_remembered_reads_back(data: bytes | None) -> None:
    known = Attempt.decode(data)
    assert known == (Attempt(1.5, 2.5, 3) if data and len(data) == 20 else Attempt())


@pytest.mark.parametrize("given", [{"latest": "1h", "earliest": "1h"}, {"exempt-recipients": ["nobody"]}])
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"earliest|no address"):
        settings(Greylisting, given)


def test_it_is_off_by_default() -> None:
    assert not settings(Greylisting).enabled
