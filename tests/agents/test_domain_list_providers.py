"""The agent domain-list-providers: from what lists of domains say to a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import session, site, view

from gatepost.agents.domain_list_providers import DomainListProviders
from gatepost.facts.domain_listings import AuthorListings, DomainListings, ListedDomain
from gatepost.model.verdict import Stage

DEFAULT = "550 5.7.1 Mail not accepted, bad.test is on a block list"


def by(name: str = "a", weight: float = 1.0, domain: str = "bad.test", **more: Any) -> ListedDomain:
    codes = ("127.0.1.2",)
    return ListedDomain(provider=name, zone=f"{name}.zone", domain=domain, codes=codes, weight=weight, **more)


@dataclass(frozen=True)
class Case:
    name: str
    envelope: tuple[ListedDomain, ...]
    author: tuple[ListedDomain, ...]
    then: tuple[str, str]
    """At RCPT, and at the end of the headers: what is said and found."""
    given: dict[str, Any]


def case(
    name: str,
    envelope: tuple[ListedDomain, ...],
    author: tuple[ListedDomain, ...],
    *then: str,
    **given: Any,
) -> Case:
    return Case(
        name, envelope, author, (then[0], then[1]), {k.replace("_", "-"): v for k, v in given.items()}
    )


HALF = by(weight=0.5)
CASES = (
    case("nobody lists anything", (), (), "pass", "pass"),
    case("the envelope", (by(),), (), DEFAULT, "pass"),
    case("From", (), (by(),), "pass", DEFAULT),
    case("too little, in the envelope", (HALF,), (), "pass domain-on-a-provider-list", "pass"),
    case("too little, in From", (), (HALF,), "pass", "pass author-on-a-provider-list"),
    case(
        "the same provider twice counts once",
        (HALF,),
        (by(weight=0.5, domain="b.test"),),
        "pass domain-on-a-provider-list",
        "pass author-on-a-provider-list",
    ),
    case("two together", (HALF,), (by("b", 0.5),), "pass domain-on-a-provider-list", DEFAULT),
    case("a higher threshold", (by(),), (), "pass domain-on-a-provider-list", "pass", threshold=2.0),
    case(
        "words of its own",
        (by(reply="{name} {code} {text}", text="why"),),
        (),
        "550 5.7.1 bad.test 127.0.1.2 why",
        "pass",
    ),
    case("an exempt recipient", (by(),), (by(),), "pass", "pass", exempt_recipients=["@gate.test"]),
)


def told(verdict: Any) -> str:
    return " ".join((str(verdict.reply or "pass"), *(f.name for f in verdict.findings)))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_verdicts(case: Case) -> None:
    agent = DomainListProviders(settings(DomainListProviders, case.given), site())
    envelope = DomainListings(asked=("bad.test",), listed=case.envelope)
    at_rcpt = ask(agent, view(Stage.RCPT, recipient="bob@gate.test"), envelope)
    mail = view(Stage.END_OF_HEADERS, recipients=("bob@gate.test",))
    later = ask(agent, mail, envelope, AuthorListings(asked=("bad.test",), listed=case.author))
    assert (told(at_rcpt), told(later)) == case.then
    for verdict in (at_rcpt, later):
        assert verdict.reason or told(verdict) == "pass"


@pytest.mark.threat("Q08")
def test_behind_a_relay_of_ours_the_envelope_is_judged_at_the_end_of_the_headers() -> None:
    agent = DomainListProviders(settings(DomainListProviders), site())
    who = session(client_ip="10.0.0.1", origin_ip="192.0.2.7")
    mail = view(Stage.END_OF_HEADERS, who=who, recipients=("bob@gate.test",))
    assert said(ask(agent, mail, DomainListings(listed=(by(),)), AuthorListings())) == "550 5.7.1"
    low = ask(agent, mail, DomainListings(listed=(HALF,)), AuthorListings())
    assert [f.name for f in low.findings] == ["domain-on-a-provider-list"]


@pytest.mark.parametrize("reply", ["", "x" * 241, "{what}", "é"])
def test_words_that_are_no_reply(reply: str) -> None:
    with pytest.raises(ValueError):
        settings(DomainListProviders, {"reply": reply})
