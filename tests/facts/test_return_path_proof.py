"""What proves a return path, and what only looks as if it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.policy.fakes import session, view

from gatepost.config.notice_settings import Notices
from gatepost.config.schema import frozen
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.return_path_proof import Proofs
from gatepost.facts.spf import SpfResult
from gatepost.model.known import Unknown
from gatepost.model.session import Rights
from gatepost.model.verdict import Stage

CLIENT = "192.0.2.7"
SENDER = "ann@news.a.example"
UNKNOWN_SPF, UNKNOWN_DKIM = Unknown("spf", "no answer in time"), Unknown("dkim", "no answer in time")


def spf(result: str = "pass", domain: str = "news.a.example", **more: Any) -> SpfResult:
    return SpfResult(**{"result": result, "domain": domain, "identity": "mailfrom", "ip": CLIENT, **more})


def dkim(*domains: str, result: str = "pass", testing: bool = False) -> DkimResults:
    return DkimResults(
        signatures=tuple(DkimSignature(result=result, domain=d, testing=testing) for d in domains)
    )


NO_DKIM = "no DKIM signature of news.a.example passes"
CASES: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("SPF passes", [spf()], {}, "proven by spf: news.a.example"),
    ("SPF passes and is not to count", [spf()], {"proofs": ["dkim"]}, "not proven: DKIM was not looked at"),
    ("SPF fails", [spf("fail"), dkim()], {}, f"not proven: SPF says fail, {NO_DKIM}"),
    (
        "SPF of everybody",
        [spf(term="+all"), dkim()],
        {},
        f"not proven: SPF passes everybody (+all), {NO_DKIM}",
    ),
    (
        "SPF of all of IPv4",
        [spf(term="ip4:0.0.0.0/0")],
        {"proofs": ["spf"]},
        "not proven: SPF passes everybody (ip4:0.0.0.0/0)",
    ),
    (
        "SPF of the EHLO name alone",
        [spf(identity="helo", domain="mx.a.example")],
        {"proofs": ["spf"]},
        "not proven: SPF was not asked about it",
    ),
    ("SPF unknown is no pass", [UNKNOWN_SPF, dkim()], {}, f"not proven: SPF is unknown, {NO_DKIM}"),
    (
        "a signature of the domain",
        [spf("fail"), dkim("news.a.example")],
        {},
        "proven by dkim: news.a.example",
    ),
    ("of a domain above", [spf("none"), dkim("b.example", "a.example")], {}, "proven by dkim: a.example"),
    ("of one below", [spf("none"), dkim("x.news.a.example")], {}, f"not proven: SPF says none, {NO_DKIM}"),
    ("of one that ends alike", [dkim("s.a.example")], {"proofs": ["dkim"]}, f"not proven: {NO_DKIM}"),
    ("of a whole top level", [dkim("example")], {"proofs": ["dkim"]}, f"not proven: {NO_DKIM}"),
    (
        "a signature that fails",
        [dkim("a.example", result="fail")],
        {"proofs": ["dkim"]},
        f"not proven: {NO_DKIM}",
    ),
    (
        "one whose domain only tries",
        [dkim("a.example", testing=True)],
        {"proofs": ["dkim"]},
        f"not proven: {NO_DKIM}",
    ),
    ("DKIM unknown is no pass", [UNKNOWN_DKIM], {"proofs": ["dkim"]}, "not proven: DKIM is unknown"),
    (
        "a signature counts only where it is to",
        [dkim("a.example")],
        {"proofs": ["spf"]},
        "not proven: SPF was not looked at",
    ),
    (
        "nothing is to count",
        [spf(), dkim("a.example")],
        {"proofs": []},
        "not proven: nothing is to prove it (notices.proofs)",
    ),
    ("nobody asked", [], {}, "not proven: SPF was not looked at, DKIM was not looked at"),
    (
        "a network that is believed",
        [spf("fail")],
        {"proven-networks": ["192.0.2.0/24"]},
        f"proven by client: {CLIENT}",
    ),
    (
        "and its neighbour",
        [spf("fail")],
        {"proofs": ["spf"], "proven-networks": ["192.0.3.0/24"]},
        "not proven: SPF says fail",
    ),
]


def among(facts: list[Any]) -> Callable[[type[Any]], Any]:
    """Facts as a hearing gives them: by type, unknown ones by the type of what is unknown."""
    known = {fact.fact if isinstance(fact, Unknown) else fact.name: fact for fact in facts}
    return lambda kind: known.get(kind.name)


@pytest.mark.threat("L06")
@pytest.mark.parametrize(("facts", "wishes", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_proves_a_return_path(facts: list[Any], wishes: dict[str, Any], said: str) -> None:
    mail = view(Stage.END_OF_DATA, who=session(client_ip=CLIENT), sender=SENDER, recipients=["bob@gate.test"])
    proof = Proofs.of(Notices.model_validate(frozen(wishes))).find(mail, among(facts))
    assert str(proof) == said
    assert proof.holds == said.startswith("proven")


def test_nobody_is_behind_a_null_sender() -> None:
    mail = view(Stage.END_OF_DATA, who=session(), sender="", recipients=["bob@gate.test"])
    assert not Proofs.of(Notices()).find(mail, among([spf(domain="")])).holds


def test_a_client_that_may_relay_is_one_of_ours() -> None:
    who = session(client_ip=CLIENT, rights=Rights.SUBMIT | Rights.RELAY)
    mail = view(Stage.END_OF_DATA, who=who, sender=SENDER, recipients=["bob@gate.test"])
    assert str(Proofs.of(Notices()).find(mail, among([spf("fail")]))) == "proven by client: it may relay"
