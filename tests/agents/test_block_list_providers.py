"""The agent block-list-providers: from what providers say to a refusal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import site, view

from gatepost.agents.block_list_providers import BELOW_THRESHOLD, BlockListProviders
from gatepost.facts.dns_listings import DnsListings, ListedBy
from gatepost.model.verdict import SkipFilters, Stage, Verdict

IP = "192.0.2.7"
DEFAULT = "550 5.7.1 Recipient not authorized, your IP has been found on a block list"


def by(name: str = "a", weight: float = 1.0, **more: Any) -> ListedBy:
    return ListedBy(provider=name, zone=f"{name}.test", codes=("127.0.0.2",), weight=weight, **more)


@dataclass(frozen=True)
class Case:
    name: str
    listed: tuple[ListedBy, ...]
    reply: str
    given: dict[str, Any]


def case(name: str, listed: tuple[ListedBy, ...], reply: str, **given: Any) -> Case:
    return Case(name, listed, reply, {key.replace("_", "-"): value for key, value in given.items()})


CASES = (
    case("nobody lists it", (), "None"),
    case("one lists it", (by(),), DEFAULT),
    case("one whose weight is too small", (by(weight=0.5),), "None"),
    case("two that are enough together", (by(weight=0.5), by("b", 0.5)), DEFAULT),
    case("a higher threshold", (by(), by("b")), "None", threshold=2.5),
    case(
        "words of its own",
        (by(reply="{ip} {provider} {zone} {code} {text}", text="why"),),
        f"550 5.7.1 {IP} a a.test 127.0.0.2 why",
    ),
    case(
        "the first that has weight speaks",
        (by(weight=0.0, reply="no"), by("b", reply="yes")),
        "550 5.7.1 yes",
    ),
    case("an exempt recipient", (by(),), "None", exempt_recipients=["Bob@gate.test"]),
    case("another is exempt", (by(),), DEFAULT, exempt_recipients=["@other.test"]),
)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_verdicts(case: Case) -> None:
    agent = BlockListProviders(settings(BlockListProviders, case.given), site())
    verdict = ask(
        agent, view(Stage.RCPT, recipient="bob@gate.test"), DnsListings(address=IP, listed=case.listed)
    )
    assert str(verdict.reply) == case.reply


def test_listings_below_the_threshold_are_found() -> None:
    agent = BlockListProviders(settings(BlockListProviders), site())
    verdict = ask(
        agent, view(Stage.RCPT, recipient="bob@gate.test"), DnsListings(address=IP, listed=(by(weight=0.5),))
    )
    assert (said(verdict), verdict.findings) == ("pass", (BELOW_THRESHOLD,))


def test_a_client_that_an_allow_list_provider_vouches_for_is_spared() -> None:
    agent = BlockListProviders(settings(BlockListProviders), site())
    fact = DnsListings(address=IP, listed=(by(),), allowed=(by("good"),), unanswered=("b: silent",))
    verdict = ask(agent, view(Stage.RCPT, recipient="bob@gate.test"), fact)
    assert (said(verdict), verdict.effects) == ("pass", (SkipFilters(),))


@pytest.mark.parametrize(
    "given", [{"reply": "{who}"}, {"reply": "ä"}, {"threshold": 0.0}, {"exempt-recipients": ["x y"]}]
)
def test_settings_that_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        settings(BlockListProviders, given)


def test_behind_a_relay_only_recipients_who_are_not_exempt_are_refused_the_mail() -> None:
    agent = BlockListProviders(settings(BlockListProviders, {"exempt-recipients": ["@gate.test"]}), site())

    def asked(*recipients: str) -> Verdict:
        mail = view(Stage.END_OF_HEADERS, recipients=recipients)
        return ask(agent, mail, DnsListings(address=IP, listed=(by(),)))

    assert asked("bob@gate.test").reply is None
    verdict = asked("bob@gate.test", "bob@far.test")
    assert [str(address) for address in verdict.recipients or ()] == ["bob@far.test"]
    assert verdict.reply is not None
