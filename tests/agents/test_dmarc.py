"""DMARC: the fact from what SPF, DKIM and ARC found, every way of spoofing, and what the agent makes of it."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import session, site, view
from tests.standards.dmarc_zone import Zone

from gatepost.agents.dmarc import Dmarc
from gatepost.config.dmarc_settings import DmarcTable
from gatepost.facts.arc import ArcResult
from gatepost.facts.author import Author, read_author
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dmarc import DmarcResult, Excuses, find_dmarc
from gatepost.facts.spf import SpfResult
from gatepost.model.known import Known, MailView, Unknown
from gatepost.model.verdict import Stage

RECORDS = {
    "legit.test": "v=DMARC1; p=reject",
    "soft.test": "v=DMARC1; p=quarantine",
    "trial.test": "v=DMARC1; p=reject; t=y",
    "watch.test": "v=DMARC1; p=none",
}


def spf(domain: str, result: str = "pass", identity: str = "mailfrom") -> SpfResult:
    return SpfResult(result=result, domain=domain, identity=identity, ip="192.0.2.7")


def signed(domain: str, **wishes: Any) -> DkimResults:
    given: dict[str, Any] = {
        "result": "pass",
        "domain": domain,
        "signed_fields": ("from", "to"),
        "covers_whole_body": True,
        **wishes,
    }
    return DkimResults(signatures=(DkimSignature(**given),))


def mail(sender: str = "x@evil.test", author: str = "ceo@legit.test", **fields: str) -> MailView:
    head = f"From: {author}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return view(Stage.END_OF_DATA, sender=sender, head=head.encode() + b"\r\n")


def found(
    about: MailView, *facts: Any, table: DmarcTable | None = None, zone: Zone | None = None
) -> DmarcResult:
    known = Known({Author: read_author(about.head), **{type(fact): fact for fact in facts}})
    excuses = Excuses.of(table or DmarcTable())
    return asyncio.run(find_dmarc(about, known, zone or Zone(RECORDS), excuses, timeout_s=1))


# The spoofing matrix

SENDERS = ("x@legit.test", "x@mail.legit.test", "x@evil.test", "x@legit.test.evil.test", "")
AUTHORS = (
    "ceo@legit.test",
    "CEO <ceo@mail.legit.test>",
    "ceo@legit.test.evil.test",
    '"ceo@legit.test" <x@evil.test>',
    "ceo@legit.test, x@evil.test",
    "<x@evil.test>ceo@legit.test",
    "",
)
SENDER_FIELDS = ("", "ceo@legit.test", "x@evil.test")
SIGNERS = ("", "legit.test", "mail.legit.test", "evil.test", "legit.test.evil.test")
WAYS = ("direct", "forwarded", "through a list that changes it")
ORGANIZATION = {
    "legit.test": "legit.test",
    "mail.legit.test": "legit.test",
    "evil.test": "evil.test",
    "legit.test.evil.test": "evil.test",
}
MATRIX_RECORDS = {"legit.test": "v=DMARC1; p=reject", "evil.test": "v=DMARC1; p=none"}


def expected(author: str, by: str, sender: str, signer: str, way: str) -> str:
    """The rule in words: every author's organisation must have been proved; an unclear author never passes."""
    domains = {
        AUTHORS[0]: ["legit.test"],
        AUTHORS[1]: ["mail.legit.test"],
        AUTHORS[2]: ["legit.test.evil.test"],
        AUTHORS[3]: ["evil.test"],
        AUTHORS[4]: ["legit.test", "evil.test"],
        AUTHORS[5]: ["evil.test", "legit.test"],
    }.get(author)
    if domains is None and by:  # without a From some reader shows Sender
        domains = [by.partition("@")[2]]
    if domains is None:
        return "permerror"
    proved = set()
    if way == "direct" and sender:
        proved.add(ORGANIZATION[sender.partition("@")[2]])
    if way != WAYS[2] and signer:
        proved.add(ORGANIZATION[signer])
    if author in AUTHORS[5:]:  # unclear: a strict policy is heard, and nothing else
        return "permerror" if "legit.test" in proved or "legit.test" not in domains else "fail"
    return "pass" if all(ORGANIZATION[domain] in proved for domain in domains) else "fail"


@pytest.mark.threat("J25")
@pytest.mark.threat("J26")
@pytest.mark.threat("J27")
@pytest.mark.threat("J28")
@pytest.mark.threat("J29")
def test_spoofing_matrix() -> None:
    # Given every combination of return path, From, Sender, signature and way
    zone = Zone(MATRIX_RECORDS)
    results: dict[str, int] = {}
    for sender, author, by, signer, way in product(SENDERS, AUTHORS, SENDER_FIELDS, SIGNERS, WAYS):
        domain = sender.partition("@")[2]
        proved = spf(domain, "pass" if way == "direct" else "fail")
        if not sender:
            proved = spf("mx.other.test", identity="helo")
        signature = signed(signer, result="fail" if way == WAYS[2] else "pass") if signer else DkimResults()
        about = mail(sender, author, **({"Sender": by} if by else {}))
        # When it is evaluated
        result = found(about, proved, signature, zone=zone)
        # Then only the author's own domain counts
        assert result.result == expected(author, by, sender, signer, way), (sender, author, by, signer, way)
        results[result.result] = results.get(result.result, 0) + 1
    assert sum(results.values()) == 5 * 7 * 3 * 5 * 3
    assert set(results) == {"pass", "fail", "permerror"}


PROOF: list[tuple[str, MailView, tuple[Any, ...], str]] = [
    ("SPF of MAIL FROM", mail("x@legit.test"), (spf("legit.test"), DkimResults()), "pass"),
    (
        "SPF of HELO beside a MAIL FROM",
        mail("x@evil.test"),
        (spf("legit.test", identity="helo"), DkimResults()),
        "fail",
    ),
    (
        "SPF of HELO for the null sender",
        mail(""),
        (spf("legit.test", identity="helo"), DkimResults()),
        "pass",
    ),
    ("softfail", mail("x@legit.test"), (spf("legit.test", "softfail"), DkimResults()), "fail"),
    ("a signature", mail(), (spf("evil.test"), signed("legit.test")), "pass"),
    (
        "a signature over part of the body",
        mail(),
        (spf("evil.test"), signed("legit.test", covers_whole_body=False)),
        "fail",
    ),
    (
        "a signature without From",
        mail(),
        (spf("evil.test"), signed("legit.test", signed_fields=("to",))),
        "fail",
    ),
    ("a broken signature", mail(), (spf("evil.test"), signed("legit.test", result="permerror")), "fail"),
    (
        "a key that nobody answers for",
        mail(),
        (spf("evil.test"), signed("legit.test", result="temperror")),
        "temperror",
    ),
    ("SPF unknown", mail("x@legit.test"), (Unknown("spf", "late"), DkimResults()), "temperror"),
    ("SPF unknown, but signed", mail(), (Unknown("spf", "late"), signed("legit.test")), "pass"),
    ("no policy", mail(author="a@nobody.test"), (spf("nobody.test"), DkimResults()), "none"),
]


@pytest.mark.threat("J14")
@pytest.mark.threat("J18")
@pytest.mark.threat("J32")
@pytest.mark.parametrize(("name", "about", "facts", "result"), PROOF, ids=[p[0] for p in PROOF])
def test_what_counts_as_proof(name: str, about: MailView, facts: tuple[Any, ...], result: str) -> None:
    assert found(about, *facts).result == result


EVADING: list[tuple[str, str, str]] = [
    ("a source route", "<@evil.test:ceo@legit.test>", "fail"),
    ("text behind the address", "<ceo@legit.test> x", "fail"),
    ("an address behind the address", "<x@evil.test> ceo@legit.test", "fail"),
    ("a comment inside", "<ceo(x)@legit.test>", "fail"),
    ("two brackets", "<x@evil.test><ceo@legit.test>", "fail"),
    ("a second field", "<x@evil.test>\r\nFrom: <ceo@legit.test>", "fail"),
    ("an encoded address", "=?utf-8?q?=3Cceo=40legit.test=3E?=, <x@evil.test>", "fail"),
    ("two at signs", "<ceo@legit.test@evil.test>", "fail"),
    ("a scheme", "<mailto:ceo@legit.test>", "fail"),
    ("a trial", "<@evil.test:ceo@trial.test>", "fail"),
    ("a domain that asks for nothing", "<@evil.test:ceo@watch.test>", "permerror"),
    ("a domain without a policy", "<@evil.test:ceo@nobody.test>", "permerror"),
    ("an address behind sixteen kilobytes", f"({'x' * 17_000}) <ceo@legit.test>", "fail"),
    ("a field with a hard blank", "<x@evil.test>\r\nFrom\xa0: <ceo@legit.test>", "fail"),
    ("a field behind a vertical tab", "<x@evil.test>\r\nA: b\x0bFrom: <ceo@legit.test>", "fail"),
    ("a field behind a bare CR", "<x@evil.test>\r\nA: b\rFrom: <ceo@legit.test>", "fail"),
    ("Sender beside an empty From", "\r\nSender: <ceo@legit.test>", "fail"),
    ("Sender beside an empty group", "nobody:;\r\nSender: <ceo@legit.test>", "fail"),
    ("a name with an address, unquoted", "ceo@legit.test <x@evil.test>", "permerror"),
]


@pytest.mark.threat("J25")
@pytest.mark.threat("J26")
def test_an_unclear_author_does_not_get_round_a_strict_policy() -> None:
    for name, author, result in EVADING:
        # Given a From that two readers read differently, and a return path that is proved
        answer = found(mail(author=author), spf("evil.test"), DkimResults())
        # Then who seems to have written it is asked for the policy
        assert (answer.result, answer.unclear_author) == (result, True), name
        assert answer.reason, name


@pytest.mark.threat("J28")
def test_who_shows_sender_for_want_of_from_is_shown_nobody_s_domain_but_his_own() -> None:
    for head in (
        b"Sender: <ceo@legit.test>",
        b"Resent-From: <ceo@legit.test>",
        b"From\r\n : <x@evil.test>\r\nSender: <ceo@legit.test>",
    ):
        about = view(Stage.END_OF_DATA, sender="x@evil.test", head=head + b"\r\n\r\n")
        assert found(about, spf("evil.test"), DkimResults()).result == "fail", head
    about = mail("x@evil.test", "x@evil.test", Sender="ceo@legit.test")
    assert found(about, spf("evil.test"), DkimResults()).result == "none"


@pytest.mark.threat("J26")
def test_an_unclear_author_does_not_pass_though_all_is_proved() -> None:
    answer = found(mail(author="<@evil.test:ceo@legit.test>"), spf("legit.test"), signed("legit.test"))
    assert (answer.result, answer.unclear_author) == ("permerror", True)


SIGNED_BY = "v=1; a=rsa-sha256; d={}; s=s; h=from; bh=YQ==; b=YQ=="
SILENT: list[tuple[str, MailView, tuple[Any, ...], str]] = [
    ("SPF of his own", mail(), (spf("evil.test", "temperror"), DkimResults()), "fail"),
    ("SPF of HELO, his own", mail(""), (spf("evil.test", "temperror", "helo"), DkimResults()), "fail"),
    (
        "SPF of HELO beside a return path",
        mail(),
        (spf("legit.test", "temperror", "helo"), DkimResults()),
        "fail",
    ),
    ("his own key", mail(), (spf("evil.test"), signed("evil.test", result="temperror")), "fail"),
    ("SPF unknown, of his own", mail(), (Unknown("spf", "late"), DkimResults()), "fail"),
    ("SPF unknown, of nobody", mail(""), (Unknown("spf", "late"), DkimResults()), "fail"),
    ("DKIM unknown, unsigned", mail(), (spf("evil.test"), Unknown("dkim", "late")), "fail"),
    (
        "DKIM unknown, signed by himself",
        mail(**{"DKIM-Signature": SIGNED_BY.format("evil.test")}),
        (spf("evil.test"), Unknown("dkim", "late")),
        "fail",
    ),
    (
        "DKIM unknown, signed by the author",
        mail(**{"DKIM-Signature": SIGNED_BY.format("m.legit.test")}),
        (spf("evil.test"), Unknown("dkim", "late")),
        "temperror",
    ),
    ("SPF of the author", mail("x@legit.test"), (spf("legit.test", "temperror"), DkimResults()), "temperror"),
    ("below the author", mail(), (spf("m.legit.test", "temperror"), DkimResults()), "temperror"),
    ("the author's key", mail(), (spf("evil.test"), signed("legit.test", result="temperror")), "temperror"),
]


@pytest.mark.threat("J24")
@pytest.mark.threat("J31")
@pytest.mark.parametrize(("name", "about", "facts", "result"), SILENT, ids=[s[0] for s in SILENT])
def test_nobody_gets_round_a_policy_by_name_servers_of_his_own_that_are_silent(
    name: str, about: MailView, facts: tuple[Any, ...], result: str
) -> None:
    assert found(about, *facts).result == result


def sealed(trusted_by: str, payload: str) -> ArcResult:
    return ArcResult(result="pass", sealers=("list.test",), trusted_by=trusted_by, payload=payload)


EXCUSES: list[tuple[str, dict[str, Any], tuple[Any, ...], str]] = [
    ("nothing excuses it", {}, (), ""),
    ("a trusted forwarder", {"trusted-forwarders": ["192.0.2.0/24"]}, (), "trusted_forwarder"),
    ("another forwarder", {"trusted-forwarders": ["198.51.100.0/24"]}, (), ""),
    ("a known list, proved", {"mailing-lists": ["Evil.test"]}, (), "mailing_list"),
    ("a list that was not proved", {"mailing-lists": ["evil.test"]}, (spf("evil.test", "fail"),), ""),
    (
        "a trusted sealer saw it pass",
        {},
        (sealed("list.test", "i=1; list.test; dmarc=pass"),),
        "local_policy",
    ),
    ("a trusted sealer saw it fail", {}, (sealed("list.test", "i=1; list.test; dmarc=fail"),), ""),
    *(
        (f"a trusted sealer, {name}", {}, (sealed("list.test", f"list.test; {said}"),), override)
        for name, said, override in (
            ("and the author it means", "dmarc=pass header.from=Legit.test", "local_policy"),
            ("but of another author", "dmarc=pass header.from=evil.test", ""),
            ("a result in a return path", 'spf=pass smtp.mailfrom="; dmarc=pass "@evil.test', ""),
            ("a result in a comment", "spf=pass (domain of x; dmarc=pass ); dmarc=fail", ""),
            ("a result in a reason", 'dmarc=fail reason="; dmarc=pass"', ""),
            ("pass and fail", "dmarc=fail; dmarc=pass", ""),
        )
    ),
    ("a sealer nobody knows", {}, (sealed("", "i=1; list.test; dmarc=pass"),), ""),
    ("ARC is not trusted", {"trust-arc": False}, (sealed("list.test", "dmarc=pass"),), ""),
]


@pytest.mark.threat("J36")
@pytest.mark.threat("J37")
@pytest.mark.parametrize(("name", "given", "facts", "override"), EXCUSES, ids=[e[0] for e in EXCUSES])
def test_what_excuses_a_failure(
    name: str, given: dict[str, Any], facts: tuple[Any, ...], override: str
) -> None:
    result = found(mail(), spf("evil.test"), DkimResults(), *facts, table=settings(Dmarc, given))
    assert (result.result, result.override) == ("fail", override)


JUDGED: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("p=reject, by default", "a@legit.test", {}, "pass", "dmarc-fail-reject"),
    (
        "p=reject, honoured",
        "a@legit.test",
        {"honour-policy": "as-published"},
        "550 5.7.26",
        "dmarc-fail-reject",
    ),
    (
        "p=reject, kept at most",
        "a@legit.test",
        {"honour-policy": "quarantine"},
        "quarantine",
        "dmarc-fail-reject",
    ),
    (
        "p=quarantine, honoured",
        "a@soft.test",
        {"honour-policy": "as-published"},
        "quarantine",
        "dmarc-fail-quarantine",
    ),
    ("p=none", "a@watch.test", {"honour-policy": "as-published"}, "pass", "dmarc-fail-none"),
    (
        "p=reject, tried out",
        "a@trial.test",
        {"honour-policy": "as-published"},
        "quarantine",
        "dmarc-fail-reject",
    ),
    (
        "a list that is known",
        "a@legit.test",
        {"honour-policy": "as-published", "mailing-lists": ["evil.test"]},
        "pass",
        "dmarc-excused",
    ),
    (
        "two readings of From",
        "<x@evil.test>a@watch.test",
        {"honour-policy": "as-published"},
        "pass",
        "dmarc-no-author",
    ),
    (
        "two readings of From, one of them p=reject",
        "<x@evil.test>a@legit.test",
        {"honour-policy": "as-published"},
        "550 5.7.26",
        "dmarc-fail-reject dmarc-no-author",
    ),
    ("no policy", "a@nobody.test", {"honour-policy": "as-published"}, "pass", ""),
    ("it passes", "a@evil.test", {"honour-policy": "as-published"}, "pass", "dmarc-pass"),
    ("the DNS is silent", "a@mute.test", {}, "pass", "dmarc-unanswered"),
    ("the DNS is silent, deferred", "a@mute.test", {"when-dns-fails": "defer"}, "451 4.4.3", ""),
    ("a record of no use", "a@odd.test", {"honour-policy": "as-published"}, "pass", "dmarc-record-broken"),
]


@pytest.mark.threat("J31")
@pytest.mark.parametrize(("name", "author", "given", "answer", "finding"), JUDGED, ids=[j[0] for j in JUDGED])
def test_verdicts(name: str, author: str, given: dict[str, Any], answer: str, finding: str) -> None:
    table = settings(Dmarc, given)
    records = {**RECORDS, "evil.test": "v=DMARC1; p=none", "odd.test": "v=DMARC1; p=x"}
    zone = Zone(records, silent=frozenset({"mute.test"}))
    result = found(mail(author=author), spf("evil.test"), DkimResults(), table=table, zone=zone)
    verdict = ask(Dmarc(table, site()), mail(author=author), result)
    assert said(verdict) == answer
    assert [f.name for f in verdict.findings] == finding.split()
    if verdict.reply is not None and verdict.reply.code == 550:
        assert str(verdict.reply).endswith(
            "legit.test is not authenticated, as the DMARC policy of legit.test asks"
        )


def test_a_forwarder_is_known_by_the_origin_not_by_our_own_relay() -> None:
    table = settings(Dmarc, {"trusted-forwarders": ["198.51.100.9"]})
    head = b"From: a@legit.test\r\n\r\n"
    behind = view(Stage.END_OF_DATA, who=session(origin_ip="198.51.100.9"), sender="x@evil.test", head=head)
    assert found(behind, spf("evil.test"), DkimResults(), table=table).override == "trusted_forwarder"


@pytest.mark.parametrize(
    "given",
    [
        {"trusted-forwarders": ["x"]},
        {"mailing-lists": ["a b"]},
        {"mailing-lists": ["a.0x1F"]},
        {"honour-policy": "on"},
    ],
)
def test_wrong_settings_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        settings(Dmarc, given)
