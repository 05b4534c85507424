"""What SPF results are worth, and when mail is refused for one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pydantic import ValidationError
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import site, view

from gatepost.agents.spf import EXPLANATION_LIMIT_CHARS, Spf, cleaned, refusal
from gatepost.facts.spf import UNCHECKED, SpfResult
from gatepost.model.verdict import Action, Stage, Verdict

FACT = SpfResult(
    result="fail",
    domain="client.test",
    identity="mailfrom",
    ip="192.0.2.7",
    term="-all",
    record_domain="spf.client.test",
    path=("client.test", "spf.client.test"),
    explanation="see https://client.test/why",
)


def judge(fact: SpfResult, **wishes: Any) -> Verdict:
    return ask(Spf(settings(Spf, wishes), site()), view(Stage.END_OF_HEADERS), fact)


@dataclass(frozen=True)
class Case:
    name: str
    fact: dict[str, Any]
    said: str = "pass"
    found: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("a fail is weighed", {}, "pass", ("spf-fail",)),
    Case("a fail is refused where it is wished", {}, "550 5.7.23", ("spf-fail",), {"reject-on-fail": True}),
    Case("a softfail is never refused", {"result": "softfail"}, "pass", ("spf-softfail",), {"reject-on-fail": True}),
    Case("neutral", {"result": "neutral", "term": ""}, "pass", ("spf-neutral",)),
    Case("no record", {"result": "none"}, "pass", ("spf-none",)),
    Case("a mistake in the record", {"result": "permerror", "problem": "two records"}, "pass", ("spf-permerror",)),
    Case("a pass says nothing", {"result": "pass", "term": "mx"}),
    Case("a pass for everybody", {"result": "pass", "term": "+all"}, "pass", ("spf-open",)),
    Case("a pass for all of IPv4", {"result": "pass", "term": "ip4:0.0.0.0/0"}, "pass", ("spf-open",)),
    Case("a silent DNS", {"result": "temperror", "problem": "timeout"}, "pass", ("spf-temperror",)),
    Case(
        "a silent DNS, to wait for",
        {"result": "temperror", "problem": "timeout"},
        "451 4.7.24",
        ("spf-temperror",),
        {"temperror": "defer"},
    ),
    Case("the EHLO name", {"result": "pass", "helo_result": "fail"}, "pass", ("spf-helo-fail",)),
    Case(
        "the EHLO name alone refuses nothing",
        {"result": "pass", "helo_result": "fail"},
        "pass",
        ("spf-helo-fail",),
        {"reject-on-fail": True},
    ),
    Case("an unchecked client", {"result": "none", "problem": UNCHECKED}),
    Case("a bypassed domain", {}, settings={"reject-on-fail": True, "bypassed-domains": ["CLIENT.test"]}),
    Case("below a bypassed domain", {"domain": "a.client.test"}, settings={"bypassed-domains": ["*.client.test"]}),
    Case("beside one", {}, "pass", ("spf-fail",), {"bypassed-domains": ["*.client.test"]}),
]  # fmt: skip


@pytest.mark.threat("J08", "J32")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_results(case: Case) -> None:
    verdict = judge(replace(FACT, **case.fact), **case.settings)
    assert said(verdict) == case.said
    assert tuple(found.name for found in verdict.findings) == case.found
    assert bool(verdict.because) is bool(case.found)


def test_the_record_says_which_term_of_which_record() -> None:
    reason = judge(FACT).reason
    assert reason == "SPF fail for 192.0.2.7 and client.test (mailfrom) by '-all' of spf.client.test"


def test_the_domains_own_words_are_marked_as_its_own() -> None:
    assert str(refusal(FACT, explain=True)) == (
        "550 5.7.23 192.0.2.7 may not send mail for client.test (SPF); that domain explains: see https://client.test/why"
    )
    assert "explains" not in str(refusal(FACT, explain=False))


@pytest.mark.threat("J06")
@pytest.mark.parametrize("text", ["a\r\n250 2.0.0 OK", "\x1b[31m", "bärbel", "x" * 10_000, "\0", "  a   b "])
def test_a_hostile_explanation_is_one_short_line(text: str) -> None:
    shown = cleaned(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= EXPLANATION_LIMIT_CHARS
    assert len(refusal(replace(FACT, explanation=text), explain=True).encode()) < 512


def test_an_unknown_fact_defers_only_where_temporary_errors_do() -> None:
    assert Spf(settings(Spf), site()).when_unknown is Action.PASS
    assert Spf(settings(Spf, {"temperror": "defer"}), site()).when_unknown is Action.DEFER


def test_a_bypassed_domain_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="is no domain"):
        settings(Spf, {"bypassed-domains": ["a b"]})
