"""Mail from outside that poses as ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import session, site, view

from gatepost.agents.own_domain_spoofing import OwnDomainSpoofing
from gatepost.facts.author import read_author
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.spf import SpfResult
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.verdict import Stage
from gatepost.standards.lookalikes import Lookalikes, skeleton

OURS = AcceptedDomains(
    {
        "paypal.test": DomainType.AUTHORITATIVE,
        "*.branch.test": DomainType.INTERNAL_RELAY,
        "customer.test": DomainType.EXTERNAL_RELAY,
        "xn--bcher-kva.test": DomainType.AUTHORITATIVE,
    }
)
FAIL = DmarcResult(result="fail", from_domain="x.test", policy_domain="x.test")


def spf(domain: str = "evil.test", result: str = "pass") -> SpfResult:
    return SpfResult(result=result, domain=domain, identity="mailfrom", ip="192.0.2.7")


def signed(domain: str) -> DkimResults:
    one = DkimSignature(result="pass", domain=domain, covers_whole_body=True, signed_fields=("from",))
    return DkimResults(signatures=(one,))


def judged(
    author: str, *facts: Any, given: dict[str, Any] | None = None, user: str = ""
) -> tuple[str, list[str]]:
    head = f"From: {author}\r\n\r\n".encode()
    agent = OwnDomainSpoofing(settings(OwnDomainSpoofing, given), site(accepted_domains=OURS))
    known = {type(fact): fact for fact in (FAIL, spf(), DkimResults(), *facts)}
    mail = view(Stage.END_OF_DATA, who=session(user=user), sender="x@evil.test", head=head)
    verdict = ask(agent, mail, read_author(head), *known.values())
    return said(verdict), [finding.name for finding in verdict.findings]


REFUSE = {"forged": "refuse"}
FORGED, NAMED, ALIKE = ["own-domain-forged"], ["own-domain-in-name"], ["own-domain-lookalike"]
CASES: list[tuple[str, str, tuple[Any, ...], str, list[str]]] = [
    ("a stranger as himself", "Ann <ann@a.test>", (), "pass", []),
    ("our domain, unproved", "ceo@paypal.test", (), "550 5.7.1", FORGED),
    ("our domain, DMARC pass", "ceo@paypal.test", (DmarcResult(result="pass"),), "pass", []),
    ("our domain without a policy, SPF of ours", "ceo@paypal.test", (spf("paypal.test"),), "pass", []),
    ("our domain, signed by us", "ceo@paypal.test", (signed("mail.paypal.test"),), "pass", []),
    ("our domain, signed by a stranger", "ceo@paypal.test", (signed("evil.test"),), "550 5.7.1", FORGED),
    ("below our domain", "ceo@hr.paypal.test", (), "pass", FORGED),
    ("below a wildcard of ours", "ceo@x.branch.test", (), "550 5.7.1", FORGED),
    ("a customer's domain we only relay", "ceo@customer.test", (), "pass", []),
    ("beside a stranger", "x@evil.test, ceo@paypal.test", (), "550 5.7.1", FORGED),
    ("two readings", "<x@evil.test>ceo@paypal.test", (spf("paypal.test"),), "550 5.7.1", FORGED),
    ("excused", "a@paypal.test", (DmarcResult(result="fail", override="mailing_list"),), "pass", FORGED),
    (
        "a stranger's name servers are silent",
        "a@paypal.test",
        (spf("evil.test", "temperror"),),
        "550 5.7.1",
        FORGED,
    ),
    ("nobody knows", "a@paypal.test", (spf("paypal.test", "temperror"),), "pass", []),
    ("our address as a name", '"ceo@paypal.test" <x@evil.test>', (), "pass", NAMED),
    ("our domain in a name", "PayPal www.paypal.test <x@evil.test>", (), "pass", NAMED),
    ("our domain in an encoded name", "=?utf-8?b?Y2VvQHBheXBhbC50ZXN0?= <x@evil.test>", (), "pass", NAMED),
    (
        "our domain in full-width letters in a name",
        "ceo@ｐａｙｐａｌ．ｔｅｓｔ <x@evil.test>",
        (),
        "pass",
        NAMED,
    ),
    ("with an ideographic full stop", "ceo@paypal。test <x@evil.test>", (), "pass", NAMED),
    ("with a dot that is a leader", "ceo@paypal․test <x@evil.test>", (), "pass", NAMED),
    ("with a blank of no width", "ceo@pay\u200bpal.test <x@evil.test>", (), "pass", NAMED),
    ("with a soft hyphen", "www.pay\u00adpal.test <x@evil.test>", (), "pass", NAMED),
    ("with Cyrillic letters", "ceo@p\u0430ypal.test <x@evil.test>", (), "pass", NAMED),
    ("another domain in full-width letters", "ceo@ｏｔｈｅｒ．ｔｅｓｔ <x@evil.test>", (), "pass", []),
    ("a name with a dot and an umlaut", "Dr.Müller <x@evil.test>", (), "pass", []),
    ("Cyrillic letters", "ceo@р\u0430ypal.test", (), "pass", ALIKE),
    ("a digit for a letter", "ceo@paypa1.test", (), "pass", ALIKE),
    ("one letter more", "ceo@paypall.test", (), "pass", ALIKE),
    ("one letter less", "ceo@paypl.test", (), "pass", ALIKE),
    ("two exchanged", "ceo@papyal.test", (), "pass", ALIKE),
    ("below a look-alike", "ceo@mail.paypa1.test", (), "pass", ALIKE),
    ("our name in front of another", "ceo@paypal.test.evil.test", (), "pass", ALIKE),
    ("an umlaut left out", "a@bucher.test", (), "pass", ALIKE),
    ("two letters off", "ceo@paybel.test", (), "pass", []),
]


@pytest.mark.threat("J27")
@pytest.mark.threat("J25")
@pytest.mark.threat("K01")
@pytest.mark.parametrize(("name", "author", "facts", "answer", "findings"), CASES, ids=[c[0] for c in CASES])
def test_claims(name: str, author: str, facts: tuple[Any, ...], answer: str, findings: list[str]) -> None:
    assert judged(author, *facts, given=REFUSE) == (answer, findings)


def test_by_default_it_only_marks_and_users_are_not_judged() -> None:
    assert judged("ceo@paypal.test") == ("pass", FORGED)
    assert judged("ceo@paypal.test", given={"forged": "quarantine"}) == ("quarantine", FORGED)
    assert judged("ceo@paypal.test", given=REFUSE, user="ann") == ("pass", [])
    assert judged("ceo@paypa1.test", given={"lookalikes": False}) == ("pass", [])


@pytest.mark.threat("K01")
@pytest.mark.threat("K02")
def test_looks() -> None:
    assert skeleton("xn--pypal-4ve.test") == skeleton("paypal.test")
    assert skeleton("rnicro.test") == skeleton("micro.test")
    assert skeleton("xn--\0.test")
    assert Lookalikes(["abc.test"]).resembled("abd.test") == ""  # too short to have no honest neighbours
    assert Lookalikes(["paypal.test", "paypa1.test"]).resembled("paypa1.test") == ""  # both are ours
    assert Lookalikes([]).resembled("paypal.test") == ""


@given(st.text(max_size=120))
def test_any_text_has_a_look(domain: str) -> None:
    skeleton(domain)
    Lookalikes(["paypal.test"]).resembled(domain)
